"""Files appear whole or not at all: for readers, after failures, after a kill."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cem_lightning.storage.atomic import (
    publish_folder,
    read_jsonl,
    write_bytes,
    write_json,
    write_jsonl,
    write_text,
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows = [{"text": "zwei\nZeilen", "n": 1}, {"text": "錫", "n": None}]
    write_jsonl(tmp_path / "a" / "b" / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "a" / "b" / "rows.jsonl") == rows
    write_text(tmp_path / "text", "first")
    write_text(tmp_path / "text", "錫")
    assert (tmp_path / "text").read_bytes() == "錫".encode()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "text"]


def test_a_reader_never_sees_a_half_file(tmp_path: Path) -> None:
    """A reader that looks all the time while a file of 4 MB is replaced again and again."""
    path = tmp_path / "file"
    versions = [letter * 4_000_000 for letter in (b"a", b"b")]
    write_bytes(path, versions[0])
    child = os.fork()
    if child == 0:
        for turn in range(60):
            write_bytes(path, versions[turn % 2])
        os._exit(0)
    reads = 0
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        assert path.read_bytes() in versions
        reads += 1
    assert reads > 10


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if step == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    child = os.fork()
    if child == 0:
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        write_text(path, "new")
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert path.read_text() == "old"


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"loss": 1.0})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"loss": float("nan")})
    with pytest.raises(TypeError):
        write_json(path, {"loss": object()})
    assert path.read_text() == '{\n  "loss": 1.0\n}\n'


def test_data_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave the name with no data behind it."""
    flushed: list[tuple[int, bool]] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_ino, (tmp_path / "final").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    work = tmp_path / "work"
    (work / "sub").mkdir(parents=True)
    (work / "sub" / "data").write_text("x")
    publish_folder(work, tmp_path / "final")
    final = tmp_path / "final"
    written = [final, final / "sub", final / "sub" / "data"]
    before = sorted(number for number, published in flushed if not published)
    after = [number for number, published in flushed if published]
    assert before == sorted(each.stat().st_ino for each in written)
    assert after == [tmp_path.stat().st_ino]


def test_a_published_folder_replaces_what_stood_there(tmp_path: Path) -> None:
    work, final = tmp_path / "work", tmp_path / "final"
    final.mkdir()
    (final / "stale").write_text("from a run that did not finish")
    work.mkdir()
    (work / "data").write_text("x")
    publish_folder(work, final)
    assert [each.name for each in final.iterdir()] == ["data"]
    assert not work.exists()
