"""A whole round that goes by how answers move with the order of the choices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.errors import UserError
from cem_lightning.evolution.comparison import compare_runs
from cem_lightning.evolution.run import run
from cem_lightning.reporting.run_folder import RunRecord
from tests.workspace import Workspace, make_workspace

CYCLIC = (
    "answering=letters",
    "answering.permutations=cyclic",
    "answering.open_book_passages=0",
    "answering.blind=false",
    "recipe.tokens=300",
    "mistakes.ambiguous_by=agreement",
    "mistakes.ambiguous_below=1",
    "data.slice=12",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("uncertain"))


@pytest.fixture(scope="module")
def folder(world: Workspace) -> Path:
    return run(world.config("rounds=1", *CYCLIC))


def stored(world: Workspace, stage: str, file: str) -> list[dict[str, Any]]:
    (found,) = sorted((world.folder / "store" / stage).glob(f"*/{file}"))[:1]
    return [json.loads(line) for line in found.read_text().splitlines()]


def test_right_answers_that_move_are_collected_and_no_others(
    world: Workspace, folder: Path
) -> None:
    record = RunRecord.read(folder)
    answers = {
        question: row for question, row in record.answered(0, "source").items() if row.slice == 1
    }
    expected = {
        question: "wrong" if row.outcome == "wrong" else "ambiguous"
        for question, row in answers.items()
        if row.outcome == "wrong" or (row.agreement or 0) < 1
    }
    mistakes = stored(world, "collect", "mistakes.jsonl")
    assert {each["question"]["id"]: each["label"] for each in mistakes} == expected
    assert "ambiguous" in expected.values()


def test_the_record_says_how_far_confidence_can_be_believed(folder: Path) -> None:
    record = RunRecord.read(folder)
    for current in record.rounds:
        assert set(current["asked"]) == {"wording", "tokenizer", "scorer", "shots"}
        for name, pool in current["pools"].items():
            rows = record.answered(current["round"], name)
            found = pool["calibration"]
            assert found["n"] == pool["n"] == pool["debiased_n"]
            assert found["risk_coverage"][-1] == [1.0, pytest.approx(1 - pool["accuracy"])]
            assert 0 <= pool["debiased_accuracy"] <= 1
            assert 0 <= found["ece"] <= 1
            for row in rows.values():
                assert row.entropy is not None and row.margin is not None
                assert row.agreement is not None and row.agreement > 0
    first, second = (each["asked"] for each in record.rounds)
    assert first == second


def test_runs_asked_otherwise_are_not_compared(world: Workspace, folder: Path) -> None:
    other = run(world.config("rounds=0", "answering=cloze", f"run_dir={world.folder / 'cloze'}"))
    with pytest.raises(UserError, match=r"the wording of .*Compare runs with the same `answering`"):
        compare_runs([folder, other], world.folder / "comparison")
