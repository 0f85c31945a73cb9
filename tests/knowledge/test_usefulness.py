"""What reading a passage gives, by a tiny model."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cem_lightning.answering.asking import ask
from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.knowledge.records import Passage
from cem_lightning.knowledge.usefulness import helping, probe, usefulness
from cem_lightning.mistakes.records import Mistake
from cem_lightning.models.config import ModelConfig
from cem_lightning.models.loading import LanguageModel, load_model
from cem_lightning.questions.records import Question
from tests.tiny import tiny_model_folder

QUESTIONS = tuple(
    Question(gas, f"Which chemist isolated {gas} from air?", ("Ramsay", "Curie"), 0, gas)
    for gas in ("neon", "argon", "xenon")
)
MISTAKES = tuple(Mistake(each, "wrong", 1, 0.4, (each.id,)) for each in QUESTIONS)
PASSAGES = tuple(
    Passage(f"p{at}", text, f"d{at}", "", "", "", 1.0, serves)
    for at, (text, serves) in enumerate(
        [
            ("Ramsay isolated neon and argon from air.", ("neon", "argon")),
            ("The river flows past the town and into the sea.", ("argon",)),
            ("word " * 600, ("neon",)),
        ]
    )
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = tiny_model_folder(tmp_path_factory.mktemp("model"))
    return load_model(folder, model_config(folder))


def model_config(folder: Path) -> ModelConfig:
    return ModelConfig(
        path=str(folder), style="chat", dtype="float32", attention="sdpa", device="cpu"
    )


def config(method: str) -> AnsweringConfig:
    return AnsweringConfig.model_validate(
        {
            "method": method, "normalise": "token", "batch_tokens": 4096, "blind": False,
            "open_book_passages": 0, "permutations": "none", "response_tokens": 8, "shots": 0,
            "noise_floor": False,
        }
    )  # fmt: skip


def among(sums: tuple[float, ...]) -> float:
    """The log-likelihood of the first choice among all."""
    return sums[0] - math.log(sum(map(math.exp, sums)))


@pytest.mark.invariant
@pytest.mark.parametrize("method", ["cloze", "letters", "extract"])
def test_the_gain_is_that_of_the_answers_with_the_passage_and_without(
    model: LanguageModel, method: str
) -> None:
    settings = config(method)
    told = 0

    def advance(number: int) -> None:
        nonlocal told
        told += number

    readings = probe(model, MISTAKES, PASSAGES, settings, 0.0, advance)
    assert [(each.question, each.passage) for each in readings] == [
        ("neon", "p0"), ("neon", "p2"), ("argon", "p0"), ("argon", "p1"),
    ]  # fmt: skip
    assert told == len(readings)
    without = {
        each.question: among(each.log_likelihoods) for each in ask(model, QUESTIONS, settings)
    }
    for each in readings:
        text = next(passage.text for passage in PASSAGES if passage.id == each.passage)
        (opened,) = ask(
            model,
            [question for question in QUESTIONS if question.id == each.question],
            settings,
            passages={each.question: (text,)},
        )
        assert each.tokens == model.encoder.count(text)
        if each.bits is None:
            assert opened.outcome == "too_long" and each.kept
        else:
            gain = (among(opened.log_likelihoods) - without[each.question]) / math.log(2)
            assert each.bits == pytest.approx(gain, abs=1e-3)
            assert each.kept == (each.bits > 0)
    assert any(each.bits is None for each in readings)


def test_passages_go_on_serving_whom_they_help(model: LanguageModel) -> None:
    never = probe(model, MISTAKES, PASSAGES, config("cloze"), 1e9, lambda _: None)
    assert [(each.id, each.serves) for each in helping(PASSAGES, never)] == [("p2", ("neon",))]
    always = probe(model, MISTAKES, PASSAGES, config("cloze"), -1e9, lambda _: None)
    assert helping(PASSAGES, always) == list(PASSAGES)
    found = usefulness(always)
    assert (found["read"], found["kept"], found["mistakes"], found["served"]) == (4, 4, 2, 2)
    told = [each for each in always if each.bits is not None]
    bits = sum(each.bits or 0.0 for each in told)
    assert found["bits"] == pytest.approx(bits / 3)
    assert found["bits_per_token"] == pytest.approx(bits / sum(each.tokens for each in told))
    assert usefulness(())["bits"] is None
