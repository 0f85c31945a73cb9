"""Copies of a text that contradict each other: one of them is false, and nobody can tell which.

Compares wording, not meaning: two texts that say the same thing in the same words but for a number,
a name or a "not". What differs in its subject as well is about something else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import combinations
from typing import Literal

import regex

from cem_lightning.mistakes.points import STOP_WORDS
from cem_lightning.questions.normalise import words

Kind = Literal["number", "name", "negation"]

_SHINGLE = 3
_CROWDED = 60  # texts that share a run of words from which it is a template and tells nothing
_ALIKE = 0.7  # least share of words in common, numbers, names and negations apart
_SHORTEST = 6  # words; less is a phrase, not a statement
_SEVERAL = 3  # numbers that differ from which a text is about another case
_YEAR = re.compile(r"1\d{3}|20\d{2}")

_NEGATIONS = frozenset(
    {"not", "no", "never", "none", "neither", "nor", "cannot", "without"}
    | {"不", "没", "没有", "非", "无", "未", "并非", "并不", "不是", "不由", "不会", "从不", "从未"}
)
_CONTRACTED = frozenset(
    {"isn", "wasn", "aren", "weren", "don", "doesn", "didn", "won", "can", "couldn", "wouldn"}
    | {"shouldn", "hasn", "haven", "hadn"}
)
_UNITS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty
"""
_TENS = "thirty forty fifty sixty seventy eighty ninety"
_SPELT = {word: str(number) for number, word in enumerate(_UNITS.split())} | {
    word: str(10 * number) for number, word in enumerate(_TENS.split(), start=3)
}
_DIGITS = re.compile(r"[-+]?\d[\d.,]*(?:st|nd|rd|th)?")
_CHINESE_NUMBER = re.compile("[〇零一二三四五六七八九十百千万亿两]{2,}")
_GROUPED = re.compile(r"(?<=\d)[,\u202f\u00a0](?=\d{3}(?!\d))")  # 1,000
_NAME = regex.compile(r"(?<![.!?。！？:\n]\s)(?<!^)(?<=[\s(\"'“])\p{Lu}[\p{L}\p{M}'’-]*")


@dataclass(frozen=True)
class Disagreement:
    """Texts that cannot all be true.

    Attributes:
        members: their positions, increasing.
        kind: what they differ in, of the first two found.
        detail: what each of these two says.
    """

    members: tuple[int, ...]
    kind: Kind
    detail: str


@dataclass(frozen=True)
class _Statement:
    """A text as what may be altered in it, and the rest."""

    numbers: Counter[str]
    names: frozenset[str]
    negations: int
    rest: Counter[str]
    subject: str
    title: frozenset[str]
    shingles: frozenset[tuple[str, ...]]


def disagreements(texts: Sequence[str], titles: Sequence[str] = ()) -> list[Disagreement]:
    """The groups of texts that contradict each other, by their first members.

    Args:
        titles: of the documents the texts are from; texts that hold words of their titles, which
            share none, are about different things.
    """
    named = titles or [""] * len(texts)
    statements = [_statement(*each) for each in zip(texts, named, strict=True)]
    group = list(range(len(texts)))
    first: dict[int, tuple[Kind, str]] = {}

    def top(at: int) -> int:
        while group[at] != at:
            at = group[at]
        return at

    for a, b in _pairs(statements):
        if found := _conflict(statements[a], statements[b]):
            low, high = sorted((top(a), top(b)))
            group[high] = low
            first.setdefault(low, first.get(high, found))
    members: dict[int, list[int]] = {}
    for at in range(len(texts)):
        members.setdefault(top(at), []).append(at)
    return [
        Disagreement(tuple(found), *first[low])
        for low, found in sorted(members.items())
        if len(found) > 1
    ]


def _pairs(statements: Sequence[_Statement]) -> Iterator[tuple[int, int]]:
    """Texts that share a telling run of words, each pair once."""
    postings: dict[tuple[str, ...], list[int]] = {}
    for at, each in enumerate(statements):
        for shingle in each.shingles:
            postings.setdefault(shingle, []).append(at)
    seen: set[tuple[int, int]] = set()
    for sharing in postings.values():
        if 1 < len(sharing) <= _CROWDED:
            seen.update(combinations(sharing, 2))
    yield from sorted(seen)


def _conflict(a: _Statement, b: _Statement) -> tuple[Kind, str] | None:
    """What two texts contradict each other in, with what each says."""
    if not _of_one_thing(a, b):
        return None
    least = _ALIKE * max(a.rest.total(), b.rest.total())
    if (a.rest & b.rest).total() < least:
        return None
    if _often(a.rest - b.rest) and _often(b.rest - a.rest):
        return None  # a word that comes again and again is what a text is about
    numbers = (a.numbers - b.numbers, b.numbers - a.numbers)
    names = (a.names - b.names, b.names - a.names)
    if all(names):
        several = len(a.names & b.names) > 0
        alone = a.subject not in names[0] and b.subject not in names[1]
        if any(numbers) or max(map(len, names)) > 1 or not (several or alone):
            return None  # another subject
        return "name", f"{_listed(names[0])} against {_listed(names[1])}"
    if all(numbers):
        return _other_number(a, b, numbers)
    if a.negations != b.negations and not any(numbers):
        return "negation", f"{a.negations} negations against {b.negations}"
    return None


def _of_one_thing(a: _Statement, b: _Statement) -> bool:
    """Whether titles share a word, or the first word of either text that tells is in the other."""
    if a.title and b.title:
        return bool(a.title & b.title)
    return any(
        own.subject in other.rest or own.subject in other.names for own, other in ((a, b), (b, a))
    )


def _often(words: Counter[str]) -> bool:
    return any(count > 1 for word, count in words.items() if word not in STOP_WORDS)


def _other_number(
    a: _Statement, b: _Statement, numbers: tuple[Counter[str], Counter[str]]
) -> tuple[Kind, str] | None:
    differing = max(each.total() for each in numbers)
    years = any(_YEAR.fullmatch(number) for each in numbers for number in each)
    whole = max(a.numbers.total(), b.numbers.total())
    if differing >= _SEVERAL and differing * 2 > whole:
        return None  # a table, a list, another year's report
    if years and differing > 1:
        return None
    return "number", f"{_listed(numbers[0])} against {_listed(numbers[1])}"


def _statement(text: str, title: str) -> _Statement:
    plain = _GROUPED.sub("", text)
    names = frozenset(
        word for found in _NAME.findall(plain) for word in words(found) if word not in STOP_WORDS
    )
    numbers: Counter[str] = Counter()
    rest: list[str] = []
    negations = 0
    before = ""
    for token in words(plain):
        number = _number(token)
        if number is not None:
            numbers[number] += 1
        elif token in _NEGATIONS or (token == "t" and before in _CONTRACTED):
            negations += 1
        elif token not in names:
            rest.append(token)
        before = token
    runs = (tuple(rest[at : at + _SHINGLE]) for at in range(len(rest) - _SHINGLE + 1))
    telling = [token for token in words(plain) if token not in STOP_WORDS and not token.isdigit()]
    return _Statement(
        numbers,
        names,
        negations,
        Counter(rest),
        telling[0] if telling else "",
        frozenset(words(title)).intersection(telling),
        frozenset(runs) if len(rest) >= _SHORTEST else frozenset(),
    )


def _number(token: str) -> str | None:
    """A number in one form, whether it is written in digits or in words."""
    if token in _SPELT:
        return _SPELT[token]
    if _CHINESE_NUMBER.fullmatch(token):
        return token
    if not _DIGITS.fullmatch(token):
        return None
    digits = token.rstrip("stndrh").rstrip(".,")
    try:
        return f"{Decimal(digits.replace(',', '.')).normalize():f}"
    except InvalidOperation:
        return digits


def _listed(found: Counter[str] | frozenset[str]) -> str:
    return ", ".join(sorted(found))
