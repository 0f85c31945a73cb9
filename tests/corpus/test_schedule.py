"""The order of examples: budget, mix, passes, phases, and that it never changes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from cem_lightning.corpus.config import KINDS, Kind, RecipeConfig
from cem_lightning.corpus.schedule import schedule

KINDS_HERE: list[Kind] = (
    ["passage"] * 20 + ["normative"] * 30 + ["extractive"] * 12 + ["review"] * 9 + ["general"] * 7
)
LENGTHS = [40 + (7 * at) % 55 for at in range(len(KINDS_HERE))]
SHARES = {"passage": 0.5, "normative": 0.2, "extractive": 0.1, "review": 0.1, "general": 0.1}
LONGEST = max(LENGTHS)


def recipe(**changes: Any) -> RecipeConfig:
    values = {
        "name": "cem",
        "tokens": 20_000,
        "shares": SHARES,
        "order": "mixed",
        "passages": "retrieved",
        "review_late": False,
    }
    return RecipeConfig.model_validate(values | changes)


def tokens_of(order: tuple[int, ...], kind: Kind | None = None) -> int:
    return sum(LENGTHS[at] for at in order if kind is None or KINDS_HERE[at] == kind)


@pytest.mark.invariant
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"review_late": True},
        {"shares": {"passage": 1.0}},
        {"shares": {"normative": 1.0}},
        {"shares": {"review": 1.0}, "review_late": True},
        {"order": "cpt_first"},
        {"order": "cit_first", "review_late": True},
        {"shares": {"normative": 0.3, "review": 0.7}, "review_late": True},
    ],
)
@pytest.mark.parametrize("tokens", [1, 977, 20_000])
def test_arms_read_the_same_number_of_tokens(changes: dict[str, Any], tokens: int) -> None:
    order = schedule(KINDS_HERE, LENGTHS, recipe(tokens=tokens, **changes), seed=1)
    assert abs(tokens_of(order) - tokens) <= max(LONGEST / 2, LONGEST if tokens == 1 else 0)


@pytest.mark.parametrize("late", [True, False])
def test_every_kind_gets_its_share(late: bool) -> None:
    order = schedule(KINDS_HERE, LENGTHS, recipe(review_late=late), seed=1)
    for kind in KINDS:
        assert abs(tokens_of(order, kind) - SHARES[kind] * 20_000) <= LONGEST


def test_the_mix_is_even_all_along() -> None:
    order = schedule(KINDS_HERE, LENGTHS, recipe(), seed=1)
    for end in range(1, len(order)):
        spent = tokens_of(order[:end])
        for kind in KINDS:
            assert abs(tokens_of(order[:end], kind) - SHARES[kind] * spent) <= LONGEST


def test_late_review_waits_for_the_last_third_and_the_others_stay_even() -> None:
    order = schedule(KINDS_HERE, LENGTHS, recipe(review_late=True), seed=1)
    first = next(at for at, example in enumerate(order) if KINDS_HERE[example] == "review")
    assert abs(tokens_of(order[:first]) - 20_000 * 2 / 3) <= 2 * LONGEST
    for end in range(1, first):
        spent = tokens_of(order[:end])
        assert abs(tokens_of(order[:end], "passage") - spent * 0.5 / 0.9) <= LONGEST


@pytest.mark.parametrize(("name", "leads"), [("cpt_first", True), ("cit_first", False)])
def test_phases_do_not_mix(name: str, leads: bool) -> None:
    order = schedule(KINDS_HERE, LENGTHS, recipe(order=name, review_late=True), seed=1)
    phases = [KINDS_HERE[at] == "passage" for at in order]
    assert sum(left != right for left, right in pairwise(phases)) == 1
    assert phases[0] is leads
    assert abs(tokens_of(order, "passage") - 10_000) <= 2 * LONGEST


def test_an_absent_kind_leaves_its_share_to_the_others_in_proportion() -> None:
    kinds: list[Kind] = [kind if kind != "passage" else "general" for kind in KINDS_HERE]
    order = schedule(
        kinds, LENGTHS, recipe(shares={"passage": 0.5, "normative": 0.3, "review": 0.2}), seed=1
    )
    got = Counter[Kind]()
    for at in order:
        got[kinds[at]] += LENGTHS[at]
    assert got["general"] == 0, "a kind without a share is never read"
    assert abs(got["normative"] - 12_000) <= LONGEST
    assert abs(got["review"] - 8_000) <= LONGEST


def test_passes_are_complete_before_anything_repeats() -> None:
    order = schedule(KINDS_HERE, LENGTHS, recipe(tokens=50_000), seed=1)
    for kind in KINDS:
        size = KINDS_HERE.count(kind)
        read = [at for at in order if KINDS_HERE[at] == kind]
        passes = [read[start : start + size] for start in range(0, len(read) - size + 1, size)]
        assert len(passes) >= 2
        assert all(len(set(each)) == size for each in passes)
        assert passes[0] != passes[1], "every pass is shuffled anew"


def test_seeds_differ() -> None:
    assert schedule(KINDS_HERE, LENGTHS, recipe(), 1) != schedule(KINDS_HERE, LENGTHS, recipe(), 2)


def test_no_kind_with_a_share_is_refused() -> None:
    with pytest.raises(ValueError, match="gives no share"):
        schedule(["general"], [10], recipe(shares={"passage": 1.0}), seed=1)


@pytest.mark.invariant
def test_the_order_does_not_depend_on_hashing() -> None:
    program = (
        "from tests.corpus.test_schedule import *\n"
        "print(schedule(KINDS_HERE, LENGTHS, recipe(review_late=True), seed=3))"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    ]
    assert printed[0] == printed[1] == printed[2]
    assert printed[0].strip() == str(schedule(KINDS_HERE, LENGTHS, recipe(review_late=True), 3))
