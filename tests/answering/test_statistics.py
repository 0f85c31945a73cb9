"""Intervals cover what they say they cover, and counts are what a hand counts."""

from __future__ import annotations

import random

import numpy as np
import pytest
from statsmodels.regression.linear_model import OLS
from statsmodels.stats import contingency_tables

from cem_lightning.answering.statistics import (
    clustered_standard_error,
    clustered_wilson_interval,
    holm,
    mcnemar,
    minimal_detectable_effect,
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
    clusters, size, trials = 100, 3, 1_000
    names = np.repeat([f"c{each:03}" for each in range(clusters)], size)
    accuracy = naive = paired = 0
    for _ in range(trials):
        before = _simulated(generator, clusters, size, 0.3).ravel()
        after = _simulated(generator, clusters, size, 0.6).ravel()
        low, high = clustered_wilson_interval(before, names)  # type: ignore[arg-type]
        accuracy += low <= 0.3 <= high
        low, high = wilson_interval(int(before.sum()), before.size)
        naive += low <= 0.3 <= high
        found = paired_cluster_bootstrap(before, after, names, resamples=250)  # type: ignore[arg-type]
        assert found.low is not None and found.high is not None
        paired += found.low <= 0.3 <= found.high
    # nominal 95%; the standard error of 1,000 trials is 0.7 points
    assert 0.935 <= accuracy / trials <= 0.965
    assert 0.935 <= paired / trials <= 0.965
    assert naive / trials < 0.91, "the simulation has no clustering to speak of"


def test_the_clustered_error_is_that_of_a_hand_and_of_statsmodels() -> None:
    # mean 1/2; residuals by cluster: a 1/2 + 1/2, b -1/2, c -1/2: sqrt(1 + 1/4 + 1/4) / 4
    found = clustered_standard_error([1, 1, 0, 0], ["a", "a", "b", "c"])
    assert found == pytest.approx(1.5**0.5 / 4)
    generator = np.random.default_rng(3)
    values = _simulated(generator, 30, 5, 0.4).ravel().astype(float)
    members = np.repeat(np.arange(30), 5)
    fitted = OLS(values, np.ones_like(values)).fit(
        cov_type="cluster",
        cov_kwds={"groups": members, "use_correction": False},
    )
    names = [f"c{each}" for each in members]
    assert clustered_standard_error(values.tolist(), names) == pytest.approx(fitted.bse[0])
    # each question a cluster of its own: the usual error, but for n instead of n - 1
    alone = clustered_standard_error(values.tolist(), [str(each) for each in range(150)])
    assert alone == pytest.approx(values.std() / 150**0.5)
    assert clustered_standard_error([0, 1], ["a", "a"]) is None


def test_the_clustered_error_recovers_the_true_one() -> None:
    generator = np.random.default_rng(21)
    clusters, size, trials = 60, 5, 1_500
    names = np.repeat([f"c{each:03}" for each in range(clusters)], size)
    evals = [_simulated(generator, clusters, size, 0.4).ravel() for _ in range(trials)]
    true = float(np.std([each.mean() for each in evals]))
    found = np.mean([clustered_standard_error(each, names) for each in evals])  # type: ignore[arg-type]
    naive = np.mean([each.std() / each.size**0.5 for each in evals])
    assert float(found) == pytest.approx(true, rel=0.1)
    assert float(naive) < 0.75 * true, "the simulation has no clustering to speak of"


def test_a_paired_difference_knows_its_error_and_what_it_could_have_shown() -> None:
    found = paired_cluster_bootstrap([0, 0, 1, 0], [1, 1, 1, 0], ["a", "a", "b", "c"])
    error = clustered_standard_error([1, 1, 0, 0], ["a", "a", "b", "c"])
    assert found.standard_error == error
    assert found.detectable == pytest.approx(2.8016 * (error or 0), abs=1e-4)
    assert paired_cluster_bootstrap([0, 1], [1, 1], ["a", "a"]).detectable is None


def test_four_of_five_evals_find_the_smallest_gain_that_could_be_shown() -> None:
    generator = np.random.default_rng(22)
    clusters, size, trials = 80, 4, 1_000
    names = np.repeat([f"c{each:03}" for each in range(clusters)], size)

    # a change of +1 or -1 for a fifth of the questions, of the same sign within a cluster
    def changes(gain: float) -> np.ndarray:
        signs = np.where(generator.random(clusters) < 0.5 + gain / 0.4, 1, -1)
        return (signs[:, None] * (generator.random((clusters, size)) < 0.2)).ravel()

    errors = [clustered_standard_error(changes(0.0), names) for _ in range(200)]  # type: ignore[arg-type]
    gain = minimal_detectable_effect(float(np.mean(errors)))  # type: ignore[arg-type]
    shown = 0
    for _ in range(trials):
        found = changes(gain)
        error = clustered_standard_error(found, names)  # type: ignore[arg-type]
        assert error is not None
        shown += found.mean() / error > 1.96
    assert 0.75 <= shown / trials <= 0.88


@pytest.mark.parametrize(
    ("mended", "lost", "p"),
    # two-sided: twice the tail of a fair coin; 10 of 10 is 2/1024, 8 of 10 is 2 * 56/1024
    [(0, 0, 1.0), (1, 0, 1.0), (10, 0, 2 / 1024), (2, 8, 112 / 1024), (5, 5, 1.0)],
)
def test_mcnemar_by_hand(mended: int, lost: int, p: float) -> None:
    assert mcnemar(mended, lost) == pytest.approx(p)
    assert mcnemar(lost, mended) == pytest.approx(p)


def test_mcnemar_is_that_of_statsmodels_and_refuses_what_is_no_count() -> None:
    draw = random.Random("mcnemar")
    for _ in range(30):
        mended, lost = draw.randrange(40), draw.randrange(40)
        reference = contingency_tables.mcnemar([[7, mended], [lost, 9]], exact=True)
        assert mcnemar(mended, lost) == pytest.approx(reference.pvalue)
    with pytest.raises(ValueError, match="no counts"):
        mcnemar(-1, 3)


def test_mcnemar_finds_at_most_one_in_sixteen_where_nothing_changed() -> None:
    generator = np.random.default_rng(23)
    mended, lost, _ = generator.multinomial(200, [0.15, 0.15, 0.7], size=2_000).T
    found = sum(
        mcnemar(int(one), int(other)) < 0.05 for one, other in zip(mended, lost, strict=True)
    )
    assert 0.01 <= found / 2_000 <= 0.06


def test_holm_steps_down_and_keeps_the_order() -> None:
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, never falling
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx((0.06, 0.04, 0.06, 0.06))
    assert holm([0.2]) == pytest.approx((0.2,))
    assert holm([0.6, 0.7]) == pytest.approx((1.0, 1.0))
    assert holm([]) == ()


def test_transitions_are_counted_both_ways() -> None:
    before, after = [True, True, False, False, False], [True, False, True, True, False]
    assert transitions(before, after) == (2, 1)
    assert transitions([], []) == (0, 0)
    mended, lost = transitions(before, after)
    assert (sum(after) - sum(before)) == mended - lost
    with pytest.raises(ValueError):
        transitions([True], [])
