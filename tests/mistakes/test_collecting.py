from __future__ import annotations

import pytest

from cem_lightning.answering.records import Answer, Outcome
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


def test_wrong_and_unsure_answers_are_mistakes_and_format_failures_are_not() -> None:
    answers = [
        answer("unsure", "right", 0.49),
        answer("sure", "right", 0.5),
        answer("wrong", "wrong", 0.4),
        answer("long", "too_long"),
        answer("unparsable", "unparsable"),
        answer("other", "wrong"),
    ]
    asked = [question(each) for each in ("wrong", "sure", "unparsable", "unsure", "long")]
    mistakes = collect(asked, answers, CONFIG)
    assert [(each.question.id, each.label, each.prediction) for each in mistakes] == [
        ("wrong", "wrong", 1),
        ("unsure", "ambiguous", 0),
    ]
    assert [each.confidence for each in mistakes] == [0.4, 0.49]


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
    mistakes = collect(asked, answers, CONFIG)
    assert [(each.question.id, each.label, each.prediction) for each in mistakes] == [
        ("wrong", "wrong", None),
        ("unsure", "ambiguous", 0),
    ]
    assert [each.confidence for each in mistakes] == [0.0, 0.49]
    assert mistakes[0].points == ("found wrong", "janssen")
    assert [Mistake.from_dict(each.as_dict()) for each in mistakes] == list(mistakes)


def test_a_threshold_of_zero_collects_wrong_answers_only() -> None:
    config = MistakesConfig(ambiguous_below=0, points=4)
    assert collect([question("a")], [answer("a", "right", 0.0)], config) == ()


def test_mistakes_carry_knowledge_points_of_question_and_right_answer() -> None:
    (mistake,) = collect([question("helium")], [answer("helium", "wrong")], CONFIG)
    assert mistake.points == ("discovered helium", "janssen")
    assert Mistake.from_dict(mistake.as_dict()) == mistake


def test_a_question_without_answer_is_a_bug() -> None:
    with pytest.raises(KeyError):
        collect([question("a")], [], CONFIG)
