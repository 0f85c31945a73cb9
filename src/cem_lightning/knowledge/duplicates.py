"""Copies among passages: the same text again, or nearly.

Compares wording only: the same fact in other words is no copy, and a copy with another number is,
unless `disagreement` has found the two out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from typing import Any, Literal

import numpy as np

Words = tuple[str, ...]
_Numbers = np.ndarray[Any, np.dtype[np.int64]]

SHINGLE = 5
_BATCH = 512  # texts whose shingles are made together; they fit into the processor's cache
_BLANK = ("",)  # no word, which fills up what is shorter than a shingle
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

    Most texts are like no other. Where all are known beforehand (`prepare`), one sort tells which
    of them share nothing; these are looked up only when a text comes that was not known.

    Texts are given as `normalise.words` has them.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._fresh = True  # no text was seen yet
        self._alone: dict[Words, int | None] = {}  # and where they were added
        self._shingles: dict[Words, _Numbers] = {}  # of all texts seen but those alone
        self._postings: dict[int, list[int]] = {}
        self._added: list[Words] = []

    def prepare(self, texts: Iterable[Words]) -> None:
        """Compare all texts that will come at once, which is faster than one by one.

        Texts prepared later or not at all are found just as well, at the pace of one by one.
        """
        batch = list(texts)
        if not batch:
            return
        shingles, lengths = _shingles(batch)
        ends = np.cumsum(lengths)
        starts = ends - lengths
        meeting = np.ones(len(batch), dtype=bool)
        if self._fresh:
            self._fresh = False
            meeting = _meeting(shingles, starts, self._prefix(lengths))
            self._alone = dict.fromkeys(compress(batch, ~meeting))
        else:
            self._look_up_all()
        for at in np.flatnonzero(meeting).tolist():
            self._shingles[batch[at]] = shingles[starts[at] : ends[at]]

    def find(self, text: Words) -> Copy | None:
        """The most similar earlier text at or above the threshold, the earliest of equals."""
        own = self._looked_up(text)
        if own is None:
            at = self._alone[text]
            return None if at is None else Copy(at, 1.0, "duplicate")
        known = self._postings
        near = {at for each in self._keys(own) if each in known for at in known[each]}
        best: tuple[float, int] | None = None
        for at in sorted(near):
            other = self._shingles[self._added[at]]
            shared = _shared(own, other)
            similarity = shared / (len(own) + len(other) - shared)
            if similarity >= self._threshold and (best is None or similarity > best[0]):
                best = (similarity, at)
        if best is None:
            return None
        same = self._added[best[1]] == text
        return Copy(best[1], best[0], "duplicate" if same else "near_duplicate")

    def add(self, text: Words) -> None:
        """Make a text known to later `find`."""
        own = self._looked_up(text)
        if own is not None:
            self._post(len(self._added), own)
        elif self._alone[text] is None:
            self._alone[text] = len(self._added)
        self._added.append(text)

    def _looked_up(self, text: Words) -> _Numbers | None:
        """The shingles of a text; None of one that is like no other but itself."""
        if text in self._alone:
            return None
        if text not in self._shingles:
            self.prepare((text,))
        return self._shingles.get(text)

    def _look_up_all(self) -> None:
        """From now on: a text came that those alone were not compared with."""
        alone, self._alone = self._alone, {}
        if alone:
            self.prepare(alone)
            for at, text in enumerate(self._added):
                if text in alone:
                    self._post(at, self._shingles[text])

    def _post(self, at: int, shingles: _Numbers) -> None:
        for each in self._keys(shingles):
            self._postings.setdefault(each, []).append(at)

    def _keys(self, shingles: _Numbers) -> list[int]:
        keys: list[int] = shingles[: self._prefix(np.asarray(len(shingles)))].tolist()
        return keys

    def _prefix(self, lengths: _Numbers) -> _Numbers:
        """How many shingles of texts with so many are looked up."""
        # rounded down against the last bit of a product such as 0.8 * 5
        common: _Numbers = np.ceil(self._threshold * lengths - 1e-9).astype(np.int64)
        return np.asarray(lengths - np.maximum(common, 1) + 1)


def _shared(first: _Numbers, second: _Numbers) -> int:
    """Numbers in both; `np.intersect1d` takes three times as long for a hundred."""
    both = np.concatenate((first, second))
    both.sort()
    return int(np.count_nonzero(both[1:] == both[:-1]))


def _meeting(shingles: _Numbers, starts: _Numbers, prefix: _Numbers) -> np.ndarray[Any, Any]:
    """Whether a text has one of the first `prefix` of its shingles in common with another."""
    owners = np.repeat(np.arange(len(starts)), prefix)
    first = np.cumsum(prefix) - prefix
    keys = shingles[np.arange(len(owners)) + (starts - first)[owners]]
    order = np.argsort(keys)
    keys, owners = keys[order], owners[order]
    same = keys[1:] == keys[:-1]
    meeting = np.zeros(len(starts), dtype=bool)
    meeting[owners[1:][same]] = True
    meeting[owners[:-1][same]] = True
    return meeting


def _shingles(texts: Sequence[Words]) -> tuple[_Numbers, _Numbers]:
    """Hashes of the different runs of five words, text by text in order, and how many each has."""
    filled = [each if len(each) >= SHINGLE else (each + _BLANK * SHINGLE)[:SHINGLE]
              for each in texts]  # fmt: skip
    made = [_runs(filled[at : at + _BATCH]) for at in range(0, len(filled), _BATCH)]
    shingles, lengths = (np.concatenate(each) for each in zip(*made, strict=True))
    return shingles, lengths


def _runs(texts: Sequence[Words]) -> tuple[_Numbers, _Numbers]:
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
    return table[new], new.sum(axis=1)
