"""Verdicts follow their rules, say why, and a damaged guarded pool can stop a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.answering.statistics import Difference
from cem_lightning.errors import UserError
from cem_lightning.evolution.config import VerdictConfig
from cem_lightning.evolution.export import export_model
from cem_lightning.evolution.prune import prune_results
from cem_lightning.evolution.run import run
from cem_lightning.evolution.verdict import Verdict, judge
from cem_lightning.reporting.run_folder import RunRecord
from tests.workspace import Workspace, make_workspace, write_rows

RULES = VerdictConfig(judged="heldout", guarded="ood", tolerance=0.02, keep_previous=False)
GAIN = Difference(0.10, 0.04, 0.16, 400, 100, 0.03)
MAYBE = Difference(0.03, -0.01, 0.07, 400, 100, 0.02)
LOSS = Difference(-0.10, -0.16, -0.04, 400, 100, 0.03)
UNHARMED = Difference(0.0, -0.019, 0.02, 3000, 600, 0.01)
UNCLEAR = Difference(-0.02, -0.09, 0.05, 300, 300, 0.036)
DAMAGED = Difference(-0.08, -0.14, -0.03, 300, 300, 0.028)


def verdict(
    judged: Difference | None,
    guarded: Difference | None,
    rules: VerdictConfig = RULES,
    floor: float | None = None,
) -> Verdict:
    changes = {"heldout": judged, "ood": guarded}
    present = {pool: each for pool, each in changes.items() if each is not None}
    return judge(present, rules, against=0, floor=floor)


def test_a_gain_without_damage_is_accepted() -> None:
    found = verdict(GAIN, UNHARMED)
    assert found.decision == "ACCEPT"
    assert "heldout +10.0 points [+4.0, +16.0] is a gain" in found.reason
    assert "ood 0.0 points" in found.reason
    assert "has not lost more than the 2 points it may" in found.reason
    assert "Fewer than" not in found.reason


def test_a_damaged_guarded_pool_rejects_whatever_was_gained() -> None:
    for judged in (GAIN, MAYBE, None):
        found = verdict(judged, DAMAGED)
        assert found.decision == "REJECT"
        assert "ood −8.0 points [−14.0, −3.0] has lost more than the 2 points" in found.reason


def test_the_whole_interval_counts_against_the_tolerance() -> None:
    assert verdict(GAIN, replace(DAMAGED, high=-0.0201)).decision == "REJECT"
    assert verdict(GAIN, replace(DAMAGED, high=-0.0199)).decision == "INCONCLUSIVE"
    assert verdict(GAIN, replace(UNHARMED, low=-0.0201)).decision == "INCONCLUSIVE"


def test_a_loss_of_the_judged_pool_rejects() -> None:
    found = verdict(LOSS, UNHARMED)
    assert found.decision == "REJECT"
    assert "is a loss" in found.reason


def test_what_cannot_be_told_is_inconclusive_and_says_what_could_have_been_shown() -> None:
    found = verdict(MAYBE, UNHARMED)
    assert found.decision == "INCONCLUSIVE"
    assert "may be none (n = 400, could have shown +5.6)" in found.reason
    found = verdict(GAIN, UNCLEAR)
    assert found.decision == "INCONCLUSIVE"
    assert "too uncertain to tell" in found.reason
    assert "(n = 300, could have shown +10.1)" in found.reason
    alone = Difference(0.5, None, None, 40, 1)
    assert "share a cluster" in verdict(alone, UNHARMED).reason
    assert verdict(alone, UNHARMED).decision == "INCONCLUSIVE"
    assert verdict(None, UNHARMED).decision == "INCONCLUSIVE"


def test_a_gain_below_the_noise_floor_is_said_to_be_so() -> None:
    assert verdict(GAIN, UNHARMED, floor=0.05).decision == "ACCEPT"
    found = verdict(GAIN, UNHARMED, floor=0.12)
    assert found.decision == "INCONCLUSIVE"
    assert "below the noise floor of 12.0 points" in found.reason


def test_few_questions_are_pointed_out() -> None:
    found = verdict(replace(GAIN, n=249), UNHARMED)
    assert found.decision == "ACCEPT"
    assert found.reason.endswith("Fewer than 250 questions decide little: heldout n = 249.")


def test_without_a_guarded_pool_the_judged_one_decides() -> None:
    assert verdict(GAIN, DAMAGED, RULES.model_copy(update={"guarded": None})).decision == "ACCEPT"
    found = verdict(GAIN, None)
    assert found.decision == "ACCEPT"
    assert "there are no ood questions to guard" in found.reason


def test_only_a_rejected_model_is_not_carried_on_and_only_if_asked() -> None:
    keeping = RULES.model_copy(update={"keep_previous": True})
    assert not verdict(GAIN, DAMAGED, keeping).kept
    assert verdict(GAIN, UNCLEAR, keeping).kept
    assert verdict(GAIN, DAMAGED).kept


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A world whose training wrecks what the model answers right before: all of ood."""
    world = make_workspace(tmp_path_factory.mktemp("damaged"))
    draw = [f"{first}{second}" for first in ("lo", "mi", "ra", "te") for second in ("ba", "ku")]
    rows = [
        {
            "id": f"word-{number}",
            "question": f"Which word is number {number}?",
            "choices": [draw[(number * 3 + step) % 8] for step in range(4)],
            "answer": 0,
        }
        for number in range(48)
    ]
    write_rows(world.folder / "ood.jsonl", rows)
    first = RunRecord.read(run(world.config("rounds=0", f"run_dir={world.folder / 'first'}")))
    for pool in ("ood", "source"):
        answers = first.answered(0, pool)
        path = world.folder / f"{pool}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            row["answer"] = answers[str(row["id"])].prediction
        if pool == "source":  # some mistakes to train on
            for row in rows[::2]:
                row["answer"] = (row["answer"] + 1) % 4
        write_rows(path, rows)
    return world


def settings(world: Workspace, keep: bool) -> list[str]:
    return [
        "rounds=2",
        "trainer.learning_rate=0.3",
        "verdict.judged=source",
        "mistakes.ambiguous_below=0",
        f"verdict.keep_previous={str(keep).lower()}",
        f"run_dir={world.folder / str(keep)}",
    ]


def jobs(folder: Path, world: Workspace, stage: str) -> dict[int, Any]:
    noted = json.loads((folder / "stages.json").read_text())["stages"]
    return {
        each["round"]: json.loads(
            (world.folder / "store" / stage / each["key"] / "job.json").read_text()
        )
        for each in noted
        if each["stage"] == stage
    }


def answers_of(folder: Path, world: Workspace, number: int) -> str:
    noted = json.loads((folder / "stages.json").read_text())["stages"]
    (key,) = [e["key"] for e in noted if (e["stage"], e["round"]) == ("answer", number)]
    return str(world.folder / "store" / "answer" / key / "answers")


def test_the_next_round_goes_on_from_the_model_before_a_rejected_one(damaged: Workspace) -> None:
    kept = run(damaged.config(*settings(damaged, keep=True)))
    metrics = json.loads((kept / "metrics.json").read_text())
    first, second = (each["verdict"] for each in metrics["rounds"][1:])
    assert metrics["rounds"][0]["pools"]["ood"]["accuracy"] == 1.0
    assert first["decision"] == "REJECT"
    assert (first["kept"], first["against"]) == (False, 0)
    assert second["against"] == 0
    assert metrics["last_model"] == (2 if second["kept"] else 0)
    assert "weights" not in jobs(kept, damaged, "train")[2]["inputs"]
    assert jobs(kept, damaged, "collect")[2]["inputs"]["answers"] == answers_of(kept, damaged, 0)
    assert "earlier_0" not in jobs(kept, damaged, "assemble")[2]["inputs"]

    again = run(damaged.config(*settings(damaged, keep=True)))
    after = json.loads((again / "metrics.json").read_text())
    assert all(set(each["reused"]) == set(each["seconds"]) for each in after["rounds"])
    assert [each.get("verdict") for each in after["rounds"]] == [None, first, second]

    carried = run(damaged.config(*settings(damaged, keep=False)))
    metrics = json.loads((carried / "metrics.json").read_text())
    assert metrics["rounds"][1]["verdict"] == first | {"kept": True}
    assert metrics["rounds"][2]["verdict"]["against"] == 1
    assert metrics["last_model"] == 2
    assert "weights" in jobs(carried, damaged, "train")[2]["inputs"]
    assert jobs(carried, damaged, "collect")[2]["inputs"]["answers"] == answers_of(
        carried, damaged, 1
    )


def test_where_every_round_was_rejected_none_leaves_but_the_one_asked_for(
    damaged: Workspace,
) -> None:
    keeping = settings(damaged, keep=True)[1:]
    folder = run(damaged.config("rounds=1", *keeping))
    assert json.loads((folder / "metrics.json").read_text())["last_model"] == 0
    export = ("rounds=1", *keeping, "action=export")
    with pytest.raises(UserError, match=r"every round was rejected.*export.round to 1..1"):
        export_model(damaged.config(*export))
    chosen = export_model(damaged.config(*export, "export.round=1"))
    assert json.loads((chosen / "cem_lightning.json").read_text())["round"] == 1


def test_the_model_that_leaves_and_stays_is_the_last_that_was_not_rejected(
    damaged: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second_rejected(*_: object, against: int, **__: object) -> Verdict:
        return Verdict("REJECT" if against else "ACCEPT", "for a test", against, not against)

    monkeypatch.setattr("cem_lightning.evolution.loop.judge", second_rejected)
    mine = [*settings(damaged, keep=True), f"store_dir={damaged.folder / 'another'}"]
    config = damaged.config(*mine, f"run_dir={damaged.folder / 'second'}")
    folder = run(config)
    assert json.loads((folder / "metrics.json").read_text())["last_model"] == 1
    prune_results(config.store_dir, config.prune.model_copy(update={"keep": "last"}))
    noted = json.loads((folder / "stages.json").read_text())["stages"]
    there = {
        each["round"]: (config.store_dir / "train" / each["key"] / "weights").exists()
        for each in noted
        if each["stage"] == "train"
    }
    assert there == {1: True, 2: False}
    chosen = export_model(config)
    assert json.loads((chosen / "cem_lightning.json").read_text())["round"] == 1


def test_review_takes_what_was_forgotten(damaged: Workspace) -> None:
    from cem_lightning.corpus.arrow import load_examples

    folder = run(damaged.config(*settings(damaged, keep=False)))
    record = RunRecord.read(folder)
    noted = json.loads((folder / "stages.json").read_text())["stages"]
    reviewed: dict[int, list[str]] = {}
    for each in noted:
        if each["stage"] == "assemble":
            path = damaged.folder / "store" / "assemble" / each["key"] / "examples"
            reviewed[each["round"]] = [
                example.question_ids[0]
                for example in load_examples(path)
                if example.kind == "review"
            ]
    start, after = (record.answered(number, "source") for number in (0, 1))
    first = {name for name, row in start.items() if row.slice == 1}
    assert set(reviewed[1]) == {name for name in first if start[name].right}
    forgotten = {name for name in first if after[name].state == "forgotten"}
    assert forgotten, "the world was meant to make the model forget"
    assert set(reviewed[2][: len(forgotten)]) == forgotten
