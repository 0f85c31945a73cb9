"""Gains of form and of knowledge apart, against a count by hand."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from cem_lightning.reporting.compare import as_json, compare, comparison_tables
from cem_lightning.reporting.form import form_of, form_tables
from cem_lightning.reporting.html import comparison_page, report_page
from cem_lightning.reporting.run_folder import AnswerRow, RunRecord
from tests.reporting.records import make_record


def known(row: AnswerRow) -> bool:
    """By likelihood a fixed half is right in round 0, and every tenth one more afterwards."""
    number = int(row.question.rsplit("-", 1)[1])
    return number % 2 == 0 or (row.round > 0 and number % 10 == 1)


def told_apart() -> RunRecord:
    """Only on heldout do form and likelihood differ."""
    record = make_record()
    answers = tuple(
        replace(row, likelihood_right=known(row) if row.pool == "heldout" else row.right)
        for row in record.answers
    )
    return replace(record, answers=answers)


def test_a_gain_is_that_of_knowledge_and_that_of_form() -> None:
    record = told_apart()
    rows = form_of(record)
    assert {each.pool for each in rows} == {"heldout"}
    assert [each.round for each in rows] == list(range(record.last_round + 1))
    assert rows[0].gain is rows[0].knowledge is rows[0].form is None
    first, last = (record.answered(each, "heldout") for each in (0, record.last_round))
    knowledge = sum(known(last[at]) - known(first[at]) for at in first) / len(first)
    gain = sum(last[at].right - first[at].right for at in first) / len(first)
    found = rows[-1]
    assert found.gain is not None and found.knowledge is not None and found.form is not None
    assert found.gain.mean == pytest.approx(gain)
    assert found.knowledge.mean == pytest.approx(knowledge) and knowledge > 0
    assert found.form.mean == pytest.approx(gain - knowledge)
    assert found.knowledge.low is not None and found.knowledge.low <= knowledge
    assert found.likelihood_accuracy == sum(map(known, last.values())) / len(last)


def test_it_is_shown_everywhere() -> None:
    record = told_apart()
    file = io.StringIO()
    Console(file=file, width=120).print(*form_tables(form_of(record)))
    assert "knowledge" in file.getvalue()
    assert "Gain of form and of knowledge" in report_page(record)
    comparison = compare([record])
    assert "Gain of form and of knowledge" in comparison_page(comparison)
    assert len(as_json(comparison)["form"]) == record.last_round + 1
    file = io.StringIO()
    Console(file=file, width=120).print(comparison_tables(comparison))
    assert "Gain of form and of knowledge" in file.getvalue()


def test_nothing_is_said_where_they_are_one() -> None:
    record = make_record()
    alike = replace(
        record, answers=tuple(replace(row, likelihood_right=row.right) for row in record.answers)
    )
    for each in (record, alike):  # a record of before the likeliest choice was kept, and a cloze
        assert not form_of(each)
        assert "Gain of form" not in report_page(each)
