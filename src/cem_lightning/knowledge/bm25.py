"""Search over a corpus: BM25 as Lucene computes it, by `bm25s`, Chinese segmented.

Holds the index in memory; what becomes of the hits is the business of `acquire`.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import bm25s
import numpy as np

from cem_lightning.knowledge.records import Document
from cem_lightning.mistakes.points import STOP_WORDS
from cem_lightning.questions.normalise import words


@dataclass(frozen=True)
class Hit:
    """A document found.

    Attributes:
        position: of the document in the corpus.
        score: BM25 score.
        relevance: the score as a share of the sum of the query words' inverse document
            frequencies, which no document can exceed; 0 to 1.
    """

    position: int
    score: float
    relevance: float


class Bm25:
    """An index over titles and texts (k1 = 1.5, b = 0.75; Robertson and Zaragoza 2009)."""

    def __init__(self, documents: Sequence[Document]) -> None:
        tokens = [content_words(f"{each.title}\n{each.text}") for each in documents]
        self._documents = len(documents)
        self._frequency = Counter(word for each in tokens for word in dict.fromkeys(each))
        self._numbers = {word: number for number, word in enumerate(self._frequency)}
        self._index = bm25s.BM25(method="lucene")
        # its notes on building an index would stand between the lines of progress
        logging.getLogger("bm25s").setLevel(logging.WARNING)
        if self._numbers:
            ids = [[self._numbers[word] for word in each] for each in tokens]
            self._index.index((ids, self._numbers), show_progress=False, create_empty_token=False)

    def idf(self, word: str) -> float:
        """Lucene's inverse document frequency, ln(1 + (N - n + 0.5) / (n + 0.5)); unseen: n = 0."""
        count = self._frequency[word]
        return math.log(1 + (self._documents - count + 0.5) / (count + 0.5))

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best `k` documents of each query, equal scores in the order of the corpus.

        Documents that share no word with a query are never among its hits.
        """
        return [self._search(tuple(dict.fromkeys(content_words(query))), k) for query in queries]

    def _search(self, query: tuple[str, ...], k: int) -> list[Hit]:
        known = [self._numbers[word] for word in query if word in self._numbers]
        if not known:
            return []
        scores = np.asarray(self._index.get_scores_from_ids(known), dtype=np.float64)
        k = min(k, len(scores))
        least = max(np.partition(scores, -k)[-k], np.finfo(np.float64).tiny)
        found = np.flatnonzero(scores >= least)
        best = found[np.argsort(-scores[found], kind="stable")][:k]
        greatest = sum(self.idf(word) for word in query)
        return [
            Hit(int(at), round(float(scores[at]), 5), round(float(scores[at]) / greatest, 5))
            for at in best
        ]


def content_words(text: str) -> list[str]:
    """The words of a text that are searched for: all but stop words."""
    return [word for word in words(text) if word not in STOP_WORDS]
