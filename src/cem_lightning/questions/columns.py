"""What the columns of a question are called, and what others may hold by their names.

Sees names alone, never values; what a column has to hold is the business of `parsing`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from cem_lightning.errors import nearest
from cem_lightning.questions.wording import LETTERS

OPTIONAL = ("id", "subject", "kind", "cluster", "blind")
KNOWN = ("question", "answer", "choices", *OPTIONAL)

_LETTER = re.compile(r"[(\[]?\s*([A-Za-z])\s*[)\].:、]?")
_MEANT = re.compile(r"choice|option|alternativ|distractor|incorrect|wrong", re.IGNORECASE)
# One choice each under other names: opa, opt_b, answer_c, answer1.
_ONE = re.compile(r"(?:opt?|ans|answer)[ _.-]?(?:[a-h]|\d\d?)", re.IGNORECASE)
_NUMBER = re.compile(r"\d\d?")
_SPELLING = 0.85  # similarity from which a name is a known one misspelt: clusters, not object


def letter(name: str) -> str | None:
    """The letter of the choice that a column is named after, as "b", "B)" or "(B)" name one."""
    match = _LETTER.fullmatch(unicodedata.normalize("NFKC", name).strip())
    return match[1].upper() if match else None


def lettered(names: Iterable[str]) -> dict[str, str]:
    """The columns that are named after letters, by letter; none if it is one letter but A.

    Raises:
        ValueError: if two are named after the same letter, or one before the last is missing; in
            words for the user.
    """
    found: dict[str, str] = {}
    for name in names:
        its = letter(name)
        if its is not None and its in found:
            raise ValueError(f"{found[its]!r} and {name!r} both hold choice {its}; leave one out")
        if its is not None:
            found[its] = name
    if len(found) < 2 and "A" not in found:
        return {}
    wanted = LETTERS[: max(2, LETTERS.index(max(found)) + 1)]
    if missing := next((each for each in wanted if each not in found), None):
        there = ", ".join(repr(found[each]) for each in sorted(found))
        raise ValueError(
            f"no choice {missing} beside {there}; call the choices A, B, C, ... without a gap, and "
            "what is no choice by more than a letter"
        )
    return {each: found[each] for each in wanted}


def seems_choices(names: Iterable[str]) -> str | None:
    """The first column that seems to hold choices under a name that is not read."""
    others = [name for name in names if name not in KNOWN]
    numbered = [name for name in others if _NUMBER.fullmatch(name.strip())]
    named = [name for name in others if _MEANT.search(name) or _ONE.fullmatch(name.strip())]
    return next(iter(named or (numbered if len(numbered) > 1 else ())), None)


def misspelt(names: Iterable[str]) -> list[str]:
    """One problem for each column whose name is nearly that of an optional one not there."""
    names = list(names)
    missing = [each for each in OPTIONAL if each not in names]
    return [
        f"{name!r} is not read{hint}"
        for name in names
        if name not in KNOWN and (hint := nearest(name.casefold(), missing, _SPELLING))
    ]


def unread(names: Iterable[str]) -> list[str]:
    """The columns that take no part in a question."""
    others = [name for name in names if name not in KNOWN]
    try:
        letters = lettered(others).values()
    except ValueError:
        letters = {}.values()
    return [name for name in others if name not in letters]
