"""Published sets of questions, read as their authors hand them out.

Finds and reads their files; what each set is lies in `published_sets`. Nothing is downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from cem_lightning.errors import UserError, nearest
from cem_lightning.questions.config import PublishedName
from cem_lightning.questions.published_sets import SETS, PublishedSet
from cem_lightning.questions.readers import QuestionFile, joined, parse_rows

Key = Literal["path", "heldout", "ood"]

_SPLITS = ("dev", "val", "test")


def read_published(
    name: PublishedName, path: Path | None, key: Key, subjects: Sequence[str] | None = None
) -> QuestionFile:
    """The questions of a file or folder of a published set.

    The subject (of Xiezhi the first label) is the question's kind. Its id is made of the set, the
    file and the line, so that it is the same wherever the file lies; it is its own cluster. Rows
    that are of the right form but cannot be used are left out.

    Args:
        key: the config key that named the path, for messages.
        subjects: read only these.

    Raises:
        UserError: if the path does not exist or holds no such files, with where to get them; if
            there is no such subject, with the nearest.
    """
    published = SETS[name]
    files = _files(published, path, key)
    if name != "xiezhi" and subjects:
        _check(subjects, [_subject(file) for file in files], published)
        files = [file for file in files if _subject(file) in subjects]
    read = [_read(name, file, f"data.{key}") for file in files]
    whole = joined(read)
    if name == "xiezhi" and subjects and not whole.problems:
        _check(subjects, [question.kind for question in whole.questions], published)
        kept = [
            (question, place)
            for question, place in zip(whole.questions, whole.places, strict=True)
            if question.kind in subjects
        ]
        whole = QuestionFile(
            tuple(question for question, _ in kept),
            tuple(place for _, place in kept),
            left_out=whole.left_out,
        )
    return whole


def _read(name: PublishedName, file: Path, key: str) -> QuestionFile:
    problems: list[str] = []
    prefix = "/".join([name, *_stem(file)])
    rows = (
        (f"{file}, line {number}", f"{prefix}/{number}", {"subject": _subject(file)} | row)
        for number, row in SETS[name].rows(file, key, problems)
    )
    return parse_rows(rows, problems, lenient=True)


def _files(published: PublishedSet, path: Path | None, key: Key) -> list[Path]:
    """The files to read, in order of their names."""
    if path is None:
        raise UserError(
            f"data.{key} is not set: the file or folder of {published.title}. {published.get}"
        )
    given = path.expanduser()
    if given.is_file():
        return [given]
    if not given.exists():
        raise UserError(f"data.{key}: {path} does not exist. {published.get}")
    folder = given / published.split
    found = sorted(
        each
        for each in (folder if folder.is_dir() else given).iterdir()
        if each.suffix.lower() in published.suffixes and each.is_file()
    )
    if found:
        return found
    inside = sorted(
        {
            each.parent.relative_to(given).as_posix()
            for suffix in published.suffixes
            for each in given.rglob(f"*{suffix}")
        }
    )
    hint = f" Did you mean one of its folders {', '.join(inside[:8])}?" if inside else ""
    raise UserError(
        f"data.{key}: the folder {path} holds no file of {published.title} "
        f"({' or '.join(published.suffixes)}).{hint} {published.get}"
    )


def _check(subjects: Sequence[str], known: Sequence[str], published: PublishedSet) -> None:
    for subject in subjects:
        if subject not in known:
            names = sorted(set(known))
            hint = nearest(subject, names) or f"; it has {', '.join(names[:20])}"
            raise UserError(
                f"data.subjects: there is no {subject!r} in these files of "
                f"{published.title}{hint}{' ...' if 'it has' in hint and len(names) > 20 else ''}"
            )


def _stem(file: Path) -> list[str]:
    """What tells a file from others of its set, wherever the set lies."""
    name = file.name.split(".")[0]
    if name == "xiezhi":  # every one of them is called xiezhi.v1.json, in a folder that tells
        return [file.resolve().parent.name.removeprefix("xiezhi_")]
    split = file.resolve().parent.name
    return [split, name] if split in _SPLITS and not name.endswith(f"_{split}") else [name]


def _subject(file: Path) -> str:
    return re.sub(rf"_({'|'.join(_SPLITS)})$", "", file.name.split(".")[0])
