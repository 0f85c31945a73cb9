"""Which elements make a group, and which of their facts are asked in which pool.

Decides by what may stand beside what; how facts become questions is the business of `elements`.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from itertools import combinations

from cem_lightning.questions.elements_facts import KINDS, Element, elements

GROUPS = 3
GROUP_SIZE = 26
POOLS = ("heldout", "source")
COMMONPLACE = 0.2
"""Share of elements from which on a word said of them tells none from another."""

_WORD = re.compile(r"[^\W\d_]{4,}|\d{4}")


@cache
def groups() -> tuple[tuple[Element, ...], ...]:
    """Three disjoint groups of the elements with most facts, few answers in common inside."""
    ranked = sorted(elements(), key=lambda element: (-len(element.facts), element.number))
    chosen = ranked[: GROUPS * GROUP_SIZE]
    clashes = [[_clashes(first, second) for second in chosen] for first in chosen]
    place = [index % GROUPS for index in range(len(chosen))]

    def cost(index: int, group: int) -> int:
        return sum(count for other, count in enumerate(clashes[index]) if place[other] == group)

    improved = True
    while improved:  # swapping members only ever lowers the number of clashes, so this ends
        improved = False
        for first, second in combinations(range(len(chosen)), 2):
            here, there = place[first], place[second]
            gain = cost(first, here) - cost(first, there) + cost(second, there) - cost(second, here)
            if here != there and gain + 2 * clashes[first][second] > 0:
                place[first], place[second] = there, here
                improved = True
    return tuple(
        tuple(
            sorted(
                (element for index, element in enumerate(chosen) if place[index] == group),
                key=lambda element: element.number,
            )
        )
        for group in range(GROUPS)
    )


def _clashes(first: Element, second: Element) -> int:
    """The number of kinds in which two elements cannot be each other's distractors."""
    return sum(
        first is not second and kind in second.facts and clash(first, second, kind)
        for kind in first.facts
    )


def split(group: tuple[Element, ...]) -> dict[str, dict[str, list[Element]]]:
    """Divides the facts of a group: evenly by kind, with few clashes, then evenly by element.

    Returns:
        Elements asked about, by pool and kind.
    """
    found: dict[str, dict[str, list[Element]]] = {
        name: {kind: [] for kind in KINDS} for name in POOLS
    }
    given = {(name, element.name): 0 for name in POOLS for element in group}
    for kind in KINDS:
        for element in (element for element in group if kind in element.facts):
            counts = {name: len(found[name][kind]) for name in POOLS}
            name = min(
                POOLS,
                key=lambda name: (
                    counts[name] > min(counts.values()) + 1,
                    sum(clash(element, other, kind) for other in found[name][kind]),
                    given[name, element.name],
                    counts[name],
                ),
            )
            found[name][kind].append(element)
            given[name, element.name] += 1
    return found


def clash(first: Element, second: Element, kind: str) -> bool:
    """Whether the answer for either might be right for the other."""
    return _mentions(first.name, kind, second.facts[kind]) or _mentions(
        second.name, kind, first.facts[kind]
    )


@cache
def _mentions(element: str, kind: str, answer: str) -> bool:
    """Whether the answer might be right for the element, going by what is said about it."""
    if kind == "discoverer":  # first names are shared by people who are not the same
        answer = answer.split()[-1]
    found = _stems(answer)
    telling = found - _commonplace(kind)
    return bool((telling or found) & _said(kind)[element])


@cache
def _commonplace(kind: str) -> frozenset[str]:
    """Stems said of so many elements that they tell none from another ("metal", "produced")."""
    counts = Counter(stem for said in _said(kind).values() for stem in sorted(said))
    limit = len(elements()) * COMMONPLACE
    return frozenset(stem for stem, count in counts.items() if count > limit)


@cache
def _said(kind: str) -> dict[str, frozenset[str]]:
    return {element.name: _stems(element.described[kind]) for element in elements()}


def _stems(text: str) -> frozenset[str]:
    """The first six letters of every longer word, and years."""
    return frozenset(word[:6] for word in _WORD.findall(text.lower()))
