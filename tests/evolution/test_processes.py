"""A training shared by processes gives what one process gives, and fails as one."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from cem_lightning.errors import UserError
from cem_lightning.evolution.run import run
from cem_lightning.evolution.runner import Runner
from cem_lightning.progress import SilentProgress
from cem_lightning.storage.store import Part, Store
from cem_lightning.training.callbacks import MEASURED
from cem_lightning.training.config import Launcher
from tests.cli.test_sweeps import in_a_process, records, sweeps
from tests.workspace import Workspace, make_workspace


class Listener(SilentProgress):
    """Remembers what a stage says."""

    def __init__(self) -> None:
        self.tokens = 0.0
        self.rows: list[dict[str, float]] = []
        self.said: list[str] = []

    @contextmanager
    def stage(self, title: str, **_: Any) -> Any:
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.tokens += amount

    def measure(self, row: Mapping[str, float]) -> None:
        self.rows.append(dict(row))

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A world with the store of a round that one process has trained."""
    world = make_workspace(tmp_path_factory.mktemp("trained"))
    run(world.config("rounds=1"))
    return world


def the_training(world: Workspace) -> Path:
    (record,) = (world.folder / "store" / "train").glob("*/record.json")
    return record.parent


def train_again(
    world: Workspace,
    store: Path,
    devices: int,
    progress: Listener | None = None,
    sharded: bool = False,
    launcher: Launcher = "torchrun",
    **trainer: Any,
) -> tuple[Any, Listener]:
    """The training of the round, in `devices` processes and another store."""
    stored = the_training(world)
    job = json.loads((stored / "job.json").read_text())
    job["config"]["trainer"] |= trainer
    inputs = {name: Part(Path(path), name) for name, path in job["inputs"].items()}
    progress = progress or Listener()
    runner = Runner(Store(store), progress, devices=devices, launcher=launcher)
    access = {"sharded": sharded}
    return runner.run("train", "round 1 · train", inputs, job["config"], access=access), progress


@pytest.mark.invariant
@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_two_processes_give_the_weights_and_curves_of_one(
    trained: Workspace, tmp_path: Path, sharded: bool
) -> None:
    stored = the_training(trained)
    result, progress = train_again(trained, tmp_path, devices=2, sharded=sharded)
    assert result.record["devices"] == 2
    assert json.loads((stored / "record.json").read_text())["devices"] == 1
    assert sorted(each.name for each in result.folder.iterdir()) == sorted(
        each.name for each in stored.iterdir()
    )
    ours, alone = (
        load_file(each / "weights" / "model.safetensors") for each in (result.folder, stored)
    )
    assert ours.keys() == alone.keys()
    for name, weight in alone.items():
        assert float((ours[name] - weight).abs().max()) <= 1e-6, name
    with (stored / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (result.folder / "curves.csv").open() as file:
        both = list(zip(rows, csv.DictReader(file), strict=True))
    for row, other in both:
        assert row.keys() == other.keys()
        for key in row.keys() - {*MEASURED}:
            assert row[key] == other[key] or float(row[key]) == pytest.approx(
                float(other[key]), rel=1e-5
            ), key
    assert progress.tokens == sum(result.record["tokens"].values())
    assert len(progress.rows) == len(rows)


class Interrupted(Listener):
    """Stops the run at its second step."""

    def measure(self, row: Mapping[str, float]) -> None:
        super().measure(row)
        if len(self.rows) == 2:
            raise KeyboardInterrupt


@pytest.mark.invariant
@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_two_processes_go_on_where_they_were_stopped(
    trained: Workspace, tmp_path: Path, sharded: bool
) -> None:
    """Of each process with its own dropout; the bits are those of two that nobody stops."""
    lora = {"rank": 4, "alpha": 8.0, "dropout": 0.3, "target_modules": "all-linear"}
    more = {"lora": lora, "batch": 2, "sharded": sharded}
    whole, _ = train_again(trained, tmp_path / "whole", devices=2, **more)
    store = tmp_path / "stopped"
    interrupted = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        train_again(trained, store, devices=2, progress=interrupted, **more)
    (ledger,) = store.glob("train/.*.kept/*.json")
    step = json.loads(ledger.read_text())["step"]
    assert 2 <= step < whole.record["steps"]
    where = f"after step {step} of {whole.record['steps']}; the same command continues there"
    assert interrupted.said[-1] == f"round 1 · train: stopped {where}"
    result, progress = train_again(trained, store, devices=2, **more)
    assert any(f"continues after step {step}" in each for each in progress.said)
    ours, theirs = (
        (each.folder / "weights" / "adapter_model.safetensors").read_bytes()
        for each in (result, whole)
    )
    assert ours == theirs
    assert not list(store.glob("train/.*.kept"))


@pytest.mark.slow
def test_what_is_wrong_in_a_process_is_said_as_in_one(trained: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is nan at step \d of \d.*trainer\.learning_rate"):
        train_again(trained, tmp_path, devices=2, learning_rate=1e30, max_gradient_norm=1e30)
    assert not list((tmp_path / "train").glob("[!.]*"))


def test_a_process_that_dies_ends_them_all_and_is_told(trained: Workspace, tmp_path: Path) -> None:
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.02):
            for path in Path("/proc").glob("[0-9]*"):
                try:
                    rank = b"LOCAL_RANK=1\0" in (path / "environ").read_bytes()
                    worker = b"cem_lightning.worker" in (path / "cmdline").read_bytes()
                except OSError:
                    continue
                if rank and worker:
                    os.kill(int(path.name), signal.SIGKILL)
                    return

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(RuntimeError, match=r"ended without a word[\s\S]*SIGKILL"):
            train_again(trained, tmp_path, devices=2)
    finally:
        over.set()
        killer.join()
    assert not list((tmp_path / "train").glob("[!.]*"))


@pytest.mark.slow
def test_processes_within_a_sweep_start_no_sweep(workspace: Workspace) -> None:
    started = in_a_process(
        "-m", *workspace.overrides("seed=1,2", "trainer.devices=2"), folder=workspace.folder
    )
    stdout, stderr = started.communicate()
    assert started.returncode == 0, stdout + stderr
    (sweep,) = sweeps(workspace.folder)
    assert [each["state"] for each in records(sweep)] == ["finished", "finished"]
    assert len(list((workspace.folder / "runs" / "cem").iterdir())) == 2
    stored = sorted((workspace.folder / "store" / "train").glob("*/record.json"))
    assert [json.loads(path.read_text())["devices"] for path in stored] == [2, 2]


@pytest.mark.parametrize("key", ["devices", "checkpoint_minutes"])
def test_what_no_result_depends_on_makes_no_other_run(workspace: Workspace, key: str) -> None:
    one, two = (workspace.config(f"trainer.{key}={count}") for count in (1, 2))
    assert one.identity() == two.identity()
    assert one.identity(rounds=True) == two.identity(rounds=True)


# What srun does, on this machine: as many tasks as wanted, each told its number.
_SRUN = """#!/usr/bin/env python3
import os, subprocess, sys
tasks = next(int(each.split("=")[1]) for each in sys.argv if each.startswith("--ntasks="))
command = [each for each in sys.argv[1:] if not each.startswith("--")]
told = {"SLURM_NTASKS": tasks, "SLURM_STEP_TASKS_PER_NODE": tasks}
told |= {"SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_ID": 3}
started = [
    subprocess.Popen(command, env=os.environ | {key: str(value) for key, value in
        (told | {"SLURM_PROCID": at, "SLURM_LOCALID": at}).items()})
    for at in range(tasks)
]
sys.exit(max(each.wait() for each in started))
"""


@pytest.mark.slow
def test_slurm_starts_the_processes(
    trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text(_SRUN)
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{srun.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "4321")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    store, folder = f"store_dir={tmp_path / 'store'}", f"run_dir={tmp_path / 'run'}"
    run(trained.config("rounds=1", "trainer.devices=2", "trainer.launcher=slurm", store, folder))
    (stored,) = (each.parent for each in (tmp_path / "store" / "train").glob("*/record.json"))
    assert json.loads((stored / "record.json").read_text())["devices"] == 2
    ours, alone = (
        load_file(each / "weights" / "model.safetensors")
        for each in (stored, the_training(trained))
    )
    for name, weight in alone.items():
        assert float((ours[name] - weight).abs().max()) <= 1e-6, name


def test_slurm_spreads_processes_evenly(
    trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bin", "store"):
        (tmp_path / name).mkdir()
    srun = tmp_path / "bin" / "srun"
    srun.write_text(f"#!/bin/sh\necho $SLURM_CPU_BIND $* > {tmp_path / 'told'}\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{srun.parent}{os.pathsep}{os.environ['PATH']}")
    for key, value in {"JOB_ID": "1", "JOB_NUM_NODES": "2", "CPU_BIND": "quiet,mask_cpu:1"}.items():
        monkeypatch.setenv(f"SLURM_{key}", value)
    with pytest.raises(RuntimeError, match="ended without a word"):  # it started nothing
        train_again(trained, tmp_path / "store", devices=8, launcher="slurm")
    told = (tmp_path / "told").read_text()
    spread = "--nodes=2 --ntasks=8 --ntasks-per-node=4"
    assert told.startswith(f"--overlap --kill-on-bad-exit=1 {spread}")
    with pytest.raises(UserError, match=r"trainer\.devices: 7 .* 2 nodes .* a multiple of 2"):
        train_again(trained, tmp_path / "store", devices=7, launcher="slurm")


def test_slurm_is_wanted_where_there_is_none(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(UserError, match=r"trainer\.launcher: slurm, but this is no SLURM job"):
        run(trained.config("rounds=1", "trainer.devices=2", "trainer.launcher=slurm"))
