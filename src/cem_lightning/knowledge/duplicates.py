"""Copies among passages: the same text again, or nearly.

Compares wording only: the same fact in other words is no copy, and a copy with another number is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from cem_lightning.questions.normalise import words

SHINGLE = 5


@dataclass(frozen=True)
class Copy:
    """An earlier text that a text repeats.

    Attributes:
        position: of the earlier text in the order of adding.
        similarity: Jaccard similarity of the sets of 5-word shingles, 0 to 1.
    """

    position: int
    similarity: float
    kind: Literal["duplicate", "near_duplicate"]


class Duplicates:
    """Texts added so far, by their shingles; exact counting, no hashing to miss a pair."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._postings: dict[tuple[str, ...], list[int]] = {}
        self._words: list[tuple[str, ...]] = []
        self._sizes: list[int] = []

    def find(self, text: str) -> Copy | None:
        """The most similar earlier text at or above the threshold, the earliest of equals."""
        tokens = words(text)
        own = _shingles(tokens)
        shared = Counter(at for shingle in own for at in self._postings.get(shingle, ()))
        best: tuple[float, int] | None = None
        for at in sorted(shared):
            similarity = shared[at] / (len(own) + self._sizes[at] - shared[at])
            if similarity >= self._threshold and (best is None or similarity > best[0]):
                best = (similarity, at)
        if best is None:
            return None
        same = self._words[best[1]] == tokens
        return Copy(best[1], best[0], "duplicate" if same else "near_duplicate")

    def add(self, text: str) -> None:
        """Make a text known to later `find`."""
        tokens = words(text)
        own = _shingles(tokens)
        for shingle in own:
            self._postings.setdefault(shingle, []).append(len(self._sizes))
        self._words.append(tokens)
        self._sizes.append(len(own))


def _shingles(tokens: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The different runs of five words; a shorter text is one run."""
    runs = (tokens[at : at + SHINGLE] for at in range(max(1, len(tokens) - SHINGLE + 1)))
    return tuple(dict.fromkeys(runs))
