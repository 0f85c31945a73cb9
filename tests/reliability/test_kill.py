"""SIGKILL at every stage boundary and inside stages: the same command ends with the same scores."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.evolution.run import run
from tests.workspace import Workspace, make_workspace

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
