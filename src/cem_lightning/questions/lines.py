"""Text files that a user wrote: lines and JSONL rows with their numbers, every problem in words.

Knows nothing of what the rows mean; our own files are read by `storage.atomic`.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

from cem_lightning.errors import UserError

SHOWN = 20
MOST_PROBLEMS = 1000  # of one file; who gave a picture for a text needs no list of its lines
LINE_LIMIT = 2**24  # characters; five times War and Peace

_COMPRESSED = (".bz2", ".gz", ".tgz", ".xz", ".zip", ".zst")
_SPREADSHEETS = (".ods", ".xls", ".xlsx")
_COLUMNAR = (".arrow", ".feather", ".parquet", ".pq")


@dataclass(frozen=True)
class Line:
    """A line of a file without its end, or what is wrong with it.

    Attributes:
        number: counted from 1.
        text: the line; empty if there is a problem.
        problem: None, or why it cannot be read, with the remedy.
    """

    number: int
    text: str
    problem: str | None = None


def json_rows(path: Path, key: str, problems: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file one by one, each with its line number from 1.

    A byte order mark, UTF-16, CRLF and blank lines are harmless.

    Args:
        key: the config key that named the file, for messages.
        problems: receives what cannot be read; the rows after it are read all the same.
    """
    found = False
    before = len(problems)
    for line in lines(path, key, problems, "JSONL"):
        if line.problem is not None:
            problems.append(f"{path}, line {line.number}: {line.problem}")
        elif line.text.strip():
            row, problem = _object(line.text)
            if row is not None:
                found = True
                yield line.number, row
            else:
                problems.append(f"{path}, line {line.number}: {problem}")
        if len(problems) - before >= MOST_PROBLEMS:
            problems.append(f"{path}: reading ended after {MOST_PROBLEMS} problems")
            return
    if not found and len(problems) == before:
        problems.append(f"{key}: {path} is empty; write one JSON object a line")


def other_form(path: Path) -> str | None:
    """What to do with a file whose ending says that it holds no lines of text; else None."""
    ending = path.suffix.lower()
    if ending in _COMPRESSED:
        return f"{ending} is not read; unpack it"
    if ending in _SPREADSHEETS:
        return f"{ending} is not read; save the sheet as CSV in UTF-8"
    if ending in _COLUMNAR:
        return (
            f"{ending} is not read here; write it as JSON lines, for instance by pandas.read_"
            f"{'parquet' if ending in _COLUMNAR[2:] else 'feather'}(FILE).to_json(NEW, "
            'orient="records", lines=True, force_ascii=False)'
        )
    return None


def lines(path: Path, key: str, problems: list[str], form: str) -> Iterator[Line]:
    """The lines of a text file, decoded, read as they are asked for.

    UTF-8 is expected; a byte order mark says UTF-16. A line that is too long ends the file, since
    reading on to its end could take any amount of memory.

    Args:
        key: the config key that named the file, for messages.
        problems: receives why the file cannot be opened.
        form: what the file should be, for messages.
    """
    path = path.expanduser()
    try:
        with path.open("rb") as raw:
            start = raw.read(3)
        wide = start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        # Undecodable bytes come through as surrogates, so that their line can be named.
        handler = "replace" if wide else "surrogateescape"
        encoding = "utf-16" if wide else "utf-8-sig"
        with path.open(encoding=encoding, errors=handler, newline="\n") as file:
            number = 0
            while text := file.readline(LINE_LIMIT + 1):
                number += 1
                if len(text) > LINE_LIMIT:
                    problem = (
                        f"longer than {LINE_LIMIT} characters, reading ended there; "
                        "write one row a line"
                    )
                    yield Line(number, "", problem)
                    return
                bad = _undecodable(text, wide)
                yield Line(number, "", bad) if bad else Line(number, text.removesuffix("\n"))
    except FileNotFoundError:
        problems.append(f"{key}: the file {path} does not exist; give the path of a {form} file")
    except OSError as error:
        problems.append(f"{key}: {path} cannot be read ({error.strerror}); give a {form} file")


def refuse(what: str, problems: Sequence[str]) -> Never:
    """Raise one UserError that lists the problems, the first `SHOWN` of them in full."""
    if len(problems) == 1:
        raise UserError(f"{what} cannot be used: {problems[0]}.")
    listed = "".join(f"\n  {problem}." for problem in problems[:SHOWN])
    more = f"\n  ... and {len(problems) - SHOWN} more." if len(problems) > SHOWN else ""
    raise UserError(f"{what} cannot be used, {len(problems)} problems:{listed}{more}")


def _undecodable(text: str, wide: bool) -> str | None:
    """What is wrong with a decoded line, or None."""
    if "\0" in text:
        return (
            f"character {text.index(chr(0)) + 1} is a NUL, so this is no text, or one in UTF-16 "
            "or UTF-32 that does not say so; save as UTF-8"
        )
    if wide:
        at = text.find("\ufffd")
        return f"character {at + 1} is not UTF-16; save as UTF-8" if at >= 0 else None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = len(text[: error.start].encode()) + 1
        return f"byte {byte} is not UTF-8; save as UTF-8"
    return None


class _Twice(Exception):
    """A key that an object has twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for at, name in enumerate(names) if name in names[:at]))
    return found


def _object(text: str) -> tuple[dict[str, Any] | None, str]:
    """The JSON object that a line is, or None and why not."""
    try:
        row = json.loads(text, object_pairs_hook=_unique)
        json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except UnicodeEncodeError:
        return None, "an escape such as \\ud800 that is half a character; remove it"
    except _Twice as error:
        return None, f"the key {str(error)!r} stands twice in it; leave one out"
    except (ValueError, RecursionError) as error:  # malformed, or a number beyond all bounds
        where = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        told = str(error).split(":")[0]
        return None, f"malformed JSON{where} ({told}); write one JSON object a line"
    if isinstance(row, dict):
        return row, ""
    return None, (
        f'{type(row).__name__} instead of an object; write one {{"key": value, ...}} a line'
    )
