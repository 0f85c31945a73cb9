"""The cyclic orders in which the choices of a question can be listed, and the way back.

Knows no model; which orders are asked is the business of `asking`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cem_lightning.questions.records import Question


def cyclic_orders(question: Question) -> tuple[Question, ...]:
    """The question under every cyclic order of its n choices, its own first.

    In order k the choices begin with the k-th, so each stands at each position once.
    """
    choices, count = question.choices, len(question.choices)
    return tuple(
        replace(
            question,
            choices=choices[turn:] + choices[:turn],
            answer=(question.answer - turn) % count,
        )
        for turn in range(count)
    )


def own_position(position: int, turn: int, count: int) -> int:
    """Where the choice at `position` of order `turn` stands in the question's own order."""
    return (position + turn) % count


def own_order(values: Sequence[float], turn: int) -> tuple[float, ...]:
    """Values of the choices as order `turn` lists them, as the question's own order lists them."""
    first = len(values) - turn
    return (*values[first:], *values[:first])
