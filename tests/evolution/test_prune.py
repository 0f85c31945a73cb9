"""action=prune: what runs name stays, what they use is never taken, and every command works on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from cem_lightning.errors import UserError
from cem_lightning.evolution import runner
from cem_lightning.evolution.actions import act
from cem_lightning.evolution.config import PruneConfig
from cem_lightning.evolution.export import export_model
from cem_lightning.evolution.prune import prune_results
from cem_lightning.evolution.run import run
from cem_lightning.evolution.stage_log import StageLog
from cem_lightning.storage.store import Store
from tests.cli.test_command import command
from tests.workspace import Workspace, make_workspace

LORA = ("trainer=lora", "trainer.lora.rank=4", "answering.open_book_passages=0")


@dataclass(frozen=True)
class World:
    """Two finished rounds, with their store."""

    workspace: Workspace

    @property
    def store(self) -> Path:
        return self.workspace.folder / "store"

    @property
    def folder(self) -> Path:
        return self.workspace.folder / "run"

    def run(self, *more: str) -> Path:
        return run(self.workspace.config("rounds=2", *LORA, *more))

    def prune(self, keep: Any) -> int:
        """The number of results that are removed or lightened."""
        found = prune_results(self.store, PruneConfig(keep=keep))
        return sum(each.removed + each.lightened for each in found)

    def weights(self) -> dict[int, Path]:
        """Where the weights of each round are, or were."""
        used = json.loads((self.folder / "stages.json").read_text())["stages"]
        train = {each["round"]: each["key"] for each in used if each["stage"] == "train"}
        return {number: self.store / "train" / key / "weights" for number, key in train.items()}

    def metrics(self) -> list[Any]:
        rounds = json.loads((self.folder / "metrics.json").read_text())["rounds"]
        return [{key: each.get(key) for key in ("pools", "tokens", "model")} for each in rounds]

    def results(self) -> list[Path]:
        return sorted(path.parent for path in self.store.glob("*/*/record.json"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(make_workspace(tmp_path_factory.mktemp("prune")))
    made.run()
    for name in ("store", "run"):
        shutil.copytree(made.workspace.folder / name, made.workspace.folder / f"{name}-as-made")
    return made


@pytest.fixture
def world(finished: World) -> World:
    """The finished run as it was at first."""
    folder = finished.workspace.folder
    for name in ("store", "run"):
        shutil.rmtree(folder / name)
        shutil.copytree(folder / f"{name}-as-made", folder / name)
    return finished


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The titles of the stages that are really run."""
    titles: list[str] = []
    run_stage = runner.run_stage

    def counted(folder: Path, title: str, progress: Any) -> dict[str, Any]:
        titles.append(title)
        return run_stage(folder, title, progress)

    monkeypatch.setattr(runner, "run_stage", counted)
    yield titles


def orphan(world: World) -> Path:
    """A result that no run names."""

    def work(folder: Path) -> dict[str, float]:
        (folder / "data").write_bytes(b"x" * 10_000)
        return {"seconds": 0.0}

    return Store(world.store).get_or_run("train", {"of": "nobody"}, work).folder


def test_a_run_says_what_it_uses(world: World) -> None:
    listed = json.loads((world.folder / "stages.json").read_text())
    assert listed["finished"]
    named = {(each["stage"], each["key"]) for each in listed["stages"]}
    assert named == {(path.parent.name, path.name) for path in world.results()}
    assert [each["round"] for each in listed["stages"] if each["stage"] == "answer"] == [0, 1, 2]


def test_used_takes_what_nobody_names_and_the_command_computes_nothing(
    world: World, computed: list[str]
) -> None:
    before, results = world.metrics(), world.results()
    lost = orphan(world)
    assert world.prune("used") == 1
    assert not lost.exists()
    assert world.results() == results
    world.run()
    assert computed == []
    assert world.metrics() == before


def test_last_keeps_the_weights_of_the_last_round_and_every_score(
    world: World, computed: list[str]
) -> None:
    before = world.metrics()
    assert world.prune("last") == 1
    assert [path.exists() for path in world.weights().values()] == [False, True]
    (world.folder / "metrics.json").unlink()
    world.run()
    assert computed == []
    assert world.metrics() == before
    assert (world.folder / "report.html").is_file()
    config = world.workspace.config("rounds=2", *LORA, "action=export")
    assert (export_model(config) / "model.safetensors").is_file()
    freed = world.weights()[1].parent
    with pytest.raises(UserError, match=rf"export\.round.*{freed}"):
        export_model(world.workspace.config("rounds=2", *LORA, "action=export", "export.round=1"))
    shutil.rmtree(freed)  # as the message says
    world.run()
    assert computed == ["round 1 · train"]
    assert world.metrics() == before


def test_after_last_a_further_round_trains_that_one_alone(
    world: World, computed: list[str]
) -> None:
    world.prune("last")
    run(world.workspace.config("rounds=3", *LORA))
    assert [title for title in computed if "train" in title] == ["round 3 · train"]


def test_freed_weights_are_made_anew_when_something_reads_them(
    world: World, computed: list[str]
) -> None:
    """Asked another way, round 1 is needed again; it comes out the same to the bit."""
    world.prune("last")
    before = world.metrics()
    folder = world.run("answering.batch_tokens=2048", f"run_dir={world.workspace.folder / 'other'}")
    assert [title for title in computed if "train" in title] == ["round 1 · train"]
    rounds = json.loads((folder / "metrics.json").read_text())["rounds"]
    assert [each.get("model") for each in rounds] == [each["model"] for each in before]


def test_weights_that_come_out_otherwise_are_never_passed_off_as_the_old(world: World) -> None:
    """As on another machine: the scores that follow must be those of the new weights."""
    world.prune("last")
    record = world.weights()[1].parent / "record.json"
    values = json.loads(record.read_text())
    values["digests"]["weights"] = "0" * 64
    record.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"not the same to the bit.*same command again"):
        world.run()
    assert json.loads(record.read_text())["digests"]["weights"] != "0" * 64
    world.run()


def test_nothing_empties_the_store(world: World, computed: list[str]) -> None:
    before, results = world.metrics(), world.results()
    assert world.prune("nothing") == len(results)
    assert world.results() == []
    world.run()
    assert len([title for title in computed if "train" in title]) == 2
    assert world.metrics() == before


@pytest.mark.parametrize("keep", ["last", "nothing"])
def test_a_run_at_work_loses_nothing(world: World, keep: str) -> None:
    orphan(world)
    with FileLock(world.folder / ".lock"):
        assert world.prune(keep) == 1
        assert all(path.exists() for path in world.weights().values())
    assert world.prune(keep) > 0


def test_a_result_named_since_prune_began_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run comes to it after the lists were read first and before its turn."""
    from cem_lightning.evolution import prune

    lost = orphan(world)
    real = prune.prune_store

    def late(root: Path, *rest: Any) -> Any:
        StageLog(world.workspace.folder / "late", world.store).note(1, "train", lost.name)
        return real(root, *rest)

    (world.workspace.folder / "late").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(prune, "prune_store", late)
        assert world.prune("used") == 0
    assert lost.exists()
    shutil.rmtree(world.workspace.folder / "late")
    assert world.prune("used") == 1, "a run folder that is gone counts no longer"


def test_a_project_that_was_moved_keeps_its_results(world: World, tmp_path: Path) -> None:
    """Store and runs together, so that no absolute path is right any more."""
    lost = orphan(world)
    made = world.workspace.folder
    for name in ("store", "run"):
        shutil.copytree(made / name, tmp_path / name)
    shutil.move(made / "run", tmp_path / "elsewhere")
    try:
        moved = prune_results(tmp_path / "store", PruneConfig(keep="used"))
    finally:
        shutil.move(tmp_path / "elsewhere", made / "run")
    assert sum(each.removed for each in moved) == 1
    assert not (tmp_path / "store" / "train" / lost.name).exists()
    assert [each.name for each in sorted(tmp_path.glob("store/*/[!.]*"))] == [
        each.name for each in sorted(made.glob("store/*/[!.]*")) if each != lost
    ]


@pytest.mark.parametrize("keep", ["used", "last"])
def test_nothing_goes_while_a_run_is_out_of_reach(world: World, keep: str) -> None:
    """A disk that is not in, say: nobody can read what the run on it needs."""
    lost, disk = orphan(world), world.workspace.folder / "disk"
    StageLog(disk / "run", world.store).note(1, "train", lost.name)
    shutil.rmtree(disk)
    before = world.results()
    typed = ("action=prune", f"store_dir={world.store}", f"prune.keep={keep}")
    shown = " ".join(command(*typed, folder=world.workspace.folder).stdout.split())
    assert world.results() == before
    assert all(path.exists() for path in world.weights().values())
    assert "all results were kept" in shown and "prune.keep=nothing" in shown
    (entry,) = (each for each in (world.store / ".runs").iterdir() if str(disk) in each.read_text())
    assert entry.name in shown.replace(" ", "")
    entry.unlink()  # as the note says
    assert world.prune("used") == 1
    assert not lost.exists()


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"/somewhere/else"])
def test_a_damaged_entry_of_a_run_is_never_taken_for_a_deleted_one(
    world: World, damage: bytes
) -> None:
    (entry,) = (world.store / ".runs").iterdir()
    entry.write_bytes(damage)
    before = world.results()
    typed = ("action=prune", f"store_dir={world.store}")
    refused = command(*typed, folder=world.workspace.folder, expect=2)
    assert f"{entry} is damaged" in refused.stderr
    assert world.results() == before


def test_an_entry_of_an_earlier_version_counts(world: World) -> None:
    (entry,) = (world.store / ".runs").iterdir()
    entry.write_text(str(world.folder.resolve()))
    assert world.prune("used") == 0


def test_a_folder_that_no_run_has_used_is_refused(tmp_path: Path) -> None:
    photo = tmp_path / "imp" / "photos" / "507f1f77bcf86cd799439011.jpg"
    photo.parent.mkdir(parents=True)
    photo.write_text("x")
    for keep in ("used", "nothing"):
        typed = ("action=prune", "store_dir=imp", f"prune.keep={keep}")
        refused = command(*typed, folder=tmp_path, expect=2)
        assert "store_dir: imp is no store" in refused.stderr
    assert photo.read_text() == "x"


def test_what_a_killed_run_has_finished_is_used(world: World, computed: list[str]) -> None:
    """Also what an earlier command in the same folder had made and this one had not come to."""
    child = os.fork()
    if child == 0:
        patch = pytest.MonkeyPatch()
        real = runner.run_stage

        def rigged(folder: Path, title: str, progress: Any) -> dict[str, Any]:
            if title == "round 2 · answer":
                os.kill(os.getpid(), signal.SIGKILL)
            return real(folder, title, progress)

        patch.setattr(runner, "run_stage", rigged)
        shutil.rmtree(world.folder)
        world.run("answering.batch_tokens=1024")
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    listed = json.loads((world.folder / "stages.json").read_text())
    assert not listed["finished"]
    world.prune("last")
    assert all(path.exists() for path in world.weights().values())
    computed.clear()
    world.run("answering.batch_tokens=1024")
    assert computed == ["round 2 · answer"]


def test_the_command_prints_a_table_that_adds_up(world: World) -> None:
    orphan(world)
    typed = ("action=prune", f"store_dir={world.store}")
    shown = command(*typed, folder=world.workspace.folder).stdout
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert "freed" in rows["stage"] and "left" in rows["stage"]
    assert rows["train"].split()[1:4] == ["2", "–", "1"]
    assert "KiB" in rows["all"]
    assert not (world.workspace.folder / "runs").exists()


def test_prune_refuses_what_it_cannot_judge(world: World, tmp_path: Path) -> None:
    refused = command("action=prune", "store_dir=nowhere", folder=tmp_path, expect=2)
    assert "store_dir" in refused.stderr and "nowhere" in refused.stderr
    (world.folder / "stages.json").write_text("{")
    before = world.results()
    refused = command("action=prune", f"store_dir={world.store}", folder=tmp_path, expect=2)
    assert "stages.json" in refused.stderr
    assert world.results() == before


def test_prune_beside_a_run_of_another_process(world: World) -> None:
    """A real run, pruned again and again while it works: it ends with the scores it has alone."""
    before = world.metrics()
    child = os.fork()
    if child == 0:
        shutil.rmtree(world.folder)
        world.run("rounds=1")
        os._exit(0)
    config = world.workspace.config("rounds=2", *LORA, "action=prune", "prune.keep=nothing")
    ended = False
    while not ended:
        act(config)
        ended = os.waitpid(child, os.WNOHANG) != (0, 0)
        time.sleep(0.3)
    assert [each["model"] for each in world.metrics()] == [each["model"] for each in before[:2]]
