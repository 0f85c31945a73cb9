"""What is freed is gone at once or not at all, nothing in use is taken, and the sizes are true."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.storage import store as store_module
from cem_lightning.storage.pruning import Pruned, Verdict, disk_usage, prune_store
from cem_lightning.storage.store import Result, Store, free_part, kept_for, lock_of

STAGES = ("answer", "train")


def make(store: Store, number: int, stage: str = "train") -> Result:
    """A result of some 20 KiB with weights."""

    def run(folder: Path) -> dict[str, Any]:
        (folder / "weights").mkdir()
        (folder / "weights" / "data").write_bytes(bytes([number]) * 20_000)
        (folder / "curves.csv").write_text("1,2")
        return {"seconds": 1.0}

    return store.get_or_run(stage, {"number": number}, run)


def verdicts(**wanted: Verdict) -> Callable[[str, str], Verdict]:
    return lambda _, key: wanted.get(key, "remove")


def used(path: Path) -> int:
    """Independent of the function under test: what `du` counts."""
    files = [path, *path.rglob("*")]
    return sum(each.lstat().st_blocks * 512 for each in files)


def in_child(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def test_what_is_reported_is_what_the_disk_has_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept, light, gone = (make(store, number) for number in range(3))
    other = make(store, 0, "answer")
    before = used(tmp_path)
    found = prune_store(
        tmp_path,
        STAGES,
        verdicts(**{kept.key: "keep", light.key: "free weights", other.key: "keep"}),
    )
    train = {each.stage: each for each in found}["train"]
    assert (train.kept, train.lightened, train.removed, train.busy) == (1, 1, 1, 0)
    assert sum(each.freed for each in found) == before - used(tmp_path) > 40_000
    assert sum(each.left for each in found) == used(tmp_path) - tmp_path.lstat().st_blocks * 512
    assert not gone.folder.exists()
    assert kept.part("weights").path.exists() and other.part("weights").path.exists()
    assert disk_usage(tmp_path / "nowhere") == 0


def test_a_freed_result_is_still_found_with_all_its_digests(tmp_path: Path) -> None:
    store = Store(tmp_path)
    result = make(store, 1)
    prune_store(tmp_path, STAGES, verdicts(**{result.key: "free weights"}))
    again = make(store, 1)
    assert again.reused
    assert again.part("weights") == result.part("weights")
    assert not again.part("weights").path.exists()
    assert (again.folder / "curves.csv").read_text() == "1,2"
    # what is left must still be as it was written
    (again.folder / "curves.csv").write_text("9,9")
    whole = make(store, 1)
    assert not whole.reused and whole.part("weights").path.exists()


def test_left_overs_of_killed_processes_go_and_foreign_files_stay(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept = make(store, 1)
    dead = "0" * 24
    stage = tmp_path / "train"
    for name in ("work", "kept", "gone"):
        (stage / f".{dead}.{name}").mkdir()
        (stage / f".{dead}.{name}" / "half").write_bytes(b"x" * 5000)
    (stage / f"..{dead}.record.1a2b3c4d").write_text("{")
    (stage / f".{dead}.lock").touch()
    (stage / "notes.txt").write_text("the user's own")
    before = used(tmp_path)
    (train,) = prune_store(tmp_path, STAGES, verdicts(**{kept.key: "keep"}))
    assert sorted(each.name for each in stage.iterdir()) == sorted([kept.key, "notes.txt"])
    assert train.freed == before - used(tmp_path) >= 15_000


@pytest.mark.parametrize("verdict", ["keep", "free weights", "remove"])
def test_what_an_unfinished_stage_keeps_stays_as_long_as_it_is_wanted(
    tmp_path: Path, verdict: Verdict
) -> None:
    key, done = "0" * 24, make(Store(tmp_path), 1)
    kept = kept_for(tmp_path / "train" / key)
    beside_result = kept_for(done.folder)  # of a process killed right after publishing
    for each in (kept, beside_result):
        each.mkdir()
        (each / "state").write_bytes(b"x" * 20_000)
    before = used(tmp_path)
    (train,) = prune_store(tmp_path, STAGES, verdicts(**{key: verdict, done.key: "keep"}))
    assert kept.exists() == (verdict == "keep")
    assert not beside_result.exists()
    assert train.freed == before - used(tmp_path) >= 20_000 * (1 + (verdict != "keep"))
    assert train.left == used(tmp_path) - tmp_path.lstat().st_blocks * 512
    assert (train.kept, train.removed) == (1, 0)


def test_what_only_looks_like_a_result_stays(tmp_path: Path) -> None:
    """The user's own files, in folders of ours and in others."""
    store = Store(tmp_path)
    make(store, 1)
    named = "507f1f77bcf86cd799439011"
    theirs = [
        tmp_path / folder / name
        for folder in ("photos", "train")
        for name in (f"{named}.jpg", f"{named}.bak", f".{named}.swp", f"{named}/thesis.txt")
    ]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (train,) = prune_store(tmp_path, STAGES, verdicts())
    assert train.removed == 1
    assert all(path.read_text() == "x" for path in theirs)


@pytest.mark.parametrize("record", ["", '{"seconds": 1.0, "dig', "[]", '{"digests": 1}'])
@pytest.mark.parametrize("verdict", ["keep", "free weights", "remove"])
def test_a_result_with_a_damaged_record_is_freed(
    tmp_path: Path, record: str, verdict: Verdict
) -> None:
    result = make(Store(tmp_path), 1)
    (result.folder / "record.json").write_text(record)
    (train,) = prune_store(tmp_path, STAGES, verdicts(**{result.key: verdict}))
    assert (train.kept, train.lightened, train.removed) == (0, 0, 1)
    assert not result.folder.exists()


def test_what_a_process_holds_is_left_alone(tmp_path: Path) -> None:
    """The half-written folder of a stage at work included."""
    store = Store(tmp_path / "store")

    def slow(folder: Path) -> dict[str, Any]:
        (folder / "half").write_text("half")
        (tmp_path / "started").touch()
        while not (tmp_path / "pruned").exists():
            time.sleep(0.01)
        return {"seconds": 1.0}

    child = in_child(lambda: store.get_or_run("train", {"number": 7}, slow))
    while not (tmp_path / "started").exists():
        time.sleep(0.01)
    (train,) = prune_store(store.root, STAGES, verdicts())
    assert (train.busy, train.removed, train.freed) == (1, 0, 0)
    (tmp_path / "pruned").touch()
    assert os.waitpid(child, 0)[1] == 0
    key = store.key("train", {"number": 7})
    assert (store.root / "train" / key / "half").read_text() == "half"
    (train,) = prune_store(store.root, STAGES, verdicts())
    assert train.removed == 1


def test_who_waits_for_a_lock_that_is_pruned_makes_the_result_anew(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first = make(store, 1)

    def decide(stage: str, key: str) -> Verdict:
        waiting.append(in_child(lambda: make(store, 1)))
        time.sleep(0.3)  # long enough that the child waits for the lock
        return "remove"

    waiting: list[int] = []
    prune_store(store.root, STAGES, decide)
    assert os.waitpid(waiting[0], 0)[1] == 0
    assert make(store, 1).reused
    assert first.part("weights").path.exists()


@pytest.mark.parametrize("verdict", ["remove", "free weights"])
def test_a_killed_prune_leaves_nothing_half(
    tmp_path: Path, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    result = make(store, 1)

    def die(path: Path, **_: Any) -> None:
        if Path(path).exists():
            next(each for each in Path(path).rglob("*") if each.is_file()).unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    def pruned() -> None:
        monkeypatch.setattr(store_module.shutil, "rmtree", die)
        prune_store(tmp_path, STAGES, verdicts(**{result.key: verdict}))

    status = os.waitpid(in_child(pruned), 0)[1]
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert any(each.name.endswith(".gone") for each in (tmp_path / "train").iterdir())
    again = make(store, 1)
    assert again.reused == (verdict == "free weights")
    assert again.part("weights") == result.part("weights")
    assert again.part("weights").path.exists() == (verdict == "remove")
    prune_store(tmp_path, STAGES, verdicts(**{result.key: "keep"}))
    assert [each.name for each in (tmp_path / "train").iterdir()] == [result.key]


def test_killed_between_the_record_and_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    result = make(store, 1)

    def pruned() -> None:
        take = "_take_away"
        monkeypatch.setattr(store_module, take, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        with lock_of(result.folder):
            free_part(result.folder, "weights")

    os.waitpid(in_child(pruned), 0)
    assert json.loads((result.folder / "record.json").read_text())["freed"] == ["weights"]
    again = make(store, 1)
    assert again.reused and again.part("weights").path.exists()
    prune_store(tmp_path, STAGES, verdicts(**{result.key: "free weights"}))
    assert not again.part("weights").path.exists()


def test_an_empty_store_frees_nothing(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (found,) = prune_store(tmp_path, STAGES, verdicts())
    assert found == Pruned("train", 0, 0, 0, 0, freed=0, left=disk_usage(tmp_path / "train"))
