"""Which documents of a corpus answer a query best: by shared words, or by embeddings as well.

Says how near a document comes; what becomes of it is the business of `acquire`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cem_lightning.knowledge.config import Filters
from cem_lightning.knowledge.records import Document


@dataclass(frozen=True)
class Hit:
    """A document found.

    Attributes:
        position: of the document in the corpus.
        score: by which hits are ordered, the greatest first.
        relevance: BM25 score as a share of the sum of the query words' inverse document
            frequencies, which no document can exceed, or the cosine of the embeddings if that is
            greater; 0 to 1.
    """

    position: int
    score: float
    relevance: float


class Index(Protocol):
    """Documents ready to be searched."""

    def idf(self, word: str) -> float:
        """Lucene's inverse document frequency of a word."""

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best `k` documents of each query, equal scores in the order of the corpus."""


def is_indexed(folder: Path, config: Filters) -> bool:
    """Whether the index of a stored corpus lies beside it already."""
    parts = ("bm25",) if config.ranking == "bm25" else ("bm25", "embeddings")
    return all((folder / each).exists() for each in parts)


def build_index(documents: Sequence[Document], config: Filters, folder: Path | None) -> Index:
    """An index over titles and texts.

    Args:
        folder: where the index of a stored corpus lies or will lie, to be read from there; None
            holds it in memory.
    """
    from cem_lightning.knowledge.bm25 import Bm25

    words = Bm25.kept(documents, folder) if folder else Bm25(documents)
    if config.ranking == "bm25":
        return words
    from cem_lightning.knowledge.hybrid import Embeddings, Hybrid

    vectors = Embeddings.kept(documents, folder) if folder else Embeddings(documents)
    return Hybrid(words, vectors, config.min_similarity)
