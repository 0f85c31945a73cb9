"""Which kind of mistake is told from which answers, and what is done about it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from cem_lightning.answering.records import Answer, Outcome
from cem_lightning.knowledge.records import Passage
from cem_lightning.mistakes.config import TriageConfig
from cem_lightning.mistakes.records import Label, Mistake
from cem_lightning.mistakes.triage import Triaged, classify, triage
from cem_lightning.questions.records import Question

ROUTES = {
    "format": "instructions",
    "unstable": "ambiguity",
    "ambiguous": "skip",
    "knowledge_gap": "passages_and_instructions",
    "unhelped": "passages_and_instructions",
    "suspect_gold": "quarantine",
}


def config(passages: int = 2, after: int = 3, **routes: str) -> TriageConfig:
    values = {
        "open_book_passages": passages,
        "suspect_after": after,
        "min_bits": None,
        "routes": ROUTES | routes,
    }
    return TriageConfig.model_validate(values)


def question(name: str = "q", choices: tuple[str, ...] = ("w", "x", "y", "z")) -> Question:
    return Question(name, "Q?", choices, 0, name)


def answer(
    took: int | None, *orders: int | None, name: str = "q", likeliest: int | None = None
) -> Answer:
    """An answer to a question whose first choice is right."""
    shares = [0.1] * 4
    shares[likeliest if likeliest is not None else took or 0] = 0.7
    outcome: Outcome = "unparsable" if took is None else "wrong" if took else "right"
    return Answer(name, tuple(shares), tuple(shares), took, outcome, "", orders)


def kind(
    closed: Answer, opened: Answer | None = None, label: Label | None = None, **changes: Any
) -> str:
    found = label or ("ambiguous" if closed.right else "wrong")
    mistake = Mistake(question(), found, closed.prediction, 0.4)
    return classify(mistake, closed, opened, config(**changes))


def test_a_gap_of_knowledge_is_what_passages_mend() -> None:
    assert kind(answer(1), answer(0)) == "knowledge_gap"
    assert kind(answer(1), answer(2)) == "unhelped"
    assert kind(answer(1), answer(1)) == "unhelped"
    assert kind(answer(1), None) == "unhelped", "no passage was found for it"
    assert kind(answer(1), None, passages=0) == "wrong", "nobody knows"


def test_an_unparsable_open_book_is_no_mistake_of_knowledge() -> None:
    assert kind(answer(1), answer(None, likeliest=0)) == "knowledge_gap"
    assert kind(answer(1), answer(None, likeliest=2)) == "unhelped"
    mistake = Mistake(question(choices=("w",)), "wrong", None, 0.0)
    closed = Answer("q", (-1.0,), (0.3,), None, "wrong", "v")
    for text, expected in (("it is the w", "knowledge_gap"), ("", "unhelped")):
        opened = Answer("q", (-1.0,), (0.3,), None, "unparsable", text)
        assert classify(mistake, closed, opened, config()) == expected


def test_unstable_is_what_moves_with_the_order_of_the_choices() -> None:
    assert kind(answer(1, 1, 2, 1, 1), answer(0)) == "unstable"
    assert kind(answer(0, 0, 0, 3, 0), answer(0)) == "unstable"
    assert kind(answer(1, 1, 1, 1, 1), answer(0)) == "knowledge_gap"
    assert kind(answer(1, 1, None, 1, 1), answer(0)) == "knowledge_gap", "unparsable is no move"
    assert kind(answer(0, 0, 0, 0, 0), answer(0)) == "ambiguous"
    assert kind(answer(0), None, passages=0) == "ambiguous"


def test_the_accepted_answer_is_suspected_only_if_enough_tests_agree_on_another() -> None:
    firm = answer(2, 2, 2, 2, 2)
    assert kind(firm, answer(2)) == "suspect_gold"
    assert kind(firm, answer(2), after=6) == "unhelped", "there were five tests"
    assert kind(firm, answer(1)) == "unhelped", "the book says otherwise"
    assert kind(firm, None) == "unhelped", "a firm error without a book is to be mended"
    assert kind(answer(2, 2, 1, 2, 2), answer(2)) == "unstable"
    assert kind(answer(2, 2, None, 2, 2), answer(2)) == "unhelped"
    assert kind(answer(2), answer(2)) == "unhelped", "closed and open book are two tests"
    assert kind(answer(2), answer(2), after=2) == "suspect_gold"
    assert kind(answer(0, 0, 0, 0, 0), answer(0)) == "ambiguous"


def test_format_goes_before_all_others() -> None:
    unsaid = answer(None, None, 1, 2, 3, likeliest=0)
    assert kind(unsaid, None, label="format") == "format"


def test_every_mistake_gets_its_class_route_tests_and_passages_in_order() -> None:
    def passage(name: str, *serves: str) -> Passage:
        return Passage(name, name, name, "", "", "", 1.0, serves)

    labels: dict[str, Label] = {"a": "wrong", "b": "ambiguous", "c": "wrong", "d": "format"}
    mistakes = [Mistake(question(name), label, 1, 0.4) for name, label in labels.items()]
    closed = [
        answer(1, 1, 1, 1, 1, name="a"),
        answer(0, 0, 3, 0, 0, name="b"),
        answer(1, 1, 1, 1, 1, name="c"),
        answer(None, None, 0, 0, 0, name="d"),
        answer(1, name="of no mistake"),
    ]
    opened = [answer(0, name="b"), answer(1, name="a")]
    passages = [passage("p2", "b", "a"), passage("p1", "a"), passage("p0")]
    triaged = triage(mistakes, closed, passages, opened, config())
    assert [(each.question, each.triage_class, each.route, each.passages) for each in triaged] == [
        ("a", "suspect_gold", "quarantine", ("p2", "p1")),
        ("b", "unstable", "ambiguity", ("p2",)),
        ("c", "unhelped", "passages_and_instructions", ()),
        ("d", "format", "instructions", ()),
    ]
    asked = {"own order": 1, "order 2": 1, "order 3": 1, "order 4": 1}
    assert triaged[0].tests == asked | {"open book": 1}
    assert triaged[2].tests == asked
    assert [(each.open_book, each.helped) for each in triaged] == [
        ("wrong", False),
        ("right", True),
        (None, False),
        (None, False),
    ]
    assert [each.trained for each in triaged] == [False, True, True, True]
    assert [each.reads for each in triaged] == [False, True, True, False]
    assert [Triaged.from_dict(each.as_dict()) for each in triaged] == list(triaged)


def test_what_is_not_told_apart_is_trained_on_as_a_whole() -> None:
    mistake = Mistake(question(), "wrong", 1, 0.4)
    (found,) = triage([mistake], [answer(1)], [], [], config(passages=0, unhelped="skip"))
    assert (found.triage_class, found.route) == ("wrong", "passages_and_instructions")


@pytest.mark.parametrize(
    ("given", "key"),
    [({"unhelped": "forget"}, "unhelped"), ({"format": "passages_and_instructions"}, "format")],
)
def test_a_route_that_there_is_not_is_refused(given: dict[str, str], key: str) -> None:
    with pytest.raises(ValidationError, match=rf"routes\.{key}"):
        config(**given)
