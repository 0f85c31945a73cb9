"""Asking a pool: outcomes, normalisation, the name-blind form and the open book."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cem_lightning.answering import asking
from cem_lightning.answering.asking import ask
from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.orders import cyclic_orders
from cem_lightning.answering.records import Answer
from cem_lightning.answering.scoring import log_likelihoods
from cem_lightning.errors import UserError
from cem_lightning.models.loading import LanguageModel
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Wording
from tests.answering.models import language_model, teach

QUESTIONS = (
    Question("sea", "Which sea is red?", ("Red Sea", "größe", "the white sea"), 0, "a"),
    Question("sum", "What is 1 plus 2?", ("12", "red", "3", "two and one"), 2, "b", blind="What?"),
    Question(
        "town", "Where does Ann live?", ("redredred", "x"), 1, "c", blind="Where does it live?"
    ),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """With a token "red", so that tokens and bytes differ."""
    return language_model(tmp_path_factory.mktemp("model"), merges=[("r", "e"), ("re", "d")])


def config(method: str = "cloze", **changes: Any) -> AnsweringConfig:
    values = {
        "method": method,
        "normalise": "sum",
        "blind": False,
        "open_book_passages": 0,
        "batch_tokens": 2048,
        "response_tokens": 24,
    }
    return AnsweringConfig.model_validate(values | changes)


def scored(model: LanguageModel, prompt: str, responses: list[str]) -> tuple[float, ...]:
    """Log-likelihoods of the responses to a prompt as it stands."""
    encoder = model.encoder
    full = [encoder.continuation(prompt, each) for each in responses]
    (found,) = log_likelihoods(model, [encoder.prompt(prompt)], [full], batch_tokens=2048)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("method", ["cloze", "letters"])
def test_the_likeliest_choice_is_the_answer(model: LanguageModel, method: Any) -> None:
    answers = ask(model, QUESTIONS, config(method))
    wording = Wording(method)
    assert [each.question for each in answers] == ["sea", "sum", "town"]
    for question, answer in zip(QUESTIONS, answers, strict=True):
        responses = [wording.response(question, at) for at in range(len(question.choices))]
        expected = scored(model, wording.prompt(question), responses)
        assert answer.log_likelihoods == pytest.approx(expected, abs=1e-4)
        best = expected.index(max(expected))
        assert answer.prediction == best
        assert answer.outcome == ("right" if best == question.answer else "wrong")
        assert answer.right == (best == question.answer)
        assert answer.confidence == max(answer.probabilities)
        assert sum(answer.probabilities) == pytest.approx(1)
        assert answer.text == ""
    gold_moved = [replace(each, answer=answers[at].prediction) for at, each in enumerate(QUESTIONS)]
    assert all(each.right for each in ask(model, gold_moved, config(method)))


@pytest.mark.parametrize("normalise", ["sum", "token", "byte"])
def test_normalisation_divides_by_nothing_tokens_or_bytes(
    model: LanguageModel, normalise: str
) -> None:
    sums = ask(model, QUESTIONS, config())
    answers = ask(model, QUESTIONS, config(normalise=normalise))
    tokenizer = model.encoder.tokenizer
    for question, plain, answer in zip(QUESTIONS, sums, answers, strict=True):
        lengths = {
            "sum": [1] * len(question.choices),
            "token": [len(tokenizer.encode(each)) for each in question.choices],
            "byte": [len(each.encode()) for each in question.choices],
        }[normalise]
        assert answer.log_likelihoods == plain.log_likelihoods
        weights = [
            math.exp(total / length)
            for total, length in zip(answer.log_likelihoods, lengths, strict=True)
        ]
        expected = [weight / sum(weights) for weight in weights]
        assert answer.probabilities == pytest.approx(expected, rel=1e-6)
        assert answer.prediction == expected.index(max(expected))


def test_the_three_normalisations_differ(model: LanguageModel) -> None:
    found = {
        ask(model, QUESTIONS[2:], config(normalise=each))[0].probabilities
        for each in ("sum", "token", "byte")
    }
    assert len(found) == 3


def test_blind_asks_the_masked_stem_of_those_that_have_one(model: LanguageModel) -> None:
    done: list[int] = []
    answers = ask(model, QUESTIONS, config(), blind=True, advance=done.append)
    assert [each.question for each in answers] == ["sum", "town"]
    assert sum(done) == 2
    for answer, question in zip(answers, QUESTIONS[1:], strict=True):
        assert question.blind is not None
        expected = scored(model, question.blind, list(question.choices))
        assert answer.log_likelihoods == pytest.approx(expected, abs=1e-4)
    assert ask(model, QUESTIONS[:1], config(), blind=True) == ()


def test_the_open_book_stands_before_the_question(model: LanguageModel) -> None:
    passages = {"sea": ["The Red Sea is red.", "So it is."], "town": []}
    book = ask(model, QUESTIONS, config(), passages=passages)
    closed = ask(model, QUESTIONS, config())
    read = "The Red Sea is red.\n\nSo it is.\n\nWhich sea is red?"
    expected = scored(model, read, list(QUESTIONS[0].choices))
    assert book[0].log_likelihoods == pytest.approx(expected, abs=1e-4)
    assert book[0].log_likelihoods != pytest.approx(closed[0].log_likelihoods, abs=1e-2)
    for at in (1, 2):  # no passages, no change
        assert book[at].log_likelihoods == pytest.approx(closed[at].log_likelihoods, abs=1e-4)


@pytest.mark.parametrize("method", ["cloze", "letters", "extract"])
def test_too_long_is_an_outcome_of_its_own(model: LanguageModel, method: str) -> None:
    long = replace(QUESTIONS[0], id="long", question="why " * 200)
    done: list[int] = []
    answers = ask(model, [QUESTIONS[1], long], config(method), advance=done.append)
    assert answers[0].outcome != "too_long"
    assert answers[1] == Answer("long", (), (), None, "too_long")
    assert (answers[1].right, answers[1].confidence) == (False, 0.0)
    assert sum(done) == 2


def test_extract_without_room_for_the_response_is_too_long(model: LanguageModel) -> None:
    """The choices could be scored, but what the model would write has no room."""
    prompt = model.encoder.prompt(Wording("extract").prompt(QUESTIONS[0]))
    room = model.context - len(prompt)
    fits, exceeds = (
        ask(model, QUESTIONS[:1], config("extract", response_tokens=tokens))[0]
        for tokens in (room, room + 1)
    )
    assert fits.outcome == "unparsable"
    assert exceeds == Answer("sea", (), (), None, "too_long")


def test_a_random_models_text_is_unparsable_not_wrong(model: LanguageModel) -> None:
    done: list[int] = []
    answers = ask(model, QUESTIONS, config("extract"), advance=done.append)
    assert [each.outcome for each in answers] == ["unparsable"] * 3
    assert [each.prediction for each in answers] == [None] * 3
    assert all(each.text for each in answers)
    assert all(len(each.probabilities) == len(each.log_likelihoods) > 0 for each in answers)
    assert sum(done) == 3


@pytest.mark.invariant
def test_what_is_written_does_not_depend_on_company(tmp_path: Path) -> None:
    model = language_model(tmp_path, "qwen2")
    together = ask(model, QUESTIONS, config("extract"))
    alone = [ask(model, [each], config("extract"))[0] for each in QUESTIONS]
    assert [each.text for each in together] == [each.text for each in alone]
    assert len({each.text for each in alone}) > 1


def test_extract_goes_by_what_the_model_writes(tmp_path: Path) -> None:
    model = language_model(tmp_path)
    wording = Wording("extract")
    says = {"sea": "The answer is A.", "sum": "The answer is B.", "town": "I do not know."}
    exchanges = [(wording.prompt(each), says[each.id]) for each in QUESTIONS]
    teach(model, exchanges)
    alone = ask(model, QUESTIONS, config("extract", batch_tokens=1))
    assert [each.text for each in alone] == [says[each.id] for each in QUESTIONS]
    assert [each.prediction for each in alone] == [0, 1, None]
    assert [each.outcome for each in alone] == ["right", "wrong", "unparsable"]
    together = ask(model, QUESTIONS, config("extract"))
    assert [each.text for each in together] == [each.text for each in alone]


def test_answers_can_be_written_down(model: LanguageModel) -> None:
    for answer in ask(model, QUESTIONS, config()):
        assert Answer.from_dict(answer.as_dict()) == answer


COLOUR = Question("colour", "Which colour?", ("red", "green", "blue"), 0, "c")


def test_what_moves_with_the_order_shows_and_the_debiased_choice_stays(tmp_path: Path) -> None:
    """A model that takes A whatever stands there, asked with each choice first in turn."""
    model = language_model(tmp_path)
    orders = cyclic_orders(COLOUR)
    teach(model, [(Wording("letters").prompt(each), "A") for each in orders])
    answers = ask(model, orders, config("letters", permutations="cyclic"))
    for answer in answers:
        assert answer.orders == (0, 1, 2)
        assert answer.prediction == 0
        assert answer.confidence > 0.9  # sure, but of the letter
        assert answer.agreement == pytest.approx(1 / 3)
    assert [each.outcome for each in answers] == ["right", "wrong", "wrong"]
    debiased = [
        order.choices[answer.debiased]
        for order, answer in zip(orders, answers, strict=True)
        if answer.debiased is not None
    ]
    assert len(debiased) == 3 and len(set(debiased)) == 1


@pytest.mark.parametrize("method", ["letters", "extract"])
def test_all_orders_are_those_of_questions_asked_one_by_one(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    calls: list[int] = []

    def counted(model: LanguageModel, prompts: Sequence[Any], *rest: Any, **more: Any) -> Any:
        calls.append(len(prompts))
        return log_likelihoods(model, prompts, *rest, **more)

    monkeypatch.setattr(asking, "log_likelihoods", counted)
    done: list[int] = []
    permuted = ask(model, QUESTIONS, config(method, permutations="cyclic"), advance=done.append)
    assert calls == [3 + 4 + 2, 0]  # the second is that of short answers
    assert sum(done) == 3
    for question, answer in zip(QUESTIONS, permuted, strict=True):
        count = len(question.choices)
        turned = [ask(model, [each], config(method))[0] for each in cyclic_orders(question)]
        assert answer.log_likelihoods == pytest.approx(turned[0].log_likelihoods, abs=1e-4)
        assert answer.probabilities == pytest.approx(turned[0].probabilities, abs=1e-4)
        assert (answer.text, answer.outcome) == (turned[0].text, turned[0].outcome)
        assert answer.orders == tuple(
            None if each.prediction is None else (each.prediction + turn) % count
            for turn, each in enumerate(turned)
        )
        means = [
            sum(each.probabilities[(own - turn) % count] for turn, each in enumerate(turned))
            for own in range(count)
        ]
        assert answer.debiased == means.index(max(means))
        assert Answer.from_dict(answer.as_dict()) == answer


def test_extract_parses_every_order(tmp_path: Path) -> None:
    model = language_model(tmp_path)
    says = ["The answer is A.", "Who knows?"]
    either = replace(COLOUR, choices=COLOUR.choices[:2])
    prompts = [Wording("extract").prompt(each) for each in cyclic_orders(either)]
    teach(model, list(zip(prompts, says, strict=True)))
    (answer,) = ask(model, [either], config("extract", permutations="cyclic"))
    assert answer.orders == (0, None)
    assert (answer.text, answer.outcome) == (says[0], "right")
    assert answer.agreement == 1 / 2


def test_short_answers_and_the_blind_form_have_one_order(model: LanguageModel) -> None:
    short = Question("short", "Which sea is red?", ("Red Sea",), 0, "s")
    cyclic = config("letters", permutations="cyclic")
    answers = ask(model, [short, QUESTIONS[1]], cyclic)
    assert [len(each.orders) for each in answers] == [0, 4]
    assert answers[0] == ask(model, [short], config("letters"))[0]
    (blind,) = ask(model, QUESTIONS[1:2], cyclic, blind=True)
    assert (blind.orders, blind.debiased) == ((), None)


def test_too_long_under_any_order_is_too_long(model: LanguageModel) -> None:
    long = replace(QUESTIONS[0], id="long", question="why " * 200)
    answers = ask(model, [long, QUESTIONS[1]], config("letters", permutations="cyclic"))
    assert answers[0] == Answer("long", (), (), None, "too_long")
    assert len(answers[1].orders) == 4


@pytest.mark.parametrize(
    ("choices", "method", "said"),
    [
        ((), "cloze", "has no choices"),
        (("red", " "), "cloze", r"has an empty choice \(number 2\)"),
        (("red", "blue", "red "), "letters", "has the choice 'red' twice"),
        (tuple(map(str, range(30))), "letters", "has 30 choices.*answering.method=cloze"),
        (tuple(map(str, range(30))), "extract", "has 30 choices.*letters for 26"),
    ],
)
def test_choices_that_cannot_be_scored_name_the_question(
    model: LanguageModel, choices: tuple[str, ...], method: str, said: str
) -> None:
    bad = Question("bad", "Which?", choices, 0, "b")
    with pytest.raises(UserError, match=f"question 'bad' {said}"):
        ask(model, [QUESTIONS[1], bad], config(method))


def test_many_choices_are_no_trouble_where_they_are_not_listed(model: LanguageModel) -> None:
    many = Question("many", "Which?", tuple(map(str, range(30))), 7, "m")
    (answer,) = ask(model, [many], config())
    assert len(answer.probabilities) == 30
    listed = replace(many, choices=many.choices[:26])
    (answer,) = ask(model, [listed], config("letters"))
    assert len(answer.probabilities) == 26


@pytest.mark.parametrize("method", ["cloze", "letters"])
def test_log_likelihoods_that_are_no_numbers_name_the_question(tmp_path: Path, method: str) -> None:
    model = language_model(tmp_path)
    head = model.network.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone())  # else shared with the input
    (token,) = model.encoder.tokenizer.encode("@", add_special_tokens=False)
    model.network.get_input_embeddings().weight.data[token] = math.nan
    assert len(ask(model, QUESTIONS, config(method))) == 3
    spoilt = replace(QUESTIONS[0], id="spoilt", question="Which @?")
    with pytest.raises(UserError, match=r"question 'spoilt'.*nan.*weights.*trainer\.learning_rate"):
        ask(model, [spoilt], config(method))
