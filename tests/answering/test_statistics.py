"""Intervals cover what they say they cover, and counts are what a hand counts."""

from __future__ import annotations

import random

import numpy as np
import pytest

from cem_lightning.answering.statistics import (
    clustered_wilson_interval,
    paired_cluster_bootstrap,
    transitions,
    wilson_interval,
)


def test_wilson_agrees_with_published_figures() -> None:
    # Newcombe 1998, table I, method 3
    for right, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson_interval(right, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("right", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_what_is_no_proportion_is_refused(right: int, n: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson_interval(right, n)


def test_wilson_contains_its_share_at_both_ends() -> None:
    for n in range(1, 200):
        assert wilson_interval(0, n)[0] == 0.0
        assert wilson_interval(n, n)[1] == 1.0
        assert wilson_interval(0, n)[1] > 0.0


def test_bootstrap_equals_a_hand_enumeration() -> None:
    # two clusters with differences (1, 1) and (0,): the four draws have means 1, 2/3, 2/3, 0
    found = paired_cluster_bootstrap([0, 0, 1], [1, 1, 1], ["a", "a", "b"])
    assert (found.mean, found.low, found.high) == (pytest.approx(2 / 3), 0.0, 1.0)
    assert (found.n, found.clusters) == (3, 2)


def test_bootstrap_depends_on_neither_order_nor_repetition() -> None:
    draw = random.Random("bootstrap")
    rows = [(draw.random() < 0.4, draw.random() < 0.7, f"c{draw.randrange(12)}") for _ in range(90)]
    first = paired_cluster_bootstrap(*map(list, zip(*rows, strict=True)), seed=7)
    draw.shuffle(rows)
    assert paired_cluster_bootstrap(*map(list, zip(*rows, strict=True)), seed=7) == first
    assert paired_cluster_bootstrap(*map(list, zip(*rows, strict=True)), seed=8) != first


def test_copies_of_a_question_in_its_cluster_do_not_narrow_the_interval() -> None:
    before, after = [0, 0, 1, 0, 1, 0, 0, 1], [1, 0, 1, 1, 0, 1, 1, 1]
    names = list("abcdefgh")
    once = paired_cluster_bootstrap(before, after, names)
    thrice = paired_cluster_bootstrap(before * 3, after * 3, names * 3)
    assert (thrice.mean, thrice.low, thrice.high) == (once.mean, once.low, once.high)
    assert clustered_wilson_interval([bool(x) for x in after] * 3, names * 3) == pytest.approx(
        clustered_wilson_interval([bool(x) for x in after], names), abs=0.03
    )
    assert clustered_wilson_interval([True] * 24, names * 3) == wilson_interval(8, 8)


def test_one_cluster_has_no_interval_and_no_question_no_difference() -> None:
    found = paired_cluster_bootstrap([0, 1], [1, 1], ["a", "a"])
    assert (found.mean, found.low, found.high, found.clusters) == (0.5, None, None, 1)
    with pytest.raises(ValueError, match="at least one question"):
        paired_cluster_bootstrap([], [], [])
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_cluster_bootstrap([1], [1, 0], ["a"])
    with pytest.raises(ValueError, match="clusters are named"):
        paired_cluster_bootstrap([1, 1], [1, 0], ["a"])


def _simulated(
    generator: np.random.Generator, clusters: int, size: int, share: float
) -> np.ndarray:
    """Rights of shape (clusters, size), correlated within a cluster at about 0.3."""
    concentration = 1 / 0.3 - 1
    chances = generator.beta(share * concentration, (1 - share) * concentration, size=clusters)
    return generator.random((clusters, size)) < chances[:, None]


def test_intervals_cover_clustered_truth() -> None:
    generator = np.random.default_rng(20)
    clusters, size, trials = 48, 4, 500
    names = np.repeat([f"c{each}" for each in range(clusters)], size).tolist()
    accuracy = naive = paired = 0
    for _ in range(trials):
        before = _simulated(generator, clusters, size, 0.3)
        after = _simulated(generator, clusters, size, 0.6)
        low, high = clustered_wilson_interval(before.ravel().tolist(), names)
        accuracy += low <= 0.3 <= high
        low, high = wilson_interval(int(before.sum()), before.size)
        naive += low <= 0.3 <= high
        found = paired_cluster_bootstrap(
            before.ravel().tolist(), after.ravel().tolist(), names, resamples=1_000
        )
        assert found.low is not None and found.high is not None
        paired += found.low <= 0.3 <= found.high
    # nominal 95%; the standard error of 500 trials is one point
    assert 0.925 <= accuracy / trials <= 0.98
    assert 0.915 <= paired / trials <= 0.975
    assert naive / trials < 0.90, "the simulation has no clustering to speak of"


def test_transitions_are_counted_both_ways() -> None:
    before, after = [True, True, False, False, False], [True, False, True, True, False]
    assert transitions(before, after) == (2, 1)
    assert transitions([], []) == (0, 0)
    mended, lost = transitions(before, after)
    assert (sum(after) - sum(before)) == mended - lost
    with pytest.raises(ValueError):
        transitions([True], [])
