"""From one row of a file to a question, with every problem of the row in words.

Knows nothing of files; what becomes of a row that cannot be used is the business of `readers`.
"""

from __future__ import annotations

import json
from typing import Any

from cem_lightning.errors import nearest
from cem_lightning.questions import columns
from cem_lightning.questions.answers import accepted, position
from cem_lightning.questions.normalise import one_width
from cem_lightning.questions.records import Question
from cem_lightning.questions.row_problems import Problem, Unusable, clean, shown
from cem_lightning.questions.wording import LETTERS


def parse_row(row: dict[str, Any], default_id: str, *, digits: bool = False) -> Question:
    """The question that a row describes.

    A row has `question`, `choices` and `answer`. The choices are a list of at least two different
    texts, such a list as JSON in a string, or the fields `A`, `B`, `C`, ... (also `a` or `A)`), of
    which none before the last may be missing. The answer is the
    position of the right one from 0, its letter from A, also as "(B)", "B." or full-width, or its
    text. Without choices the answer is the accepted one of a short-answer question. Optional are
    `id`, `subject` (or `kind`), `cluster` and `blind`. Texts are stripped and brought to NFC.

    Args:
        default_id: for a row without an `id`.
        digits: whether an answer of digits may be a position, as where every cell is a text.

    Raises:
        Unusable: with everything that is wrong with the row.
    """
    problems: list[Problem] = []
    stem = _stem(row, problems)
    letters = _letters(row, problems)
    choices: tuple[str, ...] = ()
    answer = -1
    if letters is None:
        pass  # the reason stands among the problems
    elif "choices" in row or letters:
        choices = _choices(row, letters, problems)
        answer = position(row, choices, digits, problems) if choices else -1
    else:
        choices, answer = accepted(row, problems), 0
    texts = _texts(row, problems)
    problems += [Problem(told) for told in columns.misspelt(row)]
    if problems:
        raise Unusable(problems)
    name = texts.get("id", default_id)
    return Question(
        id=name,
        question=stem,
        choices=choices,
        answer=answer,
        cluster=texts.get("cluster", name),
        kind=texts.get("subject", texts.get("kind", "")),
        blind=texts.get("blind"),
    )


def _stem(row: dict[str, Any], problems: list[Problem]) -> str:
    value = row.get("question")
    if "question" not in row:
        problems.append(Problem(f"'question' is missing{nearest('question', row)}"))
    elif value is not None and not isinstance(value, str):
        problems.append(Problem(f"'question' is {shown(value)}; write a text"))
    elif value is None or not value.strip():
        problems.append(
            Problem(f"'question' is {shown(value)}; write a text", "the question is empty")
        )
    else:
        return clean(value)
    return ""


def _texts(row: dict[str, Any], problems: list[Problem]) -> dict[str, str]:
    """The optional fields that are there."""
    texts: dict[str, str] = {}
    for key in columns.OPTIONAL:
        value = row.get(key)
        if key == "id" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value.strip():
            texts[key] = clean(value)
        elif value is not None:
            problems.append(Problem(f"'{key}' is {shown(value)}; write a text or leave it out"))
    if "subject" in texts and "kind" in texts:
        problems.append(Problem("'subject' and 'kind' mean the same; leave one out"))
    return texts


def _letters(row: dict[str, Any], problems: list[Problem]) -> dict[str, str] | None:
    """The fields of the choices by letter; None, with the reason, if that is not clear."""
    given = "choices" in row
    try:
        letters = columns.lettered(name for name in row if name not in columns.KNOWN)
    except ValueError as error:
        if given:  # then single letters may be anything
            return {}
        problems.append(Problem(str(error)))
        return None
    if given and letters:
        problems.append(Problem("'choices' and 'A', 'B' mean the same; leave one out"))
    if given or letters:
        return letters
    others = [name for name in row if name not in columns.KNOWN]
    hint = nearest("choices", others)
    held = next((name for name in others if isinstance(row[name], list)), None)
    held = held or columns.seems_choices(others)
    if hint:
        problems.append(Problem(f"'choices' is missing{hint}"))
    elif held is not None:
        problems.append(
            Problem(
                f"'choices' is missing; if {held!r} holds them, rename it; if it holds one choice, "
                "call these columns A, B, C, ...; else leave it out"
            )
        )
    else:
        return letters
    return None


def _choices(
    row: dict[str, Any], letters: dict[str, str], problems: list[Problem]
) -> tuple[str, ...]:
    """The choices, or an empty tuple with the reason among the problems."""
    value = row["choices"] if "choices" in row else _filled([row[key] for key in letters.values()])
    if isinstance(value, str):
        value = _list_in(value)
    if not isinstance(value, list):
        problems.append(
            Problem(
                f"'choices' is {shown(value)}; write a list of texts, "
                'as JSON if it is one cell: ["this", "that"]'
            )
        )
    elif not all(isinstance(each, str) and each.strip() for each in value):
        wrong = next(each for each in value if not isinstance(each, str) or not each.strip())
        reason = "a choice is empty" if wrong is None or isinstance(wrong, str) else ""
        problems.append(
            Problem(f"'choices' holds {shown(wrong)}; every choice must be a text", reason)
        )
    elif not 2 <= len(value) <= len(LETTERS):
        problems.append(
            Problem(
                f"'choices' has {len(value)}; give 2 to {len(LETTERS)} choices, or none at all "
                "for a short-answer question",
                f"not 2 to {len(LETTERS)} choices",
            )
        )
    else:
        choices = tuple(clean(each) for each in value)
        alike = [one_width(each) for each in choices]
        twice = next((each for at, each in enumerate(choices) if alike[at] in alike[:at]), None)
        if twice is None:
            return choices
        problems.append(
            Problem(
                f"'choices' holds {shown(twice)} twice; make the choices different",
                "two choices are the same",
            )
        )
    return ()


def _filled(cells: list[Any]) -> list[Any]:
    """The cells up to the last that is filled."""
    while cells and (cells[-1] is None or cells[-1] == ""):
        cells.pop()
    return cells


def _list_in(text: str) -> Any:
    """The JSON list that a text is, or the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, list) else text
