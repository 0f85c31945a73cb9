"""How sure an answer is: measures on probabilities and on the choices taken under several orders.

Pure functions of numbers; which answers count as unsure is the business of `mistakes`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Measure = Literal["confidence", "margin", "entropy", "agreement"]

MEASURES: tuple[Measure, ...] = ("confidence", "margin", "entropy", "agreement")


def entropy(probabilities: Sequence[float]) -> float | None:
    """Shannon entropy of the probabilities, in nats: 0 if one is 1, log n if all are equal.

    None of fewer than two, where there is nothing to be unsure between.
    """
    if len(probabilities) < 2:
        return None
    return abs(sum(each * math.log(each) for each in probabilities if each > 0))


def margin(probabilities: Sequence[float]) -> float | None:
    """The highest probability minus the second highest, 0 to 1; None of fewer than two."""
    if len(probabilities) < 2:
        return None
    second, first = sorted(probabilities)[-2:]
    return first - second


def agreement(orders: Sequence[int | None], prediction: int | None) -> float | None:
    """The share of the orders under which the prediction was taken, 0 to 1.

    None if there is no prediction, or the question was asked in its own order only.
    """
    if prediction is None or not orders:
        return None
    return sum(each == prediction for each in orders) / len(orders)


def debiased(probabilities: Sequence[Sequence[float]]) -> int:
    """The choice of the highest mean probability over all cyclic orders.

    Every choice stands at every position once, so what a position or letter adds is the same for
    all: the "cyclic permutation" baseline of Zheng et al. (2023), "Large Language Models Are Not
    Robust Multiple Choice Selectors", arXiv 2309.03882.

    Args:
        probabilities: for each order, those of the choices in the question's own order.
    """
    means = [math.fsum(each) / len(each) for each in zip(*probabilities, strict=True)]
    return means.index(max(means))
