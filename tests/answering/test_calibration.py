"""Calibration and selective risk of a pool, against plain references."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cem_lightning.answering.calibration import (
    auroc,
    calibration,
    expected_calibration_error,
    risk_coverage,
    risks,
)
from cem_lightning.answering.records import Answer

Judged = list[tuple[float, bool]]

# few values, so that there are ties; none at the edge of a bin
JUDGED = st.lists(
    st.tuples(st.sampled_from([0.03, 0.12, 0.31, 0.48, 0.77, 0.96]), st.booleans()),
    min_size=1,
    max_size=60,
)


def answer(
    confidence: float, wrong: bool, *, count: int = 3, orders: tuple[int | None, ...] = ()
) -> Answer:
    rest = (1 - confidence) / (count - 1)
    probabilities = (confidence, *[rest] * (count - 1))
    return Answer("q", probabilities, probabilities, 0, "wrong" if wrong else "right", "", orders)


def apart(judged: Judged) -> tuple[list[float], list[bool]]:
    return [each for each, _ in judged], [bad for _, bad in judged]


def plain_error(judged: Sequence[tuple[float, bool]]) -> float:
    total = 0.0
    for bin_ in range(10):
        inside = [each for each in judged if bin_ / 10 < each[0] <= (bin_ + 1) / 10]
        if inside:
            confidence = sum(each for each, _ in inside) / len(inside)
            accuracy = sum(not bad for _, bad in inside) / len(inside)
            total += len(inside) / len(judged) * abs(confidence - accuracy)
    return total


@settings(deadline=None, derandomize=True)
@given(JUDGED)
def test_calibration_error_is_that_of_ten_bins(judged: Judged) -> None:
    assert expected_calibration_error(*apart(judged)) == pytest.approx(plain_error(judged))


@settings(deadline=None, derandomize=True)
@given(JUDGED)
def test_auroc_counts_pairs(judged: Judged) -> None:
    wrongs = [each for each, bad in judged if bad]
    rights = [each for each, bad in judged if not bad]
    found = auroc(*apart(judged))
    if not wrongs or not rights:
        assert found is None
        return
    pairs = [(w < r) + (w == r) / 2 for w in wrongs for r in rights]
    assert found == pytest.approx(sum(pairs) / len(pairs))


@settings(deadline=None, derandomize=True)
@given(JUDGED, st.randoms(use_true_random=False))
def test_risk_does_not_depend_on_the_order_of_equally_sure_answers(
    judged: Judged, draw: random.Random
) -> None:
    found = risks(*apart(judged))
    assert found[-1] == pytest.approx(sum(bad for _, bad in judged) / len(judged))
    shuffled = list(judged)
    draw.shuffle(shuffled)
    assert risks(*apart(shuffled)) == pytest.approx(found)
    curve = risk_coverage(found)
    assert len(curve) == min(len(judged), 20)
    assert curve[-1] == pytest.approx([1.0, found[-1]])
    assert [each for each, _ in curve] == sorted({each for each, _ in curve})


def test_risk_by_hand() -> None:
    assert risks([0.9, 0.5, 0.7, 0.6], [False, True, True, False]) == pytest.approx(
        [0, 1 / 2, 1 / 3, 2 / 4]
    )
    # the mean over both orders of the equal ones
    assert risks([0.5, 0.5, 0.9], [True, False, False]) == pytest.approx([0, 1 / 4, 1 / 3])


def test_a_pool() -> None:
    pool = [
        answer(0.9, False, orders=(0, 0, 0)),
        answer(0.7, True, orders=(0, 1, 2)),
        answer(0.6, False, orders=(0, 0, None)),
        answer(0.5, True, orders=(0, 1, 0)),
        Answer("unparsable", (-1.0, -2.0), (0.7, 0.3), None, "unparsable", "Hm."),
        Answer("long", (), (), None, "too_long"),
        Answer("short", (-1.0,), (0.3,), 0, "right", "helium"),
    ]
    found = calibration(pool)
    assert found["n"] == 4
    assert found["ece"] == pytest.approx((0.1 + 0.7 + 0.4 + 0.5) / 4)
    assert found["aurc"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert [each for each, _ in found["risk_coverage"]] == [0.25, 0.5, 0.75, 1.0]
    three = {"confidence": 0.75, "margin": 0.75, "entropy": 0.75}
    assert found["auroc"] == pytest.approx(three | {"agreement": 0.875})
    assert found["undefined"] == {}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_is_undefined_says_why() -> None:
    right = calibration([answer(0.9, False), answer(0.8, False)])
    assert (right["n"], right["aurc"]) == (2, 0)
    assert right["auroc"]["confidence"] is None
    assert right["undefined"]["auroc.confidence"] == "no answer is wrong"
    wrong = calibration([answer(0.9, True)])
    assert wrong["undefined"]["auroc.margin"] == "every answer is wrong"
    mixed = calibration([answer(0.9, True), answer(0.9, False)])
    assert mixed["auroc"] == {"confidence": 0.5, "margin": 0.5, "entropy": 0.5, "agreement": None}
    assert list(mixed["undefined"]) == ["auroc.agreement"]
    assert "answering.permutations" in mixed["undefined"]["auroc.agreement"]
    empty = calibration([Answer("long", (), (), None, "too_long")])
    assert [empty[key] for key in ("n", "ece", "aurc", "risk_coverage")] == [0, None, None, None]
    assert set(empty["auroc"].values()) == {None}
    assert set(empty["undefined"].values()) == {"no multiple-choice answer has a prediction"}
