"""The record of a benchmark's row, its target, and the table in the docs."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable

import pytest
from benchmarks.report import PAGE, SCRIPTS, marks, results_of, table, with_table
from benchmarks.rows import Row, Target, Timing, faster, in_turn, prepared_in_turn


@pytest.mark.parametrize(
    ("target", "met", "missed"),
    [
        (Target("at least", 10), 10.0, 9.99),
        (Target("at most", 0), 0, 1),
        (Target("below", 1), 0.99, 1.0),
    ],
)
def test_a_target_is_met_or_missed(target: Target, met: float, missed: float) -> None:
    assert target.met(met)
    assert not target.met(missed)
    assert not target.met(math.nan)


def test_a_row_is_faster_by_the_median_and_shows_its_spread() -> None:
    own, peer = Timing((1.0, 2.0, 1.0), (1.0, 1.0, 1.0)), Timing((8.0, 8.0, 12.0), (4.0, 4.0, 4.0))
    row = faster("asking", 16, own, peer, Target("at least", 8))
    record = row.record()
    assert (record["ours"], record["peer"], record["ratio"]) == (16.0, 2.0, 8.0)
    assert record["holds"]
    assert record["target"] == "at least 8"
    assert record["spread"] == [4.0, 12.0]
    assert record["details"]["cpu_ratio"] == 4.0
    assert record["unit"] == "questions/s" and record["details"]["questions"] == 16
    assert json.loads(json.dumps(record)) == record
    tokens = faster("training", 16, own, peer, Target("at least", 8), things="useful tokens")
    assert tokens.unit == "useful tokens/s" and tokens.details["useful_tokens"] == 16


def test_without_a_ratio_the_target_is_on_our_own_figure() -> None:
    assert not Row("flips", "choices", 1, Target("at most", 0)).holds


def test_alternatives_are_timed_in_turn() -> None:
    calls: list[str] = []
    times = in_turn(3, lambda: calls.append("ours"), lambda: calls.append("peer"))
    assert calls == ["ours", "peer"] * 3
    assert [len(each.wall) for each in times] == [3, 3]


def test_what_a_side_prepares_is_not_timed() -> None:
    calls: list[str] = []

    def side() -> Callable[[], None]:
        time.sleep(0.05)
        return lambda: calls.append("run")

    (timing,) = prepared_in_turn(2, side)
    assert calls == ["run", "run"]
    assert max(timing.wall) < 0.05


RESULT = {
    "machine": {"cpu": "C", "cores": 2, "memory_bytes": 2**34, "threads": 1, "gpu": None},
    "versions": {"python": "3.11", "torch": "2", "transformers": "5", "lm_eval": "0.4"},
    "date": "2026-01-01",
    "rows": [Row("flips", "choices", 1, Target("at most", 0)).record()],
    "not_run": ["the rows of a GPU"],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_table_names_what_missed_and_what_was_not_run(script: str) -> None:
    begin, end = marks(script)
    page = with_table(f"before\n{begin}\nstale\n{end}\nafter\n", script, RESULT)
    assert page.startswith("before\n") and page.endswith("after\n") and "stale" not in page
    assert "| flips | choices | 1 |  |  | at most 0 | **no** |" in page
    assert "Python 3.11, torch 2, transformers 5, lm-eval 0.4; 2026-01-01." in page
    assert "Not run: the rows of a GPU." in page
    assert with_table(page, script, RESULT) == page


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_docs_have_the_table_of_the_measurement_in_the_repository(script: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert all(page.count(mark) == 1 for mark in marks(script))
    if not results_of(script).exists():
        pytest.skip("the whole measurement has not been run")
    assert table(json.loads(results_of(script).read_text(encoding="utf-8"))) in page
