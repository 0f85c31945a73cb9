"""From JSONL files to questions, with every problem of every file named at once.

Rows are checked here one by one and ids over all files; which pool may hold which question is
the business of `pools`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cem_lightning.errors import nearest
from cem_lightning.questions.lines import read_rows, refuse
from cem_lightning.questions.records import PoolName, Question
from cem_lightning.questions.wording import LETTERS


@dataclass(frozen=True)
class QuestionFile:
    """What a file held: its questions, where each stands, and what is wrong with the others."""

    questions: tuple[Question, ...]
    places: tuple[str, ...]
    problems: tuple[str, ...]


def read_jsonl(path: Path, pool: PoolName) -> tuple[Question, ...]:
    """The questions of a JSONL file.

    A row has `question`, `choices` (at least two different texts) and `answer`: its position
    from 0, its letter from A, or its text. Optional: `id` (else the pool and the line), `kind`,
    `cluster`, `blind`. Texts are stripped and brought to Unicode NFC.

    Raises:
        UserError: naming every line that cannot be used, and why.
    """
    file = parse_file(path, pool)
    problems = (*file.problems, *duplicate_ids([file]))
    if problems:
        refuse(f"The {pool} questions", problems)
    return file.questions


def parse_file(path: Path, pool: PoolName) -> QuestionFile:
    """Like `read_jsonl`, but hands back the problems beside what could be read."""
    read = read_rows(path, f"data.{pool}")
    problems = list(read.problems)
    questions: list[Question] = []
    places: list[str] = []
    for number, row in read.rows:
        place = f"{path}, line {number}"
        try:
            questions.append(_question(row, f"{pool}-{number}"))
            places.append(place)
        except _Unusable as error:
            problems.extend(f"{place}: {problem}" for problem in error.args)
    return QuestionFile(tuple(questions), tuple(places), tuple(problems))


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
            else:
                first[question.id] = place
    return problems


class _Unusable(Exception):
    """The problems of one row, as arguments."""


def _question(row: dict[str, Any], default_id: str) -> Question:
    problems: list[str] = []
    stem = _text(row, "question", problems)
    choices = _choices(row, problems)
    answer = _answer(row, choices, problems) if choices else -1
    given = {key: row.get(key) for key in ("id", "kind", "cluster", "blind")}
    if isinstance(row.get("id"), int) and not isinstance(row["id"], bool):
        given["id"] = str(row["id"])
    texts: dict[str, str] = {}
    for key, value in given.items():
        if isinstance(value, str) and value.strip():
            texts[key] = _clean(value)
        elif value is not None:
            problems.append(f"'{key}' is {_shown(value)}; write a text or leave it out")
    if problems:
        raise _Unusable(*problems)
    name = texts.get("id", default_id)
    return Question(
        id=name,
        question=stem,
        choices=choices,
        answer=answer,
        cluster=texts.get("cluster", name),
        kind=texts.get("kind", ""),
        blind=texts.get("blind"),
    )


def _text(row: dict[str, Any], key: str, problems: list[str]) -> str:
    value = row.get(key)
    if key not in row:
        problems.append(f"'{key}' is missing{nearest(key, row)}")
    elif not isinstance(value, str) or not value.strip():
        problems.append(f"'{key}' is {_shown(value)}; write a text")
    else:
        return _clean(value)
    return ""


def _choices(row: dict[str, Any], problems: list[str]) -> tuple[str, ...]:
    """The choices, or an empty tuple with the reason among the problems."""
    value = row.get("choices")
    if "choices" not in row:
        problems.append(f"'choices' is missing{nearest('choices', row)}")
    elif not isinstance(value, list):
        problems.append(f"'choices' is {_shown(value)}; write a list of texts")
    elif not all(isinstance(each, str) and each.strip() for each in value):
        wrong = next(each for each in value if not isinstance(each, str) or not each.strip())
        problems.append(f"'choices' holds {_shown(wrong)}; every choice must be a text")
    elif not 2 <= len(value) <= len(LETTERS):
        problems.append(f"'choices' has {len(value)}; give 2 to {len(LETTERS)} choices")
    else:
        choices = tuple(_clean(each) for each in value)
        twice = next((each for at, each in enumerate(choices) if each in choices[:at]), None)
        if twice is None:
            return choices
        problems.append(f"'choices' holds {_shown(twice)} twice; make the choices different")
    return ()


def _answer(row: dict[str, Any], choices: tuple[str, ...], problems: list[str]) -> int:
    """The position of the answer, or -1 with the reason among the problems."""
    value = row.get("answer")
    found: list[int] = []
    if isinstance(value, int) and not isinstance(value, bool):
        found = [value] if 0 <= value < len(choices) else []
    elif isinstance(value, str):
        text = _clean(value)
        letter = LETTERS.find(text.upper()) if len(text) == 1 else -1
        found = [choices.index(text)] if text in choices else []
        if 0 <= letter < len(choices) and letter not in found:
            found.append(letter)
    if len(found) == 1:
        return found[0]
    if "answer" not in row:
        problems.append(f"'answer' is missing{nearest('answer', row)}")
    elif found:
        problems.append(
            f"'answer' {_shown(value)} is both a choice and the letter of another; "
            "give its position from 0"
        )
    else:
        problems.append(
            f"'answer' {_shown(value)} is not among the {len(choices)} choices; give the text of "
            f"one, its letter from A, or its position from 0"
        )
    return -1


def _clean(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
