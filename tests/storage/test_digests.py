"""Digests change with what matters, and with nothing else."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cem_lightning.storage import digests
from cem_lightning.storage.digests import digest_file, digest_path, digest_value


def make_folder(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "one").write_text("1")
    (folder / "sub" / "two").write_text("2")
    return folder


def test_digests_stay_the_same_over_versions() -> None:
    """Pinned: another digest would orphan every result in every user's store."""
    assert (
        digest_value({"b": [1, 2.5, None, True], "a": "錫"})
        == "8bdaab870b2c91511fd61062ad577dbb8dadf6de852e161a48ee38c194aa6bbe"
    )


def test_a_values_digest_ignores_the_order_of_keys_alone() -> None:
    assert digest_value({"a": 1, "b": 2}) == digest_value({"b": 2, "a": 1})
    assert digest_value([1, 2]) == digest_value((1, 2))
    different = [[1, 2], [2, 1], [12], ["1", "2"], {"1": 2}, [[1], 2], [1.5, 2], None, ""]
    assert len({digest_value(each) for each in different}) == len(different)


def test_a_value_without_one_json_form_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest_value({"loss": float("nan")})
    with pytest.raises(TypeError):
        digest_value({"path": Path("x")})


def test_a_files_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_file(tmp_path / "a") == sha256
    assert digest_path(tmp_path / "a") == sha256


def test_a_folders_digest_is_pinned_and_does_not_depend_on_where_it_lies(tmp_path: Path) -> None:
    first, second = make_folder(tmp_path / "first"), tmp_path / "elsewhere" / "second"
    shutil.copytree(first, second)
    assert digest_path(first) == digest_path(second)
    assert digest_path(first) == "ac7bf071186bf8cc7e6e565b7374ab47f8a7f944b668619866cfd1b6d907fbfa"


def rename(folder: Path) -> None:
    (folder / "one").rename(folder / "uno")


def move(folder: Path) -> None:
    (folder / "sub" / "two").rename(folder / "two")


def swap(folder: Path) -> None:
    (folder / "one").write_text("2")
    (folder / "sub" / "two").write_text("1")


def edit(folder: Path) -> None:
    (folder / "sub" / "two").write_text("3")


def add(folder: Path) -> None:
    (folder / "sub" / "empty").write_text("")


def remove(folder: Path) -> None:
    (folder / "one").unlink()


@pytest.mark.parametrize("change", [rename, move, swap, edit, add, remove])
def test_a_folders_digest_changes_with_content_and_names(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = make_folder(tmp_path / "folder")
    before = digest_path(folder)
    change(folder)
    assert digest_path(folder) != before


class Counter:
    """Counts the files that are read through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[str] = []
        monkeypatch.setattr(digests, "digest_file", self)
        monkeypatch.setattr(digests, "_LARGE", 100)
        monkeypatch.setattr(digests, "_SETTLED", 0)

    def __call__(self, path: Path) -> str:
        self.read.append(path.name)
        return digest_file(path)


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    return Counter(monkeypatch)


def model_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"w" * 1000)
    return folder


def test_a_large_file_is_read_once_and_a_small_one_always(tmp_path: Path, counter: Counter) -> None:
    folder, memory = model_folder(tmp_path / "model"), tmp_path / "memory"
    found = [digest_path(folder, memory) for _ in range(3)]
    assert counter.read == ["config.json", "model.safetensors", "config.json", "config.json"]
    assert set(found) == {digest_path(folder)}


def larger(path: Path) -> None:
    path.write_bytes(b"x" * 1001)


def same_size(path: Path) -> None:
    path.write_bytes(b"x" * 1000)


def same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"x" * 1000)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def another_in_its_place(path: Path) -> None:
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"x" * 1000)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


@pytest.mark.invariant
@pytest.mark.parametrize("change", [larger, same_size, same_size_and_time, another_in_its_place])
def test_a_changed_file_is_read_again(
    tmp_path: Path, counter: Counter, change: Callable[[Path], None]
) -> None:
    folder, memory = model_folder(tmp_path / "model"), tmp_path / "memory"
    before = digest_path(folder, memory)
    time.sleep(0.05)  # longer than a tick of the clock that files are stamped with
    change(folder / "model.safetensors")
    assert digest_path(folder, memory) == digest_path(folder) != before


def test_a_file_written_just_now_is_not_remembered(
    tmp_path: Path, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a tick of the clock it could change without a trace."""
    monkeypatch.setattr(digests, "_SETTLED", 10**12)
    folder, memory = model_folder(tmp_path / "model"), tmp_path / "memory"
    digest_path(folder, memory)
    digest_path(folder, memory)
    assert counter.read.count("model.safetensors") == 2
    assert not memory.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"file": {}}', '{"sha256": "0"}'])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, counter: Counter, content: str) -> None:
    folder, memory = model_folder(tmp_path / "model"), tmp_path / "memory"
    before = digest_path(folder, memory)
    (note,) = memory.iterdir()
    note.write_text(content)
    assert digest_path(folder, memory) == before
    assert counter.read.count("model.safetensors") == 2
