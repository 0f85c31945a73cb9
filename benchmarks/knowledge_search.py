"""Finding documents: whether the right one is found, how fast, and out of how many."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.rows import Row, Target, faster, in_turn
from cem_lightning.corpus.assemble import states
from cem_lightning.knowledge import elements
from cem_lightning.knowledge.bm25 import Bm25, content_words
from cem_lightning.knowledge.config import Filters
from cem_lightning.knowledge.ranking import build_index
from cem_lightning.knowledge.records import Document
from cem_lightning.mistakes.points import STOP_WORDS, knowledge_points
from cem_lightning.questions import elements as pools
from cem_lightning.questions.elements_groups import GROUPS
from cem_lightning.questions.records import Question

FILTERS = {
    "passages": 4, "passage_tokens": 64, "min_score": 0.1, "min_similarity": 0.5,
    "languages": None, "min_words": 5, "per_domain": None, "near_duplicate": 0.8,
    "leak_threshold": 0.1,
}  # fmt: skip  # as conf/knowledge/elements.yaml
_WORDS, _LENGTH, _ASKED = 60_000, 80, 8  # of a made-up corpus: vocabulary, document, query
_ZIPF = 1.15
_STOP = sorted(each for each in STOP_WORDS if each.isascii() and each.isalpha())[:100]
_POINTS = 4  # as conf/config.yaml

# in a process of its own, whose memory is that of the search alone
_LARGE = """
import json, sys, time
from pathlib import Path
from cem_lightning.knowledge.bm25 import Bm25
from cem_lightning.knowledge.stored import StoredDocuments
folder = Path(sys.argv[1])
started = time.perf_counter()
index = Bm25.kept(StoredDocuments(folder), folder)
opened = time.perf_counter() - started
took = []
for query in json.loads((folder / "queries.json").read_text()):
    started = time.perf_counter()
    index.search([query], 10)
    took.append(time.perf_counter() - started)
status = Path("/proc/self/status").read_text()  # ru_maxrss would know of the parent's
peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
print(json.dumps({"opened": opened, "took": took, "peak": peak}))
"""


def right_passages() -> Iterator[Row]:
    """Whether a document that states the answer is among the first five for a question."""
    documents = elements.documents()
    asked = quickstart_questions()
    queries = [" ".join(knowledge_points(each, _POINTS)) for each in asked]
    for ranking, least in (("bm25", 0.95), ("hybrid", 0.97)):
        index = build_index(
            documents, Filters.model_validate({**FILTERS, "ranking": ranking}), None
        )
        found = index.search(queries, 5)
        right = sum(
            any(_answers(documents[hit.position], question) for hit in hits)
            for question, hits in zip(asked, found, strict=True)
        )
        yield Row(
            f"quickstart: a document with the answer among the first 5, {ranking}",
            "share of questions",
            right / len(asked),
            Target("at least", least),
            details={"questions": len(asked), "documents": len(documents)},
        )


def quickstart_questions() -> list[Question]:
    """All questions about the elements, which the quickstart's documents tell of."""
    groups = (pools.pools(group) for group in range(GROUPS))
    return [each for group in groups for pool in group.values() for each in pool]


def _answers(document: Document, question: Question) -> bool:
    return document.title.lower() == question.cluster.lower() and states(
        document.text, question.gold
    )


def queries_a_second(count: int, asked: int, repeats: int, seed: int) -> Row:
    """BM25 beside rank_bm25, over documents of words as frequent as in language."""
    from rank_bm25 import BM25Okapi  # type: ignore[import-not-found]

    texts = list(_texts(count, seed))
    documents = [Document(str(at), text) for at, text in enumerate(texts)]
    queries = _queries(asked, seed)
    ours, peer = Bm25(documents), BM25Okapi([content_words(text) for text in texts])
    few = queries[: max(2, asked // 20)]  # the peer takes its time

    def theirs() -> None:
        for query in few:
            scores = peer.get_scores(content_words(query))
            np.argpartition(scores, -10)[-10:]

    own, other = in_turn(repeats, lambda: ours.search(queries, 10), theirs)
    times = len(queries) / len(few)
    scaled = type(other)(
        tuple(each * times for each in other.wall), tuple(each * times for each in other.cpu)
    )
    return faster(
        f"BM25 over {count:,} documents of {_LENGTH} words, queries of {_ASKED}, against rank_bm25",
        len(queries),
        own,
        scaled,
        Target("at least", 100),
        {"peer_queries": len(few)},
        things="queries",
    )


def large(count: int, asked: int, seed: int) -> Iterator[Row]:
    """BM25 over passages on disk, in a process that has not built the index."""
    from cem_lightning.knowledge.stored import StoredDocuments, keep

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "corpus"
        started = time.perf_counter()
        keep(
            lambda: (Document(str(at), text) for at, text in enumerate(_texts(count, seed))), folder
        )
        Bm25.kept(StoredDocuments(folder), folder)
        built = time.perf_counter() - started
        (folder / "queries.json").write_text(json.dumps(_queries(asked, seed)))
        done = subprocess.run(
            [sys.executable, "-c", _LARGE, str(folder)], capture_output=True, text=True, check=True
        )
        size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    found = json.loads(done.stdout)
    details = {
        "build_seconds": built,
        "open_seconds": found["opened"],
        "disk_bytes": size,
        "p95_ms": 1000 * float(np.quantile(found["took"], 0.95)),
    }
    title = f"BM25 over {count:,} passages, memory-mapped"
    median = 1000 * statistics.median(found["took"])
    yield Row(f"{title}: median of a query", "ms", median, Target("at most", 10), details=details)
    yield Row(
        f"{title}: memory of the process", "GiB", found["peak"] / 2**30, Target("at most", 1),
        details=details,
    )  # fmt: skip


def _texts(count: int, seed: int) -> Iterator[str]:
    draw = np.random.default_rng(seed)
    for _ in range(0, count, 10_000):
        for row in draw.zipf(_ZIPF, size=(min(count, 10_000), _LENGTH)) % _WORDS:
            yield " ".join(map(_word, row))


def _queries(count: int, seed: int) -> list[str]:
    """Of words as frequent as those of the documents, but for stop words."""
    draw = np.random.default_rng(seed + 1)
    ranks = draw.zipf(_ZIPF, size=100 * count * _ASKED) % _WORDS
    asked = ranks[ranks >= len(_STOP)][: count * _ASKED].reshape(count, _ASKED)
    return [" ".join(map(_word, row)) for row in asked]


def _word(rank: int) -> str:
    """The most frequent words are stop words, as in any language."""
    return _STOP[rank] if rank < len(_STOP) else f"w{rank}"
