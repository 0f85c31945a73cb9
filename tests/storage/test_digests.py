"""Digests change with what matters, and with nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

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
