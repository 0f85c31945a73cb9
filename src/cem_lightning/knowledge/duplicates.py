"""Copies among passages: the same text again, or nearly.

Compares wording only: the same fact in other words is no copy, and a copy with another number is,
unless `disagreement` has found the two out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal

import numpy as np

Words = tuple[str, ...]
_Shingles = np.ndarray[Any, np.dtype[np.int64]]

SHINGLE = 5
_BATCH = 4096  # texts whose shingles are made together
_LAST = np.iinfo(np.int64).max
# odd numbers at random, by which a run of words becomes one number
_FACTORS = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93,
     0xA0761D6478BD642F],
    dtype=np.uint64,
)  # fmt: skip


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
    """Texts added so far, by their shingles; nothing is estimated, so no pair is missed.

    Of two sets of Jaccard similarity s at least, whose elements are in one order, the first
    ``n - ceil(s * n) + 1`` of each share one (prefix filter: Chaudhuri, Ganti and Kaushik 2006), so
    that only these are looked up. The order is that of hashes, which are as good as random.

    Texts are given as `normalise.words` has them.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._prepared: dict[Words, _Shingles] = {}
        self._postings: dict[int, list[int]] = {}
        self._added: list[tuple[Words, _Shingles]] = []

    def prepare(self, texts: Iterable[Words]) -> None:
        """Make the shingles of many texts at once, which is faster than one by one."""
        rest = iter(texts)
        while some := list(islice(rest, _BATCH)):
            self._prepared.update(zip(some, _shingles(some), strict=True))

    def find(self, text: Words) -> Copy | None:
        """The most similar earlier text at or above the threshold, the earliest of equals."""
        own = self._shingles(text)
        known = self._postings
        near = {at for each in self._prefix(own) if each in known for at in known[each]}
        best: tuple[float, int] | None = None
        for at in sorted(near):
            other = self._added[at][1]
            shared = len(np.intersect1d(own, other, assume_unique=True))
            similarity = shared / (len(own) + len(other) - shared)
            if similarity >= self._threshold and (best is None or similarity > best[0]):
                best = (similarity, at)
        if best is None:
            return None
        same = self._added[best[1]][0] == text
        return Copy(best[1], best[0], "duplicate" if same else "near_duplicate")

    def add(self, text: Words) -> None:
        """Make a text known to later `find`."""
        own = self._shingles(text)
        for each in self._prefix(own):
            self._postings.setdefault(each, []).append(len(self._added))
        self._added.append((text, own))

    def _shingles(self, text: Words) -> _Shingles:
        if text not in self._prepared:
            self.prepare((text,))
        return self._prepared[text]

    def _prefix(self, shingles: _Shingles) -> list[int]:
        # rounded down against the last bit of a product such as 0.8 * 5
        common = math.ceil(self._threshold * len(shingles) - 1e-9)
        prefix: list[int] = shingles[: len(shingles) - common + 1].tolist()
        return prefix


def _shingles(texts: Sequence[Words]) -> list[_Shingles]:
    """Hashes of the different runs of five words, in order; a shorter text is one run."""
    long = [each for each in texts if len(each) >= SHINGLE]
    made = iter(_runs(long)) if long else iter(())
    return [
        next(made) if len(each) >= SHINGLE else np.array([hash(each)], dtype=np.int64)
        for each in texts
    ]


def _runs(texts: Sequence[Words]) -> list[_Shingles]:
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    words = np.fromiter(map(hash, chain.from_iterable(texts)), np.int64, int(lengths.sum()))
    ends = len(words) - SHINGLE + 1
    hashes = np.zeros(ends, dtype=np.uint64)
    for at, factor in enumerate(_FACTORS):
        hashes += words[at : at + ends].view(np.uint64) * factor
    hashes ^= hashes >> np.uint64(29)  # the low digits alone would know of the low digits alone
    rows = lengths - SHINGLE + 1
    table = np.full((len(texts), int(rows.max())), _LAST, dtype=np.int64)
    held = np.arange(table.shape[1]) < rows[:, None]
    starts = np.cumsum(lengths) - lengths
    table[held] = hashes.view(np.int64)[(starts[:, None] + np.arange(table.shape[1]))[held]]
    table.sort(axis=1)
    new = np.ones(table.shape, dtype=bool)
    new[:, 1:] = table[:, 1:] != table[:, :-1]
    new &= table != _LAST
    return np.split(table[new], np.cumsum(new.sum(axis=1))[:-1])
