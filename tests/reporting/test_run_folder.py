"""What is written of a run is what is read again, and nothing else passes for a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cem_lightning.errors import UserError
from cem_lightning.reporting.run_folder import RunRecord
from tests.reporting.records import make_record, with_short_answers


@pytest.mark.parametrize("record", [make_record(rounds=0), with_short_answers(make_record())])
def test_read_gives_back_what_was_written(tmp_path: Path, record: RunRecord) -> None:
    row = replace(record.answers[0], text="门 \u2028", f1=0.5)
    record = replace(record, answers=(row, *record.answers[1:]))
    record.write(tmp_path / "run")
    assert RunRecord.read(tmp_path / "run") == record
    names = sorted(each.name for each in (tmp_path / "run").iterdir())
    assert names == ["answers.parquet", "curves.csv", "metrics.json", "mistakes.jsonl"]


def test_metrics_keep_the_documented_layout(tmp_path: Path) -> None:
    with_short_answers(make_record()).write(tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {"rounds", "peak_memory_bytes", "seed", "name", "arm", "config"} <= set(metrics)
    documented = Path(__file__).parents[2].joinpath("docs/metrics.md").read_text()
    for key in (*metrics["rounds"][0], *metrics["rounds"][0]["pools"]["heldout"]):
        assert f'"{key}"' in documented or f"`{key}`" in documented or "_ci95" in key, key
    for number, current in enumerate(metrics["rounds"]):
        assert current["round"] == number
        assert {"pools", "tokens", "seconds", "reused"} <= set(current)
        for scores in current["pools"].values():
            assert {
                "n", "accuracy", "ci95", "blind_accuracy", "mended", "lost", "unparsable",
                "too_long", "digest",
            } <= set(scores)  # fmt: skip


def test_unusual_line_ends_stay_inside_their_story(tmp_path: Path) -> None:
    record = make_record()
    story = replace(record.stories[0], question="one\u2028two\u0085three\r\nfour")
    record = replace(record, stories=(story,))
    record.write(tmp_path)
    assert RunRecord.read(tmp_path).stories == (story,)


@pytest.mark.parametrize("missing", ["metrics.json", "answers.parquet", "mistakes.jsonl"])
def test_a_folder_without_a_finished_run_is_named(tmp_path: Path, missing: str) -> None:
    make_record().write(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(UserError, match="not the folder of a finished run") as error:
        RunRecord.read(tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", ""),
        ("metrics.json", "{"),
        ("metrics.json", "[]"),
        ("metrics.json", '{"rounds": []}'),
        ("answers.parquet", "no parquet"),
        ("mistakes.jsonl", '{"round": 1}\n'),
    ],
)
def test_damaged_files_are_the_users_to_mend(tmp_path: Path, name: str, content: str) -> None:
    make_record().write(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match="not the folder of a finished run"):
        RunRecord.read(tmp_path)
