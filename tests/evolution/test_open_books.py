"""Mistakes asked again with their passages: a model that reads, and one with little room."""

from __future__ import annotations

from pathlib import Path

import pytest

from cem_lightning.answering.asking import ask
from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.room import fits
from cem_lightning.evolution.open_books import ask_with_passages
from cem_lightning.knowledge.records import Passage
from cem_lightning.mistakes.config import TriageConfig
from cem_lightning.mistakes.records import Mistake
from cem_lightning.mistakes.triage import triage
from cem_lightning.models.loading import LanguageModel
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Wording
from tests.answering.models import language_model, teach
from tests.workspace import compose_config

CONFIG = AnsweringConfig(
    method="letters",
    normalise="sum",
    permutations="cyclic",
    blind=False,
    open_book_passages=0,
    batch_tokens=2048,
    response_tokens=8,
)
ASKED = [
    Question(name, f"What colour is the {name}?", ("red", "blue", "white"), 0, name)
    for name in ("gruk", "tove", "larn")
]
MISTAKES = [Mistake(each, "wrong", 1, 0.9, (each.id,)) for each in ASKED]
PASSAGES = [
    Passage(f"p-{name}", f"The {name} is {colour}.", "d", "", "", "", 1.0, (name,))
    for name, colour in (("gruk", "red"), ("tove", "blue"))
]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """Says B, and A where it reads of the gruk."""
    model = language_model(tmp_path_factory.mktemp("reader"))
    wording = Wording("letters")
    closed = [(wording.prompt(each), "B") for each in ASKED]
    opened = [
        (wording.prompt(question, passages=[passage.text]), letter)
        for question, passage, letter in zip(ASKED, PASSAGES, "AB", strict=False)
    ]
    teach(model, [*closed, *opened])
    return model


def test_a_model_that_reads_shows_which_passages_help(reader: LanguageModel) -> None:
    done: list[int] = []
    opened = ask_with_passages(reader, MISTAKES, PASSAGES, 2, CONFIG, done.append)
    assert [(each.question, each.prediction) for each in opened] == [("gruk", 0), ("tove", 1)]
    assert sum(done) == len(MISTAKES)
    assert not any(each.orders for each in opened), "asked once"
    closed = ask(reader, ASKED, CONFIG.model_copy(update={"permutations": "none"}))
    assert [each.prediction for each in closed] == [1, 1, 1]
    settings = compose_config().triage
    assert [each.triage_class for each in triage(MISTAKES, closed, PASSAGES, opened, settings)] == [
        "knowledge_gap",
        "unhelped",
        "unhelped",
    ]
    assert isinstance(settings, TriageConfig)


def test_passages_are_cut_to_what_the_context_holds(tmp_path: Path) -> None:
    small = language_model(tmp_path, context=224)
    long = [
        Passage(
            f"p{at}", f"The gruk is red. {'It rains. ' * times}", "d", "", "", "", 1.0, ("gruk",)
        )
        for at, times in enumerate((80, 1))
    ]
    assert not fits(small, ASKED[0], [long[0].text], CONFIG)
    (answer,) = ask_with_passages(small, MISTAKES[:1], long, 2, CONFIG, lambda _: None)
    assert answer.outcome != "too_long"
    (plain,) = ask(small, ASKED[:1], CONFIG)
    assert answer.log_likelihoods != plain.log_likelihoods, "something was shown"
