"""Search by words: BM25 as Lucene computes it, by `bm25s`, Chinese segmented.

The index of a stored corpus is memory-mapped: what a query does not touch is never read.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import bm25s
import numpy as np

from cem_lightning.knowledge.ranking import Hit
from cem_lightning.knowledge.records import Document
from cem_lightning.mistakes.points import STOP_WORDS
from cem_lightning.questions.normalise import words
from cem_lightning.storage.kept import kept_folder

# its notes on building an index would stand between the lines of progress
logging.getLogger("bm25s").setLevel(logging.WARNING)


class Bm25:
    """An index over titles and texts (k1 = 1.5, b = 0.75; Robertson and Zaragoza 2009)."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._index = bm25s.BM25(method="lucene")
        self._numbers: dict[str, int] = {}
        numbers = self._numbers
        ids = [
            [numbers.setdefault(word, len(numbers)) for word in content_words(text_of(each))]
            for each in documents
        ]
        self._documents = len(ids)
        if numbers:
            self._index.index((ids, numbers), show_progress=False, create_empty_token=False)

    @classmethod
    def kept(cls, documents: Sequence[Document], folder: Path) -> Self:
        """The index in ``folder/bm25``, which is built there if it is not yet."""
        place = folder / "bm25"

        def make(work: Path) -> bool:
            built = cls(documents)
            if built._numbers:
                built._index.save(work, show_progress=False)
            return bool(built._numbers)

        index = cls(())
        if not kept_folder(place, make):
            return index
        index._index = bm25s.BM25.load(place, mmap=True)
        index._numbers = index._index.vocab_dict
        index._documents = len(documents)
        return index

    def idf(self, word: str) -> float:
        """Lucene's inverse document frequency, ln(1 + (N - n + 0.5) / (n + 0.5)); unseen: n = 0."""
        count = 0
        if (number := self._numbers.get(word)) is not None:
            start, end = self._index.scores["indptr"][number : number + 2]
            count = int(end - start)
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
        data, indices, indptr = (self._index.scores[name] for name in ("data", "indices", "indptr"))
        rows = [slice(indptr[each], indptr[each + 1]) for each in known]
        scores = np.zeros(self._documents, dtype=data.dtype)
        for row in rows:
            # a word has each document once; `get_scores_from_ids` does not use that, and is slower
            scores[indices[row]] += data[row]
        # only documents that hold a word of the query, one time for every such word
        found = np.concatenate([indices[row] for row in rows])
        reached = scores[found]
        enough = min(k * len(known), len(reached))
        least = np.partition(reached, -enough)[-enough]
        found = np.unique(found[reached >= least])
        best = found[np.argsort(-scores[found], kind="stable")][:k]
        greatest = sum(self.idf(word) for word in query)
        return [
            Hit(int(at), round(float(scores[at]), 5), round(float(scores[at]) / greatest, 5))
            for at in best
        ]


def content_words(text: str) -> list[str]:
    """The words of a text that are searched for: all but stop words."""
    return [word for word in words(text) if word not in STOP_WORDS]


def text_of(document: Document) -> str:
    """What of a document is searched."""
    return f"{document.title}\n{document.text}"
