"""The noise floor: what moves when nothing was learned."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.noise import in_own_order, noise, other_batching, reversed_choices
from cem_lightning.answering.records import Answer
from cem_lightning.evolution.run import run
from cem_lightning.questions.records import Question
from tests.workspace import Workspace


def answer(name: str, prediction: int | None, right: bool) -> Answer:
    return Answer(name, (-1.0,), (1.0,), prediction, "right" if right else "wrong")


def test_flips_and_accuracies_by_hand() -> None:
    own = {
        "a": answer("a", 0, True),
        "b": answer("b", 1, False),
        "c": answer("c", 2, True),
        "d": answer("d", 0, False),
    }
    batching = [answer("a", 0, True), answer("b", 0, True), answer("c", 2, True), own["d"]]
    order = [answer("a", 3, False), answer("c", 1, False)]
    assert noise(own, {"batching": batching, "order": order}) == {
        "batching": {"n": 4, "flips": 0.25, "accuracy": 0.75, "accuracy_before": 0.5},
        "order": {"n": 2, "flips": 1.0, "accuracy": 0.0, "accuracy_before": 1.0},
        "floor": 1.0,
    }
    assert noise(own, {"batching": list(own.values()), "order": []}) == {
        "batching": {"n": 4, "flips": 0.0, "accuracy": 0.5, "accuracy_before": 0.5},
        "order": None,
        "floor": 0.0,
    }


def test_reversing_and_back_keeps_question_and_answer() -> None:
    question = Question("q", "Which?", ("a", "b", "c"), 0, "q")
    turned = reversed_choices(question)
    assert (turned.choices, turned.answer, turned.gold) == (("c", "b", "a"), 2, "a")
    assert reversed_choices(turned) == question
    found = Answer("q", (-3.0, -2.0, -1.0), (0.1, 0.2, 0.7), 2, "right")
    own = in_own_order(found, question)
    assert (own.prediction, own.log_likelihoods) == (0, (-1.0, -2.0, -3.0))
    assert own.probabilities == (0.7, 0.2, 0.1)
    assert in_own_order(replace(found, prediction=None), question).prediction is None


def test_another_batching_is_smaller() -> None:
    config = AnsweringConfig(
        method="letters",
        normalise="sum",
        permutations="cyclic",
        blind=False,
        open_book_passages=0,
        batch_tokens=2048,
        response_tokens=8,
    )
    other = other_batching(config)
    assert (other.batch_tokens, other.permutations) == (512, "none")
    assert other_batching(other.model_copy(update={"batch_tokens": 1})).batch_tokens == 1


@pytest.mark.parametrize("method", ["letters", "cloze"])
def test_a_run_measures_it_without_asking_anew(workspace: Workspace, method: str) -> None:
    settings = ["rounds=0", f"answering={method}", "answering.open_book_passages=0"]
    run(workspace.config(*settings, f"run_dir={workspace.folder / 'without'}"))
    folder = run(workspace.config(*settings, "answering.noise_floor=true"))
    metrics = json.loads((folder / "metrics.json").read_text())
    found = metrics["noise"]
    assert metrics["rounds"][0]["reused"] == ["answer"]
    heldout = metrics["rounds"][0]["pools"]["heldout"]
    assert found["batching"]["n"] == heldout["n"]
    assert found["batching"]["accuracy_before"] == heldout["accuracy"]
    assert found["batching"]["flips"] <= 1 / heldout["n"], "an answer within rounding of another"
    if method == "cloze":
        assert found["order"] is None
    else:
        # a random model takes letters by their place, so that turning them moves its answers
        assert found["order"]["n"] == heldout["n"]
        assert found["order"]["flips"] > 0.5
        moved = abs(found["order"]["accuracy"] - heldout["accuracy"])
        assert found["floor"] == pytest.approx(moved)
