"""Search by words and by meaning: BM25 and static embeddings, joined by reciprocal rank.

The embeddings are WordLlama's (https://github.com/dleemiller/WordLlama), whose weights come with
its wheel: no download, no GPU, some thousand texts a second.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from cem_lightning.knowledge.bm25 import Bm25, text_of
from cem_lightning.knowledge.ranking import Hit
from cem_lightning.knowledge.records import Document
from cem_lightning.storage.kept import kept_folder

DEPTH = 4  # times as many candidates of each kind as are wanted
_SMOOTHING = 60  # k of reciprocal rank fusion, as in Cormack, Clarke and Buettcher (2009)
_BATCH = 1024  # texts that are embedded at a time
_DIMENSIONS = 256
_LEAST = np.finfo(np.float32).tiny  # a text of no known token stays zero


class Embeddings:
    """Embeddings of titles and texts, of length one; searched without an index, by all of them."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._vectors = np.empty((len(documents), _DIMENSIONS), dtype=np.float16)
        _fill(self._vectors, documents)

    @classmethod
    def kept(cls, documents: Sequence[Document], folder: Path) -> Self:
        """The embeddings in ``folder/embeddings``, which are computed there if they are not yet."""
        place = folder / "embeddings"

        def make(work: Path) -> bool:
            shape = (len(documents), _DIMENSIONS)
            target = np.lib.format.open_memmap(
                work / "vectors.npy", mode="w+", dtype=np.float16, shape=shape
            )
            _fill(target, documents)
            target.flush()
            return True

        kept_folder(place, make)
        kept = cls(())
        kept._vectors = np.load(place / "vectors.npy", mmap_mode="r")
        return kept

    def search(self, query: str, k: int, least: float) -> list[tuple[int, float]]:
        """Positions and cosines of the nearest `k` documents, none below `least`."""
        if not len(self._vectors):
            return []
        sought = embed([query])[0].astype(np.float32)
        near = np.concatenate([rows.astype(np.float32) @ sought for rows in _blocks(self._vectors)])
        found = np.flatnonzero(
            near >= max(least, np.partition(near, -min(k, len(near)))[-k:].min())
        )
        best = found[np.argsort(-near[found], kind="stable")][:k]
        return [(int(at), min(1.0, float(near[at]))) for at in best]


class Hybrid:
    """Two rankings as one: the sum of 1 / (60 + rank) over both.

    Args:
        least: cosine that a document must reach to be in the ranking by embeddings.
    """

    def __init__(self, words: Bm25, embeddings: Embeddings, least: float) -> None:
        self._words = words
        self._embeddings = embeddings
        self._least = least

    def idf(self, word: str) -> float:
        return self._words.idf(word)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        by_words = self._words.search(queries, DEPTH * k)
        return [self._joined(*each, k) for each in zip(queries, by_words, strict=True)]

    def _joined(self, query: str, by_words: list[Hit], k: int) -> list[Hit]:
        scores: dict[int, float] = {}
        relevance: dict[int, float] = {}
        near = self._embeddings.search(query, DEPTH * k, self._least)
        ranked = [[(hit.position, hit.relevance) for hit in by_words], near]
        for ranking in ranked:
            for rank, (at, how) in enumerate(ranking, start=1):
                scores[at] = scores.get(at, 0.0) + 1 / (_SMOOTHING + rank)
                relevance[at] = max(relevance.get(at, 0.0), how)
        best = sorted(scores, key=lambda at: (-scores[at], at))[:k]
        return [Hit(at, round(scores[at], 6), round(relevance[at], 5)) for at in best]


def embed(texts: list[str]) -> np.ndarray[Any, np.dtype[np.float16]]:
    """Embeddings of length one, (texts, dimensions); a text without a known token is all zero."""
    found: np.ndarray[Any, np.dtype[np.float32]] = _model().embed(texts)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    unit: np.ndarray[Any, np.dtype[np.float32]] = found / np.maximum(lengths, _LEAST)
    return unit.astype(np.float16)


@cache
def _model() -> Any:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    import wordllama  # which sets up the logging of the whole process

    root.setLevel(before[0])
    root.handlers[:] = before[1]
    # by default it would look for the tokenizer in a folder it is not in, and then on a network
    return wordllama.WordLlama.load(
        cache_dir=Path(wordllama.__file__).parent, disable_download=True
    )


def _fill(target: np.ndarray[Any, Any], documents: Sequence[Document]) -> None:
    for start in range(0, len(documents), _BATCH):
        texts = [text_of(each) for each in documents[start : start + _BATCH]]
        target[start : start + len(texts)] = embed(texts)


def _blocks(rows: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    """Rows in blocks that fit a cache, so that float16 on disk is never all float32 in memory."""
    for start in range(0, len(rows), 2**13):
        yield rows[start : start + 2**13]
