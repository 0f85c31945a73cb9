"""From the user's own files, JSONL or CSV, to questions, with every problem of every file.

Rows are checked by `parsing` one by one and ids here over all files; which pool may hold which
question is the business of `twins`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cem_lightning.questions import columns
from cem_lightning.questions.lines import json_rows, other_form
from cem_lightning.questions.normalise import one_width
from cem_lightning.questions.parsing import parse_row
from cem_lightning.questions.records import PoolName, Question
from cem_lightning.questions.row_problems import Unusable
from cem_lightning.questions.tables import SUFFIXES, table_rows

_OF_CHOICES = re.compile(r"[(\[]?([A-Za-z]|\d)[)\].:]?")


@dataclass(frozen=True)
class QuestionFile:
    """What a file, or several, held.

    Attributes:
        questions: those that can be used.
        places: where each of them stands, for messages.
        problems: what is wrong with the others and has to be mended.
        left_out: place and reason of rows that are rather done without.
        unread: names of columns that take no part in any question.
    """

    questions: tuple[Question, ...] = ()
    places: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def parse_file(path: Path, pool: PoolName) -> QuestionFile:
    """The questions of a file, a CSV or TSV by its suffix, else JSONL; see `parsing.parse_row`.

    A question without an id is called by the pool and the line.
    """
    problems: list[str] = []
    key = f"data.{pool}"
    if (told := other_form(path)) is not None and path.expanduser().is_file():
        return QuestionFile(problems=(f"{key}: {path}: {told}",))
    table = path.suffix.lower() in SUFFIXES
    rows: Iterable[tuple[int, dict[str, Any]]]
    rows = (
        map(_filled, table_rows(path, key, problems)) if table else json_rows(path, key, problems)
    )
    read = parse_rows(
        ((f"{path}, line {number}", f"{pool}-{number}", row) for number, row in rows),
        problems,
        digits=table,
    )
    return replace(read, problems=(*read.problems, *_lost_choices(path, read)))


def parse_rows(
    rows: Iterable[tuple[str, str, dict[str, Any]]],
    problems: list[str],
    *,
    digits: bool = False,
    lenient: bool = False,
) -> QuestionFile:
    """The questions that rows describe.

    Args:
        rows: place, id for want of another, and row; read to the end.
        problems: what the source of the rows finds wrong, while it is read.
        digits: whether answers of digits may be positions.
        lenient: leave out what is of the right form but cannot be used.
    """
    questions: list[Question] = []
    places: list[str] = []
    left_out: list[str] = []
    unread: dict[str, None] = {}
    for place, name, row in rows:
        unread |= dict.fromkeys(columns.unread(row))
        try:
            questions.append(parse_row(row, name, digits=digits))
            places.append(place)
        except Unusable as error:
            if lenient and all(problem.reason for problem in error.problems):
                left_out.append(f"{place}: {error.problems[0].reason}")
            else:
                problems.extend(f"{place}: {problem.text}" for problem in error.problems)
    return QuestionFile(
        tuple(questions), tuple(places), tuple(problems), tuple(left_out), tuple(unread)
    )


def joined(files: Sequence[QuestionFile]) -> QuestionFile:
    """Several files as one."""
    return QuestionFile(
        tuple(each for file in files for each in file.questions),
        tuple(each for file in files for each in file.places),
        tuple(each for file in files for each in file.problems),
        tuple(each for file in files for each in file.left_out),
        tuple(dict.fromkeys(each for file in files for each in file.unread)),
    )


def duplicate_ids(files: Sequence[QuestionFile]) -> list[str]:
    """One problem for each question whose id an earlier one, in any of the files, has already."""
    first: dict[str, str] = {}
    problems = []
    for file in files:
        for question, place in zip(file.questions, file.places, strict=True):
            if question.id in first:
                problems.append(
                    f"{place}: the id {question.id!r} is already that of {first[question.id]}; "
                    "give every question of all pools its own"
                )
            first.setdefault(question.id, place)
    return problems


def _lost_choices(path: Path, file: QuestionFile) -> list[str]:
    """A problem if most short answers look like those to choices, and columns are not read."""
    short = [question for question in file.questions if question.short]
    alike = sum(_OF_CHOICES.fullmatch(one_width(each.gold)) is not None for each in short)
    if not file.unread or 2 * alike <= len(short):
        return []
    names = ", ".join(map(repr, file.unread[:8]))
    return [
        f"{path}: {alike} of {len(short)} answers without choices are a letter or a small number, "
        f"and {names} {'is' if len(file.unread) == 1 else 'are'} not read; if the choices stand "
        "there, call the columns A, B, C, ... (or one choices), else leave them out"
    ]


def _filled(numbered: tuple[int, dict[str, str]]) -> tuple[int, dict[str, Any]]:
    """A row of a table in which an empty cell of an optional column counts as absent."""
    number, row = numbered
    return number, {
        key: cell for key, cell in row.items() if cell.strip() or key not in columns.OPTIONAL
    }
