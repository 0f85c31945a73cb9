"""The filters that every source has, as the shipped options set them."""

from __future__ import annotations

from typing import Any

FILTERS: dict[str, Any] = {
    "passages": 2,
    "passage_tokens": 16,
    "ranking": "bm25",
    "min_score": 0.05,
    "min_similarity": 0.5,
    "languages": None,
    "min_words": 0,
    "per_domain": None,
    "near_duplicate": 0.8,
    "leak_threshold": 0.1,
}
