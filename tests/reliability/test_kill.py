"""SIGKILL at every stage boundary and inside stages: the same command ends with the same scores."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.evolution.config import PruneConfig
from cem_lightning.evolution.prune import prune_results
from cem_lightning.evolution.run import run
from tests.workspace import Workspace, make_workspace

pytestmark = pytest.mark.slow  # most end and begin a process

STAGES = ("pools", "answer", "open_book", "collect", "acquire", "triage", "assemble", "train")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    world = make_workspace(tmp_path_factory.mktemp("uninterrupted"))
    yield outcome(run(world.config("rounds=2")))


def outcome(folder: Path) -> list[Any]:
    """Everything that must not depend on interruptions."""
    rounds = json.loads((folder / "metrics.json").read_text())["rounds"]
    return [{key: each.get(key) for key in ("pools", "tokens", "model")} for each in rounds]


def run_and_die(workspace: Workspace, arm: Callable[[pytest.MonkeyPatch], None]) -> None:
    """Run in a forked child that `arm` has rigged to kill itself with SIGKILL."""
    child = os.fork()
    if child == 0:
        arm(pytest.MonkeyPatch())
        run(workspace.config("rounds=2"))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.invariant
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "moment", ["before publishing", pytest.param("after publishing", marks=pytest.mark.slow)]
)
def test_killed_at_a_stage_boundary(
    workspace: Workspace, uninterrupted: list[Any], stage: str, moment: str
) -> None:
    from cem_lightning.storage import store

    publish = store.publish_folder

    def arm(patch: pytest.MonkeyPatch) -> None:
        def rigged(work: Path, final: Path) -> None:
            if final.parent.name == stage:
                if moment == "after publishing":
                    publish(work, final)
                die()
            publish(work, final)

        patch.setattr(store, "publish_folder", rigged)

    run_and_die(workspace, arm)
    finished = len(list((workspace.folder / "store" / stage).glob("[!.]*/record.json")))
    assert finished == (moment == "after publishing")
    assert outcome(run(workspace.config("rounds=2"))) == uninterrupted


@pytest.mark.invariant
def test_killed_in_the_middle_of_training(workspace: Workspace, uninterrupted: list[Any]) -> None:
    from cem_lightning.training.callbacks import Curves

    def arm(patch: pytest.MonkeyPatch) -> None:
        def rigged(
            self: Curves, trainer: Any, module: Any, outputs: Any, batch: Any, at: int
        ) -> None:
            if at == 1:
                die()

        patch.setattr(Curves, "on_train_batch_end", rigged)

    run_and_die(workspace, arm)
    assert not list((workspace.folder / "store" / "train").glob("[!.]*/record.json"))
    assert outcome(run(workspace.config("rounds=2"))) == uninterrupted


def interrupt_training(patch: pytest.MonkeyPatch, at: int, number: signal.Signals) -> None:
    """Send this process a signal after a step of the first training."""
    from cem_lightning.training.callbacks import Curves

    measured = Curves.on_train_batch_end

    def rigged(self: Curves, *rest: Any) -> None:
        measured(self, *rest)
        if len(self.rows) == at:
            os.kill(os.getpid(), number)

    patch.setattr(Curves, "on_train_batch_end", rigged)


def steps_made(patch: pytest.MonkeyPatch) -> list[int]:
    """The optimizer steps made from now on, by their number in their training."""
    from cem_lightning.training.module import MixedObjective

    made: list[int] = []
    step = MixedObjective.training_step

    def counted(self: MixedObjective, packs: Any, index: int) -> Any:
        made.append(self.start + index + 1)
        return step(self, packs, index)

    patch.setattr(MixedObjective, "training_step", counted)
    return made


@pytest.mark.invariant
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGUSR1, marks=pytest.mark.slow)]
)
def test_training_goes_on_where_a_signal_has_ended_it(
    workspace: Workspace, uninterrupted: list[Any], number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        interrupt_training(patch, 1, number)
        run(workspace.config("rounds=2"))
    assert ended.value.code == 128 + number
    assert signal.getsignal(number) == before
    trained = workspace.folder / "store" / "train"
    assert [path.name for path in trained.glob(".*.kept/*.json")] == ["step-000000001.json"]
    prune_results(workspace.folder / "store", PruneConfig(keep="last"))
    with pytest.MonkeyPatch.context() as patch:
        steps = steps_made(patch)
        assert outcome(run(workspace.config("rounds=2"))) == uninterrupted
    assert steps[0] == 2 and steps.count(1) == 1, "only the second round began at its first step"
    assert not list(trained.glob(".*.kept"))


@pytest.mark.invariant
@pytest.mark.slow
def test_training_goes_on_where_it_was_killed(
    workspace: Workspace, uninterrupted: list[Any]
) -> None:
    """How often checkpoints are written makes no other run."""

    def arm(patch: pytest.MonkeyPatch) -> None:
        config = workspace.config
        often = partial(config, "trainer.checkpoint_minutes=1e-9")
        patch.setattr(Workspace, "config", lambda _, *more: often(*more))
        interrupt_training(patch, 2, signal.SIGKILL)

    run_and_die(workspace, arm)
    with pytest.MonkeyPatch.context() as patch:
        steps = steps_made(patch)
        config = workspace.config("rounds=2", "trainer.checkpoint_minutes=0")
        assert outcome(run(config)) == uninterrupted
    assert steps[0] == 2


@pytest.mark.invariant
def test_killed_while_the_run_folder_is_written(
    workspace: Workspace, uninterrupted: list[Any]
) -> None:
    from cem_lightning.reporting import run_folder

    def arm(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(run_folder, "write_json", lambda *_: die())

    run_and_die(workspace, arm)
    assert not (workspace.folder / "run" / "metrics.json").exists()
    assert outcome(run(workspace.config("rounds=2"))) == uninterrupted


@pytest.mark.invariant
@pytest.mark.slow
def test_killed_from_outside_at_any_moment(workspace: Workspace, uninterrupted: list[Any]) -> None:
    """The real command, killed again and again, a little later each time."""
    command = [
        sys.executable,
        "-m",
        "cem_lightning",
        *workspace.overrides("rounds=2"),
        f"run_dir={workspace.folder / 'run'}",
    ]
    for patience in (9.0, 11.0, 13.0):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(patience)
        process.kill()
        process.wait()
    assert outcome(run(workspace.config("rounds=2"))) == uninterrupted


def test_a_full_disk_leaves_the_store_whole(
    workspace: Workspace, uninterrupted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cem_lightning.storage import store

    with monkeypatch.context() as patch:
        publish = store.publish_folder

        def full(work: Path, final: Path) -> None:
            if final.parent.name == "train":
                raise OSError(28, "No space left on device", str(work))
            publish(work, final)

        patch.setattr(store, "publish_folder", full)
        with pytest.raises(OSError, match="No space left"):
            run(workspace.config("rounds=2"))
    assert not list((workspace.folder / "store" / "train").glob("[!.]*"))
    assert outcome(run(workspace.config("rounds=2"))) == uninterrupted
