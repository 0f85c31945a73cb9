"""Finding text and keeping false text out: `python benchmarks/knowledge.py [--quick]`.

Writes the JSON that a table of docs/benchmarks.md is made of. Texts and questions stand in
`knowledge_texts`; how it is measured in `knowledge_search`, `knowledge_filters` and
`knowledge_safety`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # in place of this script's folder
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks import knowledge_filters, knowledge_safety, knowledge_search, models  # noqa: E402
from benchmarks.command import SEED, Measurement, Plan, run  # noqa: E402
from benchmarks.rows import Row  # noqa: E402


def _right(plan: Plan) -> Iterator[Row]:
    yield from knowledge_search.right_passages()


def _queries(plan: Plan) -> Iterator[Row]:
    yield knowledge_search.queries_a_second(50_000, 400, plan.repeats, SEED)


def _large(plan: Plan) -> Iterator[Row]:
    yield from knowledge_search.large(200_000 if plan.quick else 1_000_000, 300, SEED)


def _duplicates(plan: Plan) -> Iterator[Row]:
    yield from knowledge_filters.duplicates(5_000, plan.repeats, SEED)


def _decontamination(plan: Plan) -> Iterator[Row]:
    yield from knowledge_filters.decontamination(10_000, plan.repeats, SEED)


def _contradictions(plan: Plan) -> Iterator[Row]:
    yield from knowledge_filters.contradictions(100, SEED)


def _poison(plan: Plan) -> Iterator[Row]:
    count = 40 if plan.quick else 200
    yield from knowledge_filters.poison(models.smollm2(style="chat"), count, SEED)


def _addresses(plan: Plan) -> Iterator[Row]:
    yield knowledge_safety.addresses()


def _control(plan: Plan) -> Iterator[Row]:
    yield knowledge_safety.control_tokens(models.smollm2(style="chat"), 200, SEED)


def _faults(plan: Plan) -> Iterator[Row]:
    yield from knowledge_safety.faults()


MEASUREMENTS: dict[str, Measurement] = {
    "right": _right,
    "queries": _queries,
    "large": _large,
    "duplicates": _duplicates,
    "decontamination": _decontamination,
    "contradictions": _contradictions,
    "poison": _poison,
    "addresses": _addresses,
    "control": _control,
    "faults": _faults,
}

PEERS = {"rank_bm25": "rank-bm25", "datasketch": "datasketch", "bm25s": "bm25s"}

if __name__ == "__main__":
    run("knowledge", __doc__.splitlines()[0], MEASUREMENTS, PEERS)
