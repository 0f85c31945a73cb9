"""What is made once and kept: whole or made anew, by one process at a time."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cem_lightning.storage.kept import FILES, kept_folder


class Maker:
    """Writes a file and counts how often."""

    def __init__(self, content: str = "content") -> None:
        self.times = 0
        self._content = content

    def __call__(self, folder: Path) -> bool:
        self.times += 1
        (folder / "data").write_text(self._content)
        return bool(self._content)


def test_a_folder_is_made_once(tmp_path: Path) -> None:
    make = Maker()
    for _ in range(2):
        assert kept_folder(tmp_path / "kept", make)
    assert make.times == 1
    assert (tmp_path / "kept/data").read_text() == "content"


def test_nothing_is_left_of_nothing_or_of_a_failure(tmp_path: Path) -> None:
    assert not kept_folder(tmp_path / "kept", Maker(""))

    def failing(folder: Path) -> bool:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_folder(tmp_path / "kept", failing)
    assert [each.name for each in tmp_path.iterdir() if each.suffix != ".lock"] == []
    (tmp_path / ".kept.work").mkdir()  # of one that was killed
    (tmp_path / ".kept.work/half").write_text("half")
    assert kept_folder(tmp_path / "kept", Maker())
    assert sorted(each.name for each in (tmp_path / "kept").iterdir()) == ["data", FILES]


def _edited(folder: Path) -> None:
    (folder / "data").write_text("CONTENT")


def _instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "data").unlink(),
        lambda folder: (folder / "data").write_text("cont"),
        lambda folder: (folder / FILES).write_text("[]"),
        lambda folder: (folder / FILES).write_text('{"data": 3}'),
        lambda folder: (folder / FILES).unlink(),
        _edited,
        _instead,
    ],
)
def test_what_was_damaged_is_made_anew(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    make = Maker()
    kept_folder(tmp_path / "kept", make)
    damage(tmp_path / "kept")
    kept_folder(tmp_path / "kept", make)
    assert make.times == 2
    assert (tmp_path / "kept/data").read_text() == "content"


def test_a_copy_of_a_folder_is_as_good(tmp_path: Path) -> None:
    make = Maker()
    kept_folder(tmp_path / "kept", make)
    os.utime(tmp_path / "kept/data", (1, 1))
    (tmp_path / "kept/later").write_text("put beside it")
    kept_folder(tmp_path / "kept", make)
    assert make.times == 1


def test_others_wait_for_who_makes_it(tmp_path: Path) -> None:
    begun = threading.Event()

    def slow(folder: Path) -> bool:
        assert not begun.is_set()
        begun.set()
        threading.Event().wait(0.3)
        return Maker()(folder)

    with ThreadPoolExecutor() as pool:
        made = [pool.submit(kept_folder, tmp_path / "kept", slow) for _ in range(4)]
        assert all(each.result(9) for each in made)
