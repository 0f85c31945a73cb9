"""Measures of uncertainty against plain references, and the orders of choices there and back."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cem_lightning.answering.orders import cyclic_orders, own_order, own_position
from cem_lightning.answering.records import Answer
from cem_lightning.answering.uncertainty import (
    MEASURES,
    Measure,
    agreement,
    debiased,
    entropy,
    margin,
)
from cem_lightning.questions.records import Question

WEIGHTS = st.lists(st.floats(0, 1e3), min_size=2, max_size=26).filter(lambda each: sum(each) > 1e-3)


def answer(*probabilities: float, orders: tuple[int | None, ...] = ()) -> Answer:
    took = probabilities.index(max(probabilities)) if probabilities else None
    outcome = "right" if probabilities else "too_long"
    return Answer("q", probabilities, probabilities, took, outcome, orders=orders)  # type: ignore[arg-type]


@settings(deadline=None, derandomize=True)
@given(WEIGHTS)
def test_entropy_and_margin_are_what_their_formulas_say(weights: list[float]) -> None:
    probabilities = [each / sum(weights) for each in weights]
    bits = sum(each * math.log2(1 / each) for each in probabilities if each > 1e-300)
    assert entropy(probabilities) == pytest.approx(bits * math.log(2), abs=1e-9)
    best = max(probabilities)
    others = list(probabilities)
    others.remove(best)
    assert margin(probabilities) == pytest.approx(best - max(others))
    found = answer(*probabilities)
    sure = [found.certainty(each) for each in ("confidence", "margin", "entropy")]
    assert all(each is not None and -1e-9 <= each <= 1 + 1e-9 for each in sure)


def test_by_hand() -> None:
    assert entropy([1.0, 0.0, 0.0]) == 0
    assert entropy([0.25] * 4) == pytest.approx(math.log(4))
    assert entropy([0.5, 0.25, 0.25]) == pytest.approx(1.5 * math.log(2))
    assert margin([0.2, 0.5, 0.3]) == pytest.approx(0.2)
    assert margin([0.4, 0.4, 0.2]) == 0
    assert agreement([2, 1, 2, None], 2) == 0.5
    assert agreement([0, 1, 2], 0) == pytest.approx(1 / 3)


def test_what_is_not_there_is_not_measured() -> None:
    assert (entropy([0.7]), margin([0.7])) == (None, None)  # a short answer
    assert (entropy([]), margin([])) == (None, None)  # too long
    assert agreement([], 0) is None  # one order
    assert agreement([None, 1], None) is None  # unparsable
    empty = answer()
    assert [empty.certainty(each) for each in MEASURES] == [None] * 4


@pytest.mark.parametrize(
    ("measure", "certainty"),
    [
        ("confidence", 0.5),
        ("margin", 0.25),
        ("entropy", 1 - 1.5 * math.log(2) / math.log(3)),
        ("agreement", 2 / 3),
    ],
)
def test_certainty_is_higher_where_an_answer_is_surer(measure: Measure, certainty: float) -> None:
    unsure = answer(0.5, 0.25, 0.25, orders=(0, 2, 0))
    assert unsure.certainty(measure) == pytest.approx(certainty)
    sure = answer(1.0, 0.0, 0.0, orders=(0, 0, 0))
    assert sure.certainty(measure) == 1
    lost = answer(0.34, 0.33, 0.33, orders=(0, 1, 2))
    values = [each.certainty(measure) for each in (lost, unsure, sure)]
    assert all(
        low is not None and high is not None and low < high for low, high in pairwise(values)
    )


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 12), st.data())
def test_every_choice_stands_at_every_position_once_and_finds_back(
    count: int, data: st.DataObject
) -> None:
    choices = tuple(f"choice {each}" for each in range(count))
    question = Question("q", "Which?", choices, data.draw(st.integers(0, count - 1)), "q")
    orders = cyclic_orders(question)
    assert orders[0] == question
    assert all(each.gold == question.gold for each in orders)
    for position in range(count):
        assert {each.choices[position] for each in orders} == set(choices)
    for turn, order in enumerate(orders):
        back = own_order([float(choices.index(each)) for each in order.choices], turn)
        assert back == tuple(map(float, range(count)))
        for position, choice in enumerate(order.choices):
            assert own_position(position, turn, count) == choices.index(choice)


def test_the_mean_over_the_orders_takes_the_position_out() -> None:
    """A bias to what stands first of 0.4, and knowledge of choice 2 worth 0.1."""
    shown = [(0.6, 0.2, 0.2), (0.6, 0.2, 0.2), (0.6, 0.2, 0.2)]
    know = [(-0.05, -0.05, 0.1), (-0.05, 0.1, -0.05), (0.1, -0.05, -0.05)]
    listed = [
        tuple(bias + more for bias, more in zip(*each, strict=True))
        for each in zip(shown, know, strict=True)
    ]
    own = [own_order(each, turn) for turn, each in enumerate(listed)]
    assert own[0].index(max(own[0])) == 0
    assert debiased(own) == 2


def test_orders_can_be_written_down_and_old_answers_read() -> None:
    found = Answer("q", (-1.0, -2.0), (0.7, 0.3), 0, "right", "", (0, None), 1)
    assert Answer.from_dict(found.as_dict()) == found
    old = found.as_dict()
    del old["orders"], old["debiased"]
    assert Answer.from_dict(old) == Answer("q", (-1.0, -2.0), (0.7, 0.3), 0, "right")
