"""The order in which examples are read until the token budget is filled.

A pure function of kinds, lengths, recipe and seed; it never sees a token.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cem_lightning.corpus.config import KINDS, Kind, RecipeConfig

_LATE = 1 / 3  # the part of a phase, at its end, in which late review is read


@dataclass(frozen=True)
class _Phase:
    """A stretch of the run, from one count of tokens read to another, and what it reads.

    Attributes:
        due: tokens of each kind that the phase reads; they sum to its length.
        late: tokens of review that wait for the last part of the phase.
    """

    start: float
    due: Mapping[Kind, float]
    late: float

    @property
    def length(self) -> float:
        return sum(self.due.values())

    def demand(self, spent: float) -> dict[Kind, float]:
        """Tokens each kind should have had when `spent` tokens of the run are read.

        Without late review every kind has its share of them; review that waits leaves its part
        of the early tokens to the other kinds, and takes it back at the end.
        """
        inside = min(max(spent - self.start, 0.0), self.length)
        review = 0.0
        if self.late:
            window = max(self.length * _LATE, self.late)
            review = self.late * max(0.0, 1 - (self.length - inside) / window)
        rest = self.length - self.late
        return {
            kind: review if kind == "review" and self.late else (inside - review) * tokens / rest
            for kind, tokens in self.due.items()
        }


def schedule(
    kinds: Sequence[Kind], lengths: Sequence[int], recipe: RecipeConfig, seed: int
) -> array[int]:
    """Positions of the examples to read, in order, repetitions included.

    The next example is always of the kind that lags most behind its share, so the mix is even
    all along. Each kind is read in passes, every pass shuffled anew, so no example is read twice
    more often than another of its kind. The tokens read differ from ``recipe.tokens`` by at most
    half an example.

    Args:
        kinds: kind of every unique example.
        lengths: its length in tokens.
        seed: decides the shuffles.

    Raises:
        ValueError: if no kind with a share has an example.
    """
    available = [kind for kind in KINDS if recipe.share(kind) > 0 and kind in kinds]
    if not available:
        raise ValueError(f"recipe {recipe.name!r} gives no share to any kind among the examples")
    phases = _phases(available, recipe)
    readers = {
        kind: _passes(
            array("i", (at for at, each in enumerate(kinds) if each == kind)), f"{seed}:{kind}"
        )
        for kind in available
    }
    read = dict.fromkeys(available, 0)
    order = array("i")  # of ten million samples a list would take ten times the room
    spent = 0
    while True:
        # one token ahead, so that at a standstill the largest share goes first
        ahead = min(spent + 1, recipe.tokens)
        lag = {
            kind: tokens - read[kind]
            for phase in phases
            for kind, tokens in phase.demand(ahead).items()
        }
        kind = max(lag, key=lag.__getitem__)
        example = next(readers[kind])
        length = lengths[example]
        if order and abs(spent + length - recipe.tokens) > abs(spent - recipe.tokens):
            return order
        order.append(example)
        spent += length
        read[kind] += length


def _passes(examples: array[int], purpose: str) -> Iterator[int]:
    """All examples in shuffled order, again and again."""
    number = 0
    while True:
        shuffled = examples[:]
        random.Random(f"{purpose}:{number}").shuffle(shuffled)
        yield from shuffled
        number += 1


def _phases(available: Sequence[Kind], recipe: RecipeConfig) -> list[_Phase]:
    """The phases of the run; kinds without examples have left their share to the others."""
    whole = sum(recipe.share(kind) for kind in available)
    cpt: list[Kind] = [kind for kind in available if kind == "passage"]
    cit: list[Kind] = [kind for kind in available if kind != "passage"]
    parts = {"mixed": [cpt + cit], "cit_first": [cit, cpt], "cpt_first": [cpt, cit]}
    phases: list[_Phase] = []
    start = 0.0
    for part in parts[recipe.order]:
        if not part:
            continue
        due = {kind: recipe.tokens * recipe.share(kind) / whole for kind in part}
        phases.append(_Phase(start, due, due.get("review", 0.0) if recipe.review_late else 0.0))
        start += phases[-1].length
    return phases
