"""CSV and TSV that a user wrote: records with their line numbers, and rows under a header.

Knows which columns questions have, so that a wrong delimiter shows; not what they mean.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from cem_lightning.errors import nearest
from cem_lightning.questions.columns import KNOWN, letter
from cem_lightning.questions.lines import MOST_PROBLEMS, lines

SUFFIXES = (".csv", ".tsv")
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


class _Unreadable(Exception):
    """Why the file cannot be read further."""


def table_rows(
    path: Path, key: str, problems: list[str], required: Sequence[str] = ("question", "answer")
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV with a header, each with the number of the line it begins on.

    The delimiter is the one of comma, semicolon and tab that makes most of the header known.
    Known columns are found in any case; an empty cell stays empty; wholly empty rows are skipped.

    Args:
        key: the config key that named the file, for messages.
        problems: receives what cannot be read, at most one for the header or the quoting.
        required: columns without which the header is refused.
    """
    delimiter, before = None, len(problems)
    for line in lines(path, key, problems, "CSV"):
        if line.problem is None and not line.text.strip():
            continue
        delimiter = "," if line.problem else _delimiter(line.text)
        break
    if delimiter is None:
        if len(problems) == before:
            problems.append(f"{key}: {path} is empty; write a header and one question a line")
        return
    found = False
    header: list[str] = []
    for number, cells in records(path, key, problems, delimiter):
        if not header:
            header = [_name(cell) for cell in cells]
            wrong = _header_problem(header, delimiter, required)
            if wrong:
                problems.append(f"{path}, line {number}: {wrong}")
                return
        elif len(cells) != len(header):
            problems.append(
                f"{path}, line {number}: {len(cells)} cells under a header of {len(header)}, cut "
                f"at {_DELIMITERS[delimiter]}; put a cell that holds one in double quotes"
            )
        else:
            found = True
            yield number, {name: cell for name, cell in zip(header, cells, strict=True) if name}
        if len(problems) - before >= MOST_PROBLEMS:
            problems.append(f"{path}: reading ended after {MOST_PROBLEMS} problems")
            return
    if len(problems) == before and not found:
        problems.append(f"{key}: {path} holds a header at most; write one question a line below it")


def records(
    path: Path, key: str, problems: list[str], delimiter: str = ","
) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV that are not empty, each with the number of the line it begins on.

    Args:
        key: the config key that named the file, for messages.
        problems: receives what cannot be read; whatever it is ends the file, since a quote that
            is not closed makes the rest unintelligible.
    """

    def physical() -> Iterator[str]:
        for line in lines(path, key, problems, "CSV"):
            if line.problem is not None:
                raise _Unreadable(f"{path}, line {line.number}: {line.problem}")
            yield line.text + "\n"

    reader = csv.reader(physical(), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except _Unreadable as error:
            problems.append(str(error))
            return
        except csv.Error as error:
            told = _told(str(error), reader.line_num)
            problems.append(f"{path}, line {number}: {told}")
            return
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield number, cells


def _told(error: str, line: int) -> str:
    """In words what the csv module found, up to a line."""
    if "new-line" in error:
        return "a carriage return alone inside; save the file with line ends LF or CRLF"
    if "field larger" in error:
        return (
            f"a cell of more than {csv.field_size_limit()} characters; close its double quote, "
            "or shorten it"
        )
    return (
        f"the double quotes do not match up to line {line}; close every quote, and write one "
        "inside a quoted cell twice"
    )


def _delimiter(header: str) -> str:
    def known(delimiter: str) -> tuple[int, int]:
        names = _split(header, delimiter)
        return sum(name in KNOWN or letter(name) is not None for name in names), len(names)

    return max(_DELIMITERS, key=known)


def _split(header: str, delimiter: str) -> list[str]:
    try:
        return [_name(cell) for cell in next(csv.reader([header], delimiter=delimiter))]
    except csv.Error:
        return []


def _name(cell: str) -> str:
    name = cell.strip()
    if (named := letter(name)) is not None:
        return named
    return name.casefold() if name.casefold() in KNOWN else name


def _header_problem(header: list[str], delimiter: str, required: Sequence[str]) -> str | None:
    names = [name for name in header if name]
    missing = [name for name in required if name not in names]
    if not missing:
        twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
        return None if twice is None else f"two columns are called {twice!r}; rename one"
    shown = ", ".join(repr(name) for name in names[:12])
    hint = nearest(missing[0], [name for name in names if name not in KNOWN])
    return (
        f"no column {' and none '.join(map(repr, missing))}{hint or ';'} the header, cut at "
        f"{_DELIMITERS[delimiter]}, holds {shown}; separate the columns by comma, semicolon or "
        "tab and call them question, answer, and choices or A, B, C, ..."
    )
