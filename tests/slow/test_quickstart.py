"""The real model of the quickstart: it answers real questions, and a round of training moves it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from cem_lightning.answering.asking import ask
from cem_lightning.evolution.run import run
from cem_lightning.models.loading import LanguageModel, load_model
from cem_lightning.models.source import convert_gguf, resolve
from cem_lightning.questions import capitals, elements
from cem_lightning.questions.records import Question
from tests.workspace import compose_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    convert_gguf(resolve(compose_config().model.path), folder)
    return folder


@pytest.fixture(scope="module")
def model(converted: Path) -> LanguageModel:
    return load_model(converted, compose_config().model)


def share_right(model: LanguageModel, questions: Sequence[Question], *, blind: bool) -> float:
    answers = ask(model, questions, compose_config().answering, blind=blind)
    assert len(answers) == len(questions)
    return sum(answer.right for answer in answers) / len(answers)


@pytest.mark.parametrize("group", [0, 1, 2])
@pytest.mark.parametrize("name", ["source", "heldout"])
def test_the_name_blind_model_guesses(model: LanguageModel, group: int, name: str) -> None:
    """Four options, pools under 150: within two standard errors of 25%."""
    pool = elements.pools(group)[name]
    limit = 0.25 + 2 * (0.25 * 0.75 / len(pool)) ** 0.5
    assert share_right(model, pool, blind=True) <= limit


def test_it_knows_some_capitals_by_their_country_alone(model: LanguageModel) -> None:
    pool = capitals.pool()
    assert 0.4 <= share_right(model, pool, blind=False) <= 0.8
    assert share_right(model, pool, blind=True) <= 0.33


def test_a_short_round_learns_what_it_trains_on(converted: Path, tmp_path: Path) -> None:
    config = compose_config(
        "+experiment=quickstart",
        f"model.path={converted}",
        "rounds=1",
        "data.slice=8",
        "recipe=cit_only",
        "recipe.tokens=2500",
        "answering.blind=false",
        "answering.open_book_passages=0",
        f"store_dir={tmp_path / 'store'}",
        f"run_dir={tmp_path / 'run'}",
    )
    folder = run(config)
    before, after = json.loads((folder / "metrics.json").read_text())["rounds"]
    assert after["mistakes"]["wrong"] > 0
    mined = after["pools"]["source"]["slices"]["1"]
    assert mined >= 0.75 > before["pools"]["source"]["slices"]["1"]
    assert before["pools"]["ood"]["accuracy"] >= 0.4
    assert before["pools"]["ood"]["digest"] != after["pools"]["ood"]["digest"]
