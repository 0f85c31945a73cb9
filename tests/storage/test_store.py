"""Finished stages are found again, unfinished ones never, and nobody does the same work twice."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.storage.digests import digest_path
from cem_lightning.storage.store import Result, Store, kept_for

KEY = {"version": 1, "inputs": {"model": "abc"}, "config": {"rate": 0.5}}


def writer(log: Path, text: str = "data") -> Callable[[Path], dict[str, Any]]:
    """A stage that leaves a line in `log` every time it really runs."""

    def run(folder: Path) -> dict[str, Any]:
        with log.open("a") as file:
            file.write("ran\n")
        (folder / "weights").mkdir()
        (folder / "weights" / "data").write_text(text)
        (folder / "table").write_text("1,2")
        return {"seconds": 2.5, "rows": 2}

    return run


def runs(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def visible(store: Store) -> list[str]:
    """What anybody could take for a result."""
    return sorted(each.name for each in (store.root / "train").glob("[!.]*"))


def in_child(work: Callable[[], object]) -> int:
    """Do `work` in a forked process; its id."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def test_a_result_is_found_again_with_the_same_record(tmp_path: Path) -> None:
    store, log = Store(tmp_path / "store"), tmp_path / "log"
    first = store.get_or_run("train", KEY, writer(log))
    again = Store(tmp_path / "store").get_or_run("train", dict(reversed(KEY.items())), writer(log))
    assert (first.reused, again.reused, runs(log)) == (False, True, 1)
    assert again.folder == first.folder
    assert again.record == first.record
    assert again.record["rows"] == 2
    assert again.record["key"] == KEY
    assert again.seconds == first.seconds == 2.5
    assert (again.folder / "weights" / "data").read_text() == "data"


@pytest.mark.parametrize(
    ("stage", "key"),
    [
        ("answer", KEY),
        ("train", KEY | {"version": 2}),
        ("train", KEY | {"inputs": {"model": "abd"}}),
        ("train", KEY | {"inputs": {"teacher": "abc"}}),
        ("train", KEY | {"config": {"rate": 0.25}}),
    ],
)
def test_another_key_runs_again(tmp_path: Path, stage: str, key: dict[str, Any]) -> None:
    store, log = Store(tmp_path / "store"), tmp_path / "log"
    first = store.get_or_run("train", KEY, writer(log))
    other = store.get_or_run(stage, key, writer(log))
    assert runs(log) == 2
    assert not other.reused
    assert other.folder != first.folder


def test_parts_carry_the_digest_of_their_content(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    result = store.get_or_run("train", KEY, writer(tmp_path / "log"))
    reused = store.get_or_run("train", KEY, writer(tmp_path / "log"))
    for name in ("weights", "table"):
        part = result.part(name)
        assert part.path == result.folder / name
        assert part.digest == digest_path(part.path)
        assert reused.part(name) == part
    other = store.get_or_run("train", KEY | {"version": 2}, writer(tmp_path / "log", "other"))
    assert other.part("weights").digest != result.part("weights").digest
    assert other.part("table").digest == result.part("table").digest
    with pytest.raises(KeyError):
        result.part("no such file")


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_an_exception_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    store, log = Store(tmp_path / "store"), tmp_path / "log"

    def failing(folder: Path) -> dict[str, Any]:
        (folder / "half").write_text("half")
        raise error

    with pytest.raises(type(error)):
        store.get_or_run("train", KEY, failing)
    assert visible(store) == []
    assert not list(store.root.rglob("half"))
    assert not store.get_or_run("train", KEY, writer(log)).reused
    assert runs(log) == 1


def test_what_a_stage_keeps_outlives_its_end_and_goes_with_its_result(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    kept = kept_for(store.root / "train" / store.key("train", KEY))
    found: list[bool] = []

    def failing_once(folder: Path) -> dict[str, Any]:
        assert folder.parent == kept.parent
        found.append(kept.exists())
        kept.mkdir(exist_ok=True)
        (kept / "state").write_text("7")
        if len(found) == 1:
            raise KeyboardInterrupt
        return {"seconds": 1.0}

    with pytest.raises(KeyboardInterrupt):
        store.get_or_run("train", KEY, failing_once)
    assert visible(store) == []
    assert (kept / "state").read_text() == "7"
    result = store.get_or_run("train", KEY, failing_once)
    assert found == [False, True]
    assert not kept.exists()
    assert "state" not in result.record["digests"]


def test_a_record_that_is_no_json_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(ValueError, match="JSON"):
        store.get_or_run("train", KEY, lambda _: {"seconds": float("nan")})
    assert visible(store) == []


def test_what_a_killed_writer_left_is_done_anew(tmp_path: Path) -> None:
    store, log = Store(tmp_path / "store"), tmp_path / "log"

    def dying(folder: Path) -> dict[str, Any]:
        (folder / "half").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    child = in_child(lambda: store.get_or_run("train", KEY, dying))
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert list(store.root.rglob("half")), "the kill must have come in the middle"
    assert visible(store) == []
    result = store.get_or_run("train", KEY, writer(log))
    assert not result.reused
    assert {each.name for each in result.folder.iterdir()} == {"weights", "table", "record.json"}
    assert not list(store.root.rglob("half"))


def test_a_folder_without_a_record_is_no_result(tmp_path: Path) -> None:
    """As a folder copied halfway by hand would be."""
    store, log = Store(tmp_path / "store"), tmp_path / "log"
    first = store.get_or_run("train", KEY, writer(log))
    (first.folder / "record.json").unlink()
    (first.folder / "weights" / "data").write_text("half")
    again = store.get_or_run("train", KEY, writer(log))
    assert (again.reused, runs(log)) == (False, 2)
    assert (again.folder / "weights" / "data").read_text() == "data"


@pytest.mark.parametrize("record", ["[]", "null", "7", '"text"', '{"digests": []}', "{"])
def test_a_damaged_record_is_none(tmp_path: Path, record: str) -> None:
    store, log = Store(tmp_path / "store"), tmp_path / "log"
    first = store.get_or_run("train", KEY, writer(log))
    (first.folder / "record.json").write_text(record)
    assert not store.get_or_run("train", KEY, writer(log)).reused
    assert store.get_or_run("train", KEY, writer(log)).reused


def test_two_processes_that_ask_for_the_same_run_it_once(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def slow(folder: Path) -> dict[str, Any]:
        time.sleep(0.4)  # long enough that all have asked before the first is done
        return writer(log)(folder)

    def ask(number: int) -> None:
        result = Store(tmp_path / "store").get_or_run("train", KEY, slow)
        (tmp_path / f"seen-{number}").write_text(json.dumps([result.reused, result.record]))

    children = [in_child(lambda number=number: ask(number)) for number in range(3)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    seen = [json.loads((tmp_path / f"seen-{number}").read_text()) for number in range(3)]
    assert runs(log) == 1
    assert sorted(reused for reused, _ in seen) == [False, True, True]
    assert seen[0][1] == seen[1][1] == seen[2][1]


def test_a_killed_owner_holds_no_lock(tmp_path: Path) -> None:
    """The one who waits goes on as soon as the one at work has died."""
    store, log = Store(tmp_path / "store"), tmp_path / "log"

    def started(folder: Path) -> dict[str, Any]:
        (tmp_path / "started").touch()
        time.sleep(60)
        return {}

    child = in_child(lambda: store.get_or_run("train", KEY, started))
    while not (tmp_path / "started").exists():
        time.sleep(0.01)
    waiting = in_child(lambda: store.get_or_run("train", KEY, writer(log)))
    time.sleep(0.2)
    assert runs(log) == 0
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert os.waitpid(waiting, 0)[1] == 0
    assert runs(log) == 1


def test_other_keys_do_not_wait(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    inner: list[Result] = []

    def nested(folder: Path) -> dict[str, Any]:
        other = KEY | {"version": 2}
        inner.append(store.get_or_run("train", other, writer(tmp_path / "log")))
        return {"seconds": 0.0}

    store.get_or_run("train", KEY, nested)
    assert len(inner) == 1
    assert len(visible(store)) == 2


@pytest.mark.parametrize("damage", ["changed", "missing", "record cut", "record empty"])
def test_a_damaged_result_is_made_anew(tmp_path: Path, damage: str) -> None:
    """Whatever happened to it: a changed score must never be believed."""

    def run(folder: Path) -> dict[str, float]:
        (folder / "scores").mkdir()
        (folder / "scores" / "heldout.txt").write_text("wrong")
        return {"seconds": 1.0}

    store = Store(tmp_path)
    first = store.get_or_run("answer", {"seed": 1}, run)
    scores, record = first.folder / "scores" / "heldout.txt", first.folder / "record.json"
    if damage == "changed":
        scores.write_text("right")
    elif damage == "missing":
        scores.unlink()
    else:
        record.write_text("{}" if damage == "record empty" else record.read_text()[:40])
    again = store.get_or_run("answer", {"seed": 1}, run)
    assert not again.reused
    assert scores.read_text() == "wrong"
    assert store.get_or_run("answer", {"seed": 1}, run).reused


def test_who_waits_for_another_is_told_once(tmp_path: Path) -> None:
    store, log = Store(tmp_path / "store"), tmp_path / "log"
    told: list[float] = []
    begun = threading.Event()

    def slow(folder: Path) -> dict[str, Any]:
        begun.set()
        while not told:
            time.sleep(0.01)
        return writer(log)(folder)

    first = threading.Thread(target=store.get_or_run, args=("train", KEY, slow))
    first.start()
    begun.wait()
    result = store.get_or_run("train", KEY, writer(log), waiting=lambda: told.append(1))
    first.join()
    assert (result.reused, told, runs(log)) == (True, [1], 1)
    store.get_or_run("train", KEY, writer(log), waiting=lambda: told.append(2))
    assert told == [1]
