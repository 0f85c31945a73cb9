"""What a reader sees of the kinds of mistakes, of format, and of quarantine."""

from __future__ import annotations

import io
from copy import deepcopy
from dataclasses import replace

from rich.console import Console

from cem_lightning.reporting.html import report_page
from cem_lightning.reporting.kinds import kind_rows, quarantine_note
from cem_lightning.reporting.run_folder import RunRecord
from cem_lightning.reporting.tables import run_tables
from tests.reporting.records import make_record

KINDS = {
    "format": (7, "instructions", 0, 6, 7, 0, 0),
    "knowledge_gap": (9, "passages_and_instructions", 0, 4, 5, 9, 9),
    "unhelped": (5, "passages_and_instructions", 0, 1, 1, 3, 0),
}
COUNTS = (
    "n",
    "route",
    "right_before",
    "right_after",
    "likelihood_right_after",
    "open_book_asked",
    "open_book_right",
)


def triaged() -> RunRecord:
    """A run whose mistakes were told apart."""
    record = make_record()
    metrics = deepcopy(record.metrics)
    metrics["rounds"][1]["triage"] = {
        name: dict(zip(COUNTS, counts, strict=True)) for name, counts in KINDS.items()
    }
    stories = tuple(replace(each, triage_class="knowledge_gap") for each in record.stories)
    held = ({"id": "a"}, {"id": "b"})
    return replace(record, metrics=metrics, stories=stories, quarantine=held)


def printed(record: RunRecord) -> str:
    file = io.StringIO()
    Console(file=file, width=100).print(run_tables(record))
    return file.getvalue()


def test_every_class_has_a_row() -> None:
    text = printed(triaged())
    assert "What kind of mistakes" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["1", "·", "format", "7", "0", "→", "6", "7", "–", "instructions"] in lines
    row = ["knowledge", "gap", "9", "0", "→", "4", "5", "9", "of", "9", "passages", "and"]
    assert [*row, "instructions"] in lines
    assert max(map(len, text.splitlines())) <= 100
    page = report_page(triaged())
    assert "What kind of mistakes" in page and "<td>9 of 9</td>" in page
    assert "round 1 · knowledge gap" in page


def test_quarantine_is_told_with_what_to_do() -> None:
    record = triaged()
    assert quarantine_note(record).startswith("2 questions are in quarantine")
    for shown in (printed(record), report_page(record)):
        assert "quarantine.jsonl in the run folder" in " ".join(shown.split())


def test_a_record_of_before_says_nothing_of_it() -> None:
    record = make_record()
    assert not kind_rows(record) and not quarantine_note(record)
    assert "kind of mistakes" not in printed(record) + report_page(record)
