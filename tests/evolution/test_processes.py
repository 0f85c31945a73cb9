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
    **trainer: Any,
) -> tuple[Any, Listener]:
    """The training of the round, in `devices` processes and another store."""
    stored = the_training(world)
    job = json.loads((stored / "job.json").read_text())
    job["config"]["trainer"] |= trainer
    inputs = {name: Part(Path(path), name) for name, path in job["inputs"].items()}
    progress = progress or Listener()
    runner = Runner(Store(store), progress, devices=devices)
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
    with pytest.raises(KeyboardInterrupt):
        train_again(trained, store, devices=2, progress=Interrupted(), **more)
    (ledger,) = store.glob("train/.*.kept/*.json")
    step = json.loads(ledger.read_text())["step"]
    assert 2 <= step < whole.record["steps"]
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
