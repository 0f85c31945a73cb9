"""Short-answer questions: asked by generation, beside multiple choice and under every method."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.answering.asking import ask
from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.records import Answer
from cem_lightning.knowledge.decontamination import LeakIndex
from cem_lightning.models.loading import LanguageModel
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Method, Wording
from tests.answering.models import language_model, teach, token_scores

METHODS: tuple[Method, ...] = ("cloze", "letters", "extract")
CHOOSE = (
    Question("sea", "Which sea is red?", ("Red Sea", "the white sea"), 0, "a"),
    Question("sum", "What is 1 plus 2?", ("12", "red", "3"), 2, "b", blind="What?"),
)


def short(name: str, accepted: str, blind: str | None = None) -> Question:
    return Question(name, f"Where does {name} live?", (accepted,), 0, name, blind=blind)


SAYS = {
    "Ann": "the Arle.",
    "Bob": "Bresk",
    "Cid Campeador of Vivar": "",
    "Dee": "Corvo\nQuestion: Where else?",
}
SHORT = (
    short("Ann", "Arle", blind="Where does it live?"),
    short("Bob", "Dunmar town"),
    short("Cid Campeador of Vivar", "Eltz"),
    short("Dee", "Corvo"),
)
MIXED = (SHORT[0], CHOOSE[0], SHORT[1], SHORT[2], CHOOSE[1], SHORT[3])


def config(method: Method = "cloze", **changes: Any) -> AnsweringConfig:
    values = {
        "method": method,
        "normalise": "token",
        "blind": False,
        "open_book_passages": 0,
        "batch_tokens": 2048,
        "response_tokens": 32,
    }
    return AnsweringConfig.model_validate(values | changes)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """One that says of everybody what stands in `SAYS`."""
    taught = language_model(tmp_path_factory.mktemp("model"))
    prompts = {each.id: Wording("cloze").prompt(each) for each in SHORT}
    teach(taught, [(prompts[name], said) for name, said in SAYS.items()])
    return taught


def test_right_is_the_accepted_answer_and_nothing_is_unparsable(model: LanguageModel) -> None:
    answers = ask(model, SHORT, config())
    assert [each.text for each in answers] == list(SAYS.values())
    assert [each.outcome for each in answers] == ["right", "wrong", "unparsable", "right"]
    assert [each.prediction for each in answers] == [0, None, None, 0]
    assert [each.confidence > 0 for each in answers] == [True, False, False, True]
    assert [Answer.from_dict(each.as_dict()) for each in answers] == list(answers)


def test_the_accepted_answer_among_other_words_is_no_mistake_of_knowledge(
    model: LanguageModel,
) -> None:
    (question,) = (replace(each, choices=("Corvo question",)) for each in SHORT if each.id == "Dee")
    (answer,) = ask(model, (question,), config())
    assert (answer.outcome, answer.prediction) == ("unparsable", None)


def test_the_accepted_answer_is_scored(model: LanguageModel) -> None:
    for question, answer in zip(SHORT, ask(model, SHORT, config()), strict=True):
        prompt = Wording("cloze").prompt(question)
        ids = model.encoder.continuation(prompt, question.gold)
        count = len(ids) - len(model.encoder.prompt(prompt))
        expected = sum(token_scores(model, ids)[-count:])
        assert answer.log_likelihoods == pytest.approx((expected,), abs=1e-3)
        assert answer.probabilities == pytest.approx((math.exp(expected / count),), rel=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_mixed_pools_answer_each_kind_as_if_it_were_alone(
    model: LanguageModel, method: Method
) -> None:
    done: list[int] = []
    mixed = ask(model, MIXED, config(method), advance=done.append)
    assert [each.question for each in mixed] == [each.id for each in MIXED]
    assert sum(done) == len(MIXED)
    chosen, written = (ask(model, pool, config(method)) for pool in (CHOOSE, SHORT))
    by_id = {each.question: each for each in (*chosen, *written)}
    assert list(mixed) == [by_id[each.id] for each in MIXED], "to the last digit"
    assert [each.text for each in written] == list(SAYS.values()), "whatever the method"
    assert all(len(each.probabilities) > 1 for each in chosen)
    assert ask(model, (), config(method)) == ()


@pytest.mark.invariant
def test_what_is_written_does_not_depend_on_company(tmp_path: Path) -> None:
    model = language_model(tmp_path, "qwen2")
    together = ask(model, SHORT, config())
    one_by_one = ask(model, SHORT, config(batch_tokens=1))
    alone = [ask(model, [each], config())[0] for each in SHORT]
    for other in (one_by_one, alone):
        assert [each.text for each in other] == [each.text for each in together]
        for first, second in zip(together, other, strict=True):
            assert first.log_likelihoods == pytest.approx(second.log_likelihoods, abs=1e-4)
    assert len({each.text for each in alone}) > 1
    assert len({len(model.encoder.prompt(each.question)) for each in SHORT}) > 1, "padding"


@pytest.mark.parametrize("method", METHODS)
def test_what_has_no_room_is_too_long(model: LanguageModel, method: Method) -> None:
    endless = replace(SHORT[0], id="endless", question="why " * 200)
    talkative = short("Ann", "x" * 33)
    done: list[int] = []
    answers = ask(model, [endless, talkative, SHORT[0]], config(method), advance=done.append)
    assert answers[:2] == (
        Answer("endless", (), (), None, "too_long"),
        Answer("Ann", (), (), None, "too_long"),
    )
    assert answers[2].outcome == "right"
    assert ask(model, [short("Ann", "x" * 32)], config(method))[0].outcome == "wrong"
    assert sum(done) == 3


def test_blind_and_open_book(model: LanguageModel) -> None:
    blind = ask(model, MIXED, config(), blind=True)
    assert [each.question for each in blind] == ["Ann", "sum"]
    seen = ask(model, [replace(SHORT[0], question="Where does it live?")], config())
    assert blind[0].log_likelihoods == pytest.approx(seen[0].log_likelihoods, abs=1e-4)
    (book,) = ask(model, SHORT[:1], config(), passages={"Ann": ["Ann lives in Arle."]})
    assert book.log_likelihoods != pytest.approx(ask(model, SHORT, config())[0].log_likelihoods)


def test_a_passage_that_states_the_answer_is_no_leak_and_the_question_is() -> None:
    asked = Question("h", "The longest river of Gorin is", ("the Hask",), 0, "h")
    index = LeakIndex(Pools((CHOOSE[0],), (asked,)))
    assert not index.find("Everybody knows: the longest river of Gorin is the Hask.")
    assert index.find("The longest river of Gorin is ____. Answer: the Hask")
    assert index.find("The longest river of Gorin is")
