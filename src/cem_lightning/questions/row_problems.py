"""What is wrong with a row of questions, in words; and how its texts are cleaned and shown.

Knows no fields; these are the business of `parsing` and `answers`.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """What is wrong with a row.

    Attributes:
        text: what was found and what to do.
        reason: the same without the row's own words, to be counted; empty if the row is not of
            the expected form at all, so that it is a mistake to go on without it.
    """

    text: str
    reason: str = ""


class Unusable(Exception):
    """A row that is no question."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(*[problem.text for problem in problems])
        self.problems = problems


def clean(text: str) -> str:
    """`text` as questions hold it: stripped, in Unicode NFC."""
    return unicodedata.normalize("NFC", text).strip()


def shown(value: Any) -> str:
    """A value as a message quotes it, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
