from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cem_lightning.knowledge.config import Filters
from cem_lightning.knowledge.hybrid import Embeddings
from cem_lightning.knowledge.ranking import Hit, build_index
from cem_lightning.knowledge.records import Document
from tests.knowledge.settings import FILTERS

TEXTS = (
    "The automobile needs petrol to drive along the motorway.",
    "Bread is baked from flour, water and yeast.",
    "Gold is a yellow metal that does not rust.",
    "A car.",
    "",
)
DOCUMENTS = tuple(Document(f"d{at}", text) for at, text in enumerate(TEXTS))


def search(query: str, folder: Path | None = None, **changes: Any) -> list[Hit]:
    settings = Filters(**FILTERS | {"ranking": "hybrid", "min_similarity": 0.2} | changes)
    (hits,) = build_index(DOCUMENTS, settings, folder).search([query], 3)
    return hits


def test_what_shares_no_word_is_found_by_its_meaning() -> None:
    query = "vehicle fuel for driving on highways"
    assert search(query, ranking="bm25") == []
    assert search(query)[0].position == 0
    assert search(query, min_similarity=0.99) == []


def test_what_both_rankings_put_first_is_first() -> None:
    hits = search("gold metal")
    assert hits[0].position == 2
    assert hits[0].score == pytest.approx(2 / 61, abs=1e-6)
    assert 0 < hits[0].relevance <= 1
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_relevance_is_the_greater_of_both() -> None:
    (word,) = [hit for hit in search("gold metal", ranking="bm25") if hit.position == 2]
    ((_, near),) = Embeddings(DOCUMENTS).search("gold metal", 1, 0.0)
    assert search("gold metal")[0].relevance == pytest.approx(max(word.relevance, near), abs=1e-4)


@pytest.mark.invariant
@pytest.mark.parametrize("ranking", ["bm25", "hybrid"])
def test_an_index_on_disk_finds_what_one_in_memory_finds(tmp_path: Path, ranking: str) -> None:
    for query in ("gold metal", "the car needs flour", "zorblax", ""):
        held = search(query, ranking=ranking)
        assert search(query, tmp_path, ranking=ranking) == held  # built
        assert search(query, tmp_path, ranking=ranking) == held  # read
