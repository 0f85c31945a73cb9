"""Sweeps: what becomes of jobs that fail, die or never begin, and what they share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from cem_lightning import cli
from cem_lightning.evolution import actions
from cem_lightning.evolution.config import Config
from tests.cli.test_command import Done, command
from tests.workspace import Workspace


class Act:
    """Takes the place of the actions: remembers what it was called with, and leaves traces."""

    def __init__(self) -> None:
        self.sweeps: list[str | None] = []
        self.found: list[str | None] = []

    def __call__(self, config: Config, sweep: str | None = None) -> Path | None:
        self.sweeps.append(sweep)
        self.found.append(os.environ.get("LOCAL_RANK"))
        os.environ["LOCAL_RANK"] = "0"
        if config.seed == 13:
            raise SystemExit(143)
        return None


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Act:
    replaced = Act()
    monkeypatch.setattr(actions, "act", replaced)
    return replaced


def sweeps(folder: Path) -> list[Path]:
    return sorted((folder / "runs" / ".sweeps").glob("*/*"))


def records(sweep: Path) -> list[dict[str, Any]]:
    paths = sorted(sweep.glob("*/job.json"), key=lambda path: int(path.parent.name))
    return [json.loads(path.read_text()) for path in paths]


def test_a_job_hears_of_its_sweep_and_nothing_of_the_job_before(tmp_path: Path, act: Act) -> None:
    done = command("-m", "seed=1,2", "action=check", folder=tmp_path)
    (sweep,) = sweeps(tmp_path)
    assert act.sweeps == [f"{sweep.parent.name}/{sweep.name}"] * 2
    assert act.found == [None, None]
    assert "LOCAL_RANK" not in os.environ
    assert [each["state"] for each in records(sweep)] == ["finished", "finished"]
    assert "2 of 2 jobs finished" in done.stdout
    assert "Comparison" not in done.stdout, "only runs are compared"


@pytest.mark.slow
def test_two_sweeps_of_the_same_second_have_a_folder_each(tmp_path: Path, act: Act) -> None:
    for _ in range(2):
        command("-m", "seed=1,2", "action=check", folder=tmp_path)
    assert len(sweeps(tmp_path)) == 2
    assert len(set(act.sweeps)) == 2


@pytest.mark.slow
def test_a_sweep_folder_of_ones_own_forgets_the_earlier_jobs(tmp_path: Path, act: Act) -> None:
    for seeds in ("1,2,3", "1,2"):
        command("-m", f"seed={seeds}", "action=check", "hydra.sweep.dir=mine", folder=tmp_path)
    assert act.sweeps == ["mine"] * 5
    assert len(records(tmp_path / "mine")) == 2


def test_jobs_that_could_not_say_how_they_ended_are_named(tmp_path: Path, act: Act) -> None:
    """Here the process of all jobs is ended in the second one."""
    done = command("-m", "seed=1,13,3", "action=check", folder=tmp_path, expect=143)
    (sweep,) = sweeps(tmp_path)
    assert [each["state"] for each in records(sweep)] == ["finished", "failed"]
    assert "failed: job 1: seed=13: it was ended without a result" in done.stderr
    assert "failed: job 2: seed=3: was not started" in done.stderr
    assert "job 0" not in done.stderr
    assert (sweep / "1" / "error.log").is_file()


def test_what_is_wrong_in_every_job_is_said_once_before_the_first(tmp_path: Path, act: Act) -> None:
    done = command(
        "-m", "seed=1,2,3", "+trainer.learning_rat=1", "rounds=-1", folder=tmp_path, expect=2
    )
    assert done.stderr.count("did you mean 'learning_rate'?") == 1
    assert "rounds: " in done.stderr
    assert not act.sweeps
    assert not sweeps(tmp_path)


def test_what_is_wrong_in_one_job_leaves_the_others(tmp_path: Path, act: Act) -> None:
    done = command("-m", "rounds=-1,2", "action=check", folder=tmp_path, expect=1)
    (sweep,) = sweeps(tmp_path)
    assert [each["state"] for each in records(sweep)] == ["failed", "finished"]
    assert "Traceback" in (sweep / "0" / "error.log").read_text()
    assert "failed: job 0: rounds=-1: rounds: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("override", "extra"),
    [
        ("hydra/launcher=parallel", "joblib"),
        ("hydra/launcher=slurm", "submitit"),
        ("hydra/launcher=ray_cluster", "ray"),
        ("hydra/sweeper=optuna_search", "optuna"),
    ],
)
def test_a_missing_package_is_one_line(
    tmp_path: Path, act: Act, monkeypatch: pytest.MonkeyPatch, override: str, extra: str
) -> None:
    monkeypatch.setattr(cli, "_is_installed", lambda package: False)
    done = command("-m", override, "seed=1,2", folder=tmp_path, expect=2)
    assert done.stderr == (
        f"error: {override} needs a package that is not installed: "
        f"pip install 'cem-lightning[{extra}]'\n"
    )
    assert not act.sweeps


def test_a_machine_without_slurm_is_one_line(
    tmp_path: Path, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command("-m", "hydra/launcher=slurm", "seed=1,2", folder=tmp_path, expect=2)
    assert "no SLURM on this machine" in done.stderr
    assert "hydra/launcher=parallel" in done.stderr
    assert not act.sweeps and not sweeps(tmp_path)


def in_a_process(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """The command in a process of its own, with as many threads as it likes."""
    return subprocess.Popen(
        [sys.executable, "-m", "cem_lightning", *arguments],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_job(number: int, done: threading.Event) -> None:
    """SIGKILL for the process of a job as soon as there is one."""
    while not done.wait(0.02):
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            folder = f"/{number}".encode()
            if b"cem_lightning.jobs" in words and any(each.endswith(folder) for each in words):
                os.kill(int(path.parent.name), signal.SIGKILL)
                return


@pytest.mark.slow
def test_parallel_jobs_compute_nothing_twice_and_one_may_be_killed(workspace: Workspace) -> None:
    over = threading.Event()
    killer = threading.Thread(target=kill_job, args=(2, over))
    killer.start()
    started = in_a_process(
        "-m",
        "hydra/launcher=parallel",
        "hydra.launcher.n_jobs=3",
        *workspace.overrides("rounds=1,2,3"),
        folder=workspace.folder,
    )
    done = Done(*started.communicate())
    over.set()
    killer.join()
    assert started.returncode == 1, done.stderr
    (sweep,) = sweeps(workspace.folder)
    assert [each["state"] for each in records(sweep)] == ["finished", "finished", "failed"]
    assert "failed: job 2: rounds=3: its process ended by SIGKILL" in done.stderr
    assert "without a word" in (sweep / "2" / "error.log").read_text()
    trained = sorted((workspace.folder / "store" / "train").glob("*/record.json"))
    assert len(trained) == 2, "round 1 is the same in both"
    share = max(1, (os.cpu_count() or 1) // 3)
    for path in trained:
        assert json.loads(path.read_text())["environment"]["threads"] == share
    for number in ("0", "1"):
        assert "report: " in (sweep / number / "output.log").read_text()
    lines = done.stdout.splitlines()
    (at,) = (at for at, line in enumerate(lines) if "2 of 3 jobs finished; comparison: " in line)
    assert lines[at + 2].startswith("Comparison"), "the table is the last thing"
    assert not [line for line in lines[at:] if "job 0" in line]


def test_optuna_maximises_and_survives_a_failing_trial(workspace: Workspace) -> None:
    done = command(
        "-m",
        "hydra/sweeper=optuna_search",
        "hydra.sweeper.n_trials=4",
        "answering.method=choice(cloze,nonsense)",
        "seed=range(1,9)",
        *workspace.overrides("rounds=0"),
        folder=workspace.folder,
        expect=1,
    )
    (sweep,) = sweeps(workspace.folder)
    jobs = records(sweep)
    assert len(jobs) == 4
    assert {each["state"] for each in jobs} == {"finished", "failed"}
    best = OmegaConf.load(sweep / "optimization_results.yaml")
    assert best.best_params["answering.method"] == "cloze"
    scores = []
    for each in jobs:
        if each["run"]:
            path = workspace.folder / each["run"] / "metrics.json"
            pools = json.loads(path.read_text())["rounds"][-1]["pools"]
            scores.append(pools["heldout"]["accuracy"])
    assert best.best_value == max(scores)
    assert "did you mean" in done.stderr or "answering.method" in done.stderr


@pytest.mark.slow
def test_submitit_runs_jobs_and_names_the_one_that_fails(workspace: Workspace) -> None:
    """On this machine; SLURM differs in who starts the processes."""
    started = in_a_process(
        "-m",
        "hydra/launcher=submitit_local",
        *workspace.overrides("rounds=0", "answering.method=cloze,nonsense", "run_dir=out"),
        folder=workspace.folder,
    )
    done = Done(*started.communicate())
    assert started.returncode == 1, done.stderr
    (sweep,) = sweeps(workspace.folder)
    assert [each["state"] for each in records(sweep)] == ["finished", "failed"]
    assert (workspace.folder / "out" / "0" / "metrics.json").is_file()
    assert "failed: job 1: answering.method=nonsense: " in done.stderr
    assert "Traceback" in (sweep / "1" / "error.log").read_text()


@pytest.mark.slow
def test_a_sweep_whose_command_is_killed_leaves_no_job_behind(workspace: Workspace) -> None:
    started = in_a_process(
        "-m",
        "hydra/launcher=parallel",
        *workspace.overrides("seed=1,2"),
        folder=workspace.folder,
    )
    while not list(workspace.folder.glob("runs/.sweeps/*/*/1/output.log")):
        assert started.poll() is None
        time.sleep(0.1)
    jobs = processes_in(workspace.folder)
    assert jobs
    started.kill()
    started.wait()
    for _ in range(300):
        if not processes_in(workspace.folder):
            return
        time.sleep(0.1)
    pytest.fail("jobs have outlived the command")


def processes_in(folder: Path) -> list[int]:
    """The jobs at work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            here = (path / "cwd").readlink() == folder
            job = b"cem_lightning.jobs" in (path / "cmdline").read_bytes()
        except OSError:
            continue
        if here and job:
            found.append(int(path.name))
    return found
