from __future__ import annotations

import pytest

from cem_lightning.answering.records import Answer, Outcome
from cem_lightning.answering.uncertainty import Measure
from cem_lightning.errors import UserError
from cem_lightning.mistakes.collecting import collect
from cem_lightning.mistakes.config import MistakesConfig
from cem_lightning.mistakes.records import Mistake
from cem_lightning.questions.records import Question

CONFIG = MistakesConfig(ambiguous_below=0.5, points=4)


def question(name: str) -> Question:
    return Question(name, f"Who discovered {name}?", ("Janssen", "Ramsay", "Curie"), 0, name)


def answer(name: str, outcome: Outcome, probability: float = 0.9) -> Answer:
    prediction = {"right": 0, "wrong": 1}.get(outcome)
    rest = (1 - probability) / 2
    probabilities = [rest, rest, rest]
    if prediction is not None:
        probabilities[prediction] = probability
    return Answer(name, (-1.0, -1.0, -1.0), tuple(probabilities), prediction, outcome)


def test_wrong_and_unsure_answers_are_mistakes_and_what_says_nothing_is_none() -> None:
    answers = [
        answer("unsure", "right", 0.49),
        answer("sure", "right", 0.5),
        answer("wrong", "wrong", 0.4),
        answer("long", "too_long"),
        Answer("unparsable", (-2.0, -1.0, -2.0), (0.3, 0.4, 0.3), None, "unparsable", "Well"),
        answer("other", "wrong"),
    ]
    asked = [question(each) for each in ("wrong", "sure", "unparsable", "unsure", "long")]
    mistakes = collect(asked, answers, CONFIG).mistakes
    assert [(each.question.id, each.label, each.prediction) for each in mistakes] == [
        ("wrong", "wrong", 1),
        ("unsure", "ambiguous", 0),
    ]
    assert [each.confidence for each in mistakes] == [0.4, 0.49]


def test_an_unparsable_answer_is_one_of_format_if_the_right_choice_is_the_likeliest() -> None:
    shares = {"knows": (0.5, 0.3, 0.2), "errs": (0.2, 0.5, 0.3), "none": ()}
    answers = [
        Answer(name, each, each, None, "unparsable", "Well") for name, each in shares.items()
    ]
    (mistake,) = collect([question(name) for name in shares], answers, CONFIG).mistakes
    assert (mistake.question.id, mistake.label) == ("knows", "format")
    assert (mistake.prediction, mistake.confidence) == (None, 0.0)


def test_wrong_and_unlikely_short_answers_are_mistakes() -> None:
    given: tuple[tuple[str, Outcome, int | None, float], ...] = (
        ("wrong", "wrong", None, 0.9),
        ("unsure", "right", 0, 0.49),
        ("sure", "right", 0, 0.5),
        ("silent", "unparsable", None, 0.1),
        ("long", "too_long", None, 0.1),
    )
    answers = [
        Answer(name, (-1.0,), (probability,), prediction, outcome, name)
        for name, outcome, prediction, probability in given
    ]
    asked = [Question(name, f"Who found {name}?", ("Janssen",), 0, name) for name, *_ in given]
    mistakes = collect(asked, answers, CONFIG).mistakes
    assert [(each.question.id, each.label, each.prediction) for each in mistakes] == [
        ("wrong", "wrong", None),
        ("unsure", "ambiguous", 0),
    ]
    assert [each.confidence for each in mistakes] == [0.0, 0.49]
    assert mistakes[0].points == ("found wrong", "janssen")
    assert [Mistake.from_dict(each.as_dict()) for each in mistakes] == list(mistakes)


def test_a_threshold_of_zero_collects_wrong_answers_only() -> None:
    config = MistakesConfig(ambiguous_below=0, points=4)
    assert collect([question("a")], [answer("a", "right", 0.0)], config).mistakes == ()


def test_mistakes_carry_knowledge_points_of_question_and_right_answer() -> None:
    (mistake,) = collect([question("helium")], [answer("helium", "wrong")], CONFIG).mistakes
    assert mistake.points == ("discovered helium", "janssen")
    assert Mistake.from_dict(mistake.as_dict()) == mistake


def test_a_question_without_answer_is_a_bug() -> None:
    with pytest.raises(KeyError):
        collect([question("a")], [], CONFIG)


# right answers to three choices: surer down the list by one measure, not by another
UNSURE = {
    "flat": ((0.4, 0.3, 0.3), (0, 0, 0)),
    "two": ((0.5, 0.49, 0.01), (0, 0, 1)),
    "moves": ((0.9, 0.05, 0.05), (0, 1, 2)),
    "sure": ((0.9, 0.05, 0.05), (0, 0, 0)),
}


@pytest.mark.parametrize(
    ("measure", "below", "expected"),
    [
        ("confidence", 0.45, ["flat"]),
        ("confidence", 0.55, ["flat", "two"]),
        ("margin", 0.05, ["two"]),
        ("margin", 0.2, ["flat", "two"]),
        ("entropy", 0.1, ["flat"]),
        ("entropy", 0.4, ["flat", "two"]),
        ("agreement", 0.5, ["moves"]),
        ("agreement", 1.0, ["two", "moves"]),
        ("agreement", 0.0, []),
    ],
)
def test_what_is_ambiguous_is_a_matter_of_the_measure(
    measure: Measure, below: float, expected: list[str]
) -> None:
    answers = [
        Answer(name, shares, shares, 0, "right", "", orders)
        for name, (shares, orders) in UNSURE.items()
    ]
    config = MistakesConfig(ambiguous_by=measure, ambiguous_below=below, points=4)
    mistakes = collect([question(name) for name in UNSURE], answers, config).mistakes
    assert [each.question.id for each in mistakes] == expected
    assert {each.label for each in mistakes} <= {"ambiguous"}


@pytest.mark.parametrize("measure", ["margin", "entropy", "agreement"])
def test_short_answers_are_unsure_by_their_probability_whatever_the_measure(
    measure: Measure,
) -> None:
    asked = [Question(name, "Who?", ("Janssen",), 0, name) for name in ("unsure", "sure")]
    answers = [
        Answer(name, (-1.0,), (probability,), 0, "right", "Janssen")
        for name, probability in (("unsure", 0.3), ("sure", 0.6))
    ]
    config = MistakesConfig(ambiguous_by=measure, ambiguous_below=0.5, points=4)
    found = collect(asked, answers, config).mistakes
    assert [each.question.id for each in found] == ["unsure"]


def test_agreement_of_answers_asked_in_one_order_is_an_error() -> None:
    config = MistakesConfig(ambiguous_by="agreement", ambiguous_below=0.5, points=4)
    with pytest.raises(UserError, match=r"question 'a'.*answering\.permutations=cyclic"):
        collect([question("a")], [answer("a", "right")], config)
