"""The right answer of a row: a position, a letter or a text among choices, or a text alone.

Knows nothing of the other fields; these are the business of `parsing`.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from cem_lightning.errors import nearest
from cem_lightning.questions.columns import letter
from cem_lightning.questions.row_problems import Problem, clean, shown
from cem_lightning.questions.wording import LETTERS


def position(
    row: dict[str, Any], choices: tuple[str, ...], digits: bool, problems: list[Problem]
) -> int:
    """The position of the answer, or -1 with the reason among the problems."""
    value = row.get("answer")
    found: list[int] = []
    by_text = by_letter = False
    if isinstance(value, int) and not isinstance(value, bool):
        found = [value] if 0 <= value < len(choices) else []
    elif isinstance(value, str):
        text = clean(value)
        plain = unicodedata.normalize("NFKC", text)
        by_text = text in choices
        its = letter(plain)
        named = -1 if its is None else LETTERS.index(its)
        if digits and plain.isdecimal() and len(plain) < 3:
            named = int(plain)
        by_letter = its is not None
        found = [choices.index(text)] if by_text else []
        if 0 <= named < len(choices) and named not in found:
            found.append(named)
    if len(found) == 1:
        return found[0]
    if "answer" not in row:
        problems.append(Problem(f"'answer' is missing{nearest('answer', row)}"))
    elif found:
        other, remedy = ("letter", "position from 0") if by_letter else ("position", "letter")
        problems.append(
            Problem(
                f"'answer' {shown(value)} is both a choice and the {other} of another; "
                f"give its {remedy}",
                "the answer may be meant in two ways",
            )
        )
    else:
        problems.append(
            Problem(
                f"'answer' {shown(value)} is not among the {len(choices)} choices; give the text "
                "of one, its letter from A, or its position from 0",
                # Positions from 1 would be read one off in all the other rows.
                "" if str(value) == str(len(choices)) else "the answer is not among the choices",
            )
        )
    return -1


def accepted(row: dict[str, Any], problems: list[Problem]) -> tuple[str, ...]:
    """The one choice of a short-answer question."""
    value = row.get("answer")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if "answer" not in row:
        problems.append(Problem(f"'answer' is missing{nearest('answer', row)}"))
    elif not isinstance(value, str) or not value.strip():
        problems.append(
            Problem(
                f"'answer' is {shown(value)}; write a text, since there are no choices",
                "the answer is empty" if value is None or isinstance(value, str) else "",
            )
        )
    else:
        return (clean(value),)
    return ()
