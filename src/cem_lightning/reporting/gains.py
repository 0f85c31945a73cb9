"""What a run gained over its own round 0, question by question.

Reads answers; the scores in the metrics stay as they were handed in.
"""

from __future__ import annotations

from dataclasses import dataclass

from cem_lightning.answering import ledger
from cem_lightning.answering.statistics import (
    Difference,
    clustered_wilson_interval,
    mcnemar,
    paired_cluster_bootstrap,
    wilson_interval,
)
from cem_lightning.reporting.run_folder import AnswerRow, RunRecord

# (right before, right after), in the order of Flow's fields
_FLOWS = ((True, True), (False, True), (True, False), (False, False))


@dataclass(frozen=True)
class Group:
    """An accuracy of some questions of a pool, with what it takes to judge it."""

    name: str
    n: int
    accuracy: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class KindChange:
    """One relation of a pool before training and now."""

    kind: str
    before: Group
    now: Group
    gain: Difference


@dataclass(frozen=True)
class Flow:
    """What became of the answers from one round to the next; the counts add up to the pool."""

    kept: int
    mended: int
    lost: int
    missing: int

    @property
    def n(self) -> int:
        return self.kept + self.mended + self.lost + self.missing


@dataclass(frozen=True)
class Step:
    """One pool from one round to a later one, with the exact p-value of McNemar's test."""

    before: int
    now: int
    pool: str
    mended: int
    lost: int
    mcnemar_p: float
    gain: Difference


def steps(record: RunRecord) -> list[Step]:
    """Every round against the one before, by pool, and the last against the first."""
    last = record.last_round
    pairs = [(each - 1, each) for each in range(1, last + 1)]
    if last > 1:
        pairs.append((0, last))
    found = []
    for before, now in pairs:
        for pool in record.pools:
            first, second = record.answered(before, pool), record.answered(now, pool)
            rows = [(first[each], second[each]) for each in first if each in second]
            gain = _gain(rows)
            if gain is not None:
                flows = [(one.right, other.right) for one, other in rows]
                mended, lost = flows.count((False, True)), flows.count((True, False))
                found.append(Step(before, now, pool, mended, lost, mcnemar(mended, lost), gain))
    return found


def ledger_counts(record: RunRecord, round_: int, pool: str) -> dict[ledger.State, int]:
    """How many questions of a pool are in each state after a round."""
    by_round = [record.answered(each, pool) for each in range(round_ + 1)]
    return ledger.count(
        ledger.state([rows[question].right for rows in by_round]) for question in by_round[0]
    )


def gain_since_start(record: RunRecord, round_: int, pool: str) -> Difference | None:
    """Accuracy of `round_` minus round 0, paired by question; None for an empty pool."""
    before, now = record.answered(0, pool), record.answered(round_, pool)
    return _gain([(before[each], now[each]) for each in before if each in now])


def gain_per_million_tokens(record: RunRecord, round_: int, pool: str) -> float | None:
    """Points of accuracy gained since round 0 per million training tokens; None untrained."""
    tokens = record.tokens_until(round_)
    before, now = (record.rounds[each]["pools"][pool]["accuracy"] for each in (0, round_))
    if not tokens or before is None or now is None:
        return None
    return float((now - before) * 100 / (tokens / 1e6))


def open_book(record: RunRecord, pool: str) -> Group | None:
    """The ceiling of retrieval: passages in the prompt, nothing trained; None if not asked."""
    scores = record.rounds[0]["pools"][pool]
    if "open_book_accuracy" not in scores:
        return None
    n, accuracy = scores["n"], scores["open_book_accuracy"]
    return Group("open book", n, accuracy, wilson_interval(round(accuracy * n), n))


def flow(record: RunRecord, round_: int, pool: str) -> Flow:
    """Answers of `round_` against those of the round before."""
    before, now = record.answered(round_ - 1, pool), record.answered(round_, pool)
    pairs = [(before[each].right, now[each].right) for each in before if each in now]
    return Flow(*(pairs.count(pair) for pair in _FLOWS))


def slices(record: RunRecord, round_: int) -> list[Group]:
    """Accuracy of `round_` on the slice of the source pool that each round mines.

    A fall in an earlier slice is forgetting of what was trained on; a later one is still unseen.
    """
    rows = list(record.answered(round_, "source").values())
    numbers = sorted({row.slice for row in rows if row.slice > 0})
    return [_group(str(each), [row for row in rows if row.slice == each]) for each in numbers]


def changes_by_kind(record: RunRecord, pool: str) -> list[KindChange]:
    """Every relation of a pool: before training, at the end, and the paired difference."""
    before, now = record.answered(0, pool), record.answered(record.last_round, pool)
    changes = []
    for kind in sorted({row.kind for row in before.values()}):
        pairs = [
            (row, now[name]) for name, row in before.items() if row.kind == kind and name in now
        ]
        gain = _gain(pairs)
        if gain is not None:
            first, second = (_group(kind, list(rows)) for rows in zip(*pairs, strict=True))
            changes.append(KindChange(kind, first, second, gain))
    return changes


def _gain(pairs: list[tuple[AnswerRow, AnswerRow]]) -> Difference | None:
    if not pairs:
        return None
    return paired_cluster_bootstrap(
        [first.right for first, _ in pairs],
        [second.right for _, second in pairs],
        [first.cluster for first, _ in pairs],
    )


def _group(name: str, rows: list[AnswerRow]) -> Group:
    rights = [row.right for row in rows]
    interval = clustered_wilson_interval(rights, [row.cluster for row in rows])
    return Group(name, len(rows), sum(rights) / len(rights), interval)
