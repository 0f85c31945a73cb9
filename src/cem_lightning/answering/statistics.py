"""Intervals of accuracies and of paired differences, and tests of the answers that changed.

Knows nothing of models or pools: right and wrong come in as numbers, one for each question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_Z = NormalDist().inv_cdf(0.975)
_POWER = NormalDist().inv_cdf(0.8)
_CELLS = 2_000_000  # bound on resamples x clusters held at once


@dataclass(frozen=True)
class Difference:
    """A mean paired difference with its 95% interval; 0.1 is ten points of accuracy.

    Attributes:
        mean: mean over questions of after minus before.
        low: lower end; None if all questions share one cluster, which says nothing about others.
        high: upper end; None likewise.
        n: questions.
        clusters: groups of questions that were resampled as a whole.
        standard_error: of the mean, clustered; None likewise.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    clusters: int
    standard_error: float | None = None

    @property
    def detectable(self) -> float | None:
        """The smallest gain that these questions could have shown.

        None without an interval, and where every cluster changed alike, which shows no error.
        """
        if not self.standard_error:
            return None
        return minimal_detectable_effect(self.standard_error)


def wilson_interval(right: float, n: float) -> tuple[float, float]:
    """95% score interval of a proportion (Wilson 1927), for independent questions.

    Args:
        right: how many are right, 0 to `n`; a fraction where `n` is an effective sample size.
        n: how many there are.

    Raises:
        ValueError: `n` is not positive (an empty pool has no accuracy; report None), or `right`
            lies outside 0 to `n`.
    """
    if n <= 0 or not 0 <= right <= n:
        raise ValueError(f"{right} right of {n} is no proportion")
    share = right / n
    centre = share + _Z**2 / (2 * n)
    spread = _Z * (share * (1 - share) / n + _Z**2 / (4 * n**2)) ** 0.5
    scale = 1 + _Z**2 / n
    # rounding must not put the interval beyond what it contains
    low = min(max((centre - spread) / scale, 0.0), share)
    high = max(min((centre + spread) / scale, 1.0), share)
    return low, high


def clustered_wilson_interval(
    right: Sequence[bool], clusters: Sequence[str]
) -> tuple[float, float]:
    """95% score interval of an accuracy whose questions come in clusters.

    Wilson's interval at the effective sample size n / design effect, where the design effect is
    the cluster-robust variance of the mean over the binomial one, at least 1 (Kish 1965; Franco
    et al. 2019). Where all are right or all wrong no variance can be seen, and the number of
    clusters is taken as the effective sample size.

    Args:
        right: for each question whether it is right.
        clusters: for each question its cluster.

    Raises:
        ValueError: no questions, or lengths that differ.
    """
    values, members, counts = _grouped(np.asarray(right, dtype=float), clusters)
    n, groups = len(values), len(counts)
    share = float(values.mean())
    if groups == n:
        return wilson_interval(share * n, n)
    if groups == 1 or share in (0.0, 1.0):
        return wilson_interval(share * groups, groups)
    residuals = np.bincount(members, weights=values - share)
    variance = groups / (groups - 1) * float((residuals**2).sum()) / n**2
    effective = n / max(1.0, variance / (share * (1 - share) / n))
    return wilson_interval(share * effective, effective)


def paired_cluster_bootstrap(
    before: Sequence[float],
    after: Sequence[float],
    clusters: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = 10_000,
) -> Difference:
    """Mean of after minus before with a 95% percentile interval over resampled clusters.

    Whole clusters are drawn with replacement and every draw's difference is divided by its own
    number of questions (Miller 2024, arXiv 2411.00640, on pairing and clustering). The result
    depends neither on the order of the questions nor on that of the clusters.

    Args:
        before: a score for each question, usually 0 or 1.
        after: scores of the same questions in the same order.
        clusters: for each question its cluster.
        seed: of the resampling.
        resamples: how many samples of clusters are drawn.

    Raises:
        ValueError: no questions, or lengths that differ.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} scores before and {len(after)} after cannot be paired")
    change = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    change, members, counts = _grouped(change, clusters)
    groups = len(counts)
    mean = float(change.mean())
    if groups == 1:
        return Difference(mean, None, None, len(change), 1)
    error = _standard_error(change, members)
    sums = np.bincount(members, weights=change)
    generator = np.random.default_rng(seed)
    means = []
    step = max(1, _CELLS // groups)
    for start in range(0, resamples, step):
        drawn = generator.integers(groups, size=(min(step, resamples - start), groups))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Difference(mean, float(low), float(high), len(change), groups, error)


def clustered_standard_error(values: Sequence[float], clusters: Sequence[str]) -> float | None:
    """Standard error of a mean whose values come in clusters; None for a single cluster.

    sqrt(sum over clusters of (sum of the cluster's residuals)^2) / n: the cluster-robust error of
    a mean without correction for few clusters (CR0, Liang and Zeger 1986; Miller 2024, arXiv
    2411.00640, section 2.2). With as many clusters as values it is the usual one, but for the
    factor sqrt((n - 1) / n).

    Args:
        values: a score for each question, or a difference of two.
        clusters: for each question its cluster.

    Raises:
        ValueError: no questions, or lengths that differ.
    """
    found, members, counts = _grouped(np.asarray(values, dtype=float), clusters)
    return None if len(counts) == 1 else _standard_error(found, members)


def minimal_detectable_effect(standard_error: float) -> float:
    """The smallest true mean that a two-sided test at 5% finds four times out of five.

    (z_0.975 + z_0.8) times the standard error, about 2.8 times (Miller 2024, arXiv 2411.00640,
    section 5), here with the error that was observed.
    """
    return (_Z + _POWER) * standard_error


def mcnemar(mended: int, lost: int) -> float:
    """Exact p-value that as many answers are mended as lost (McNemar 1947), two-sided.

    The binomial test of `mended` out of `mended + lost` at one half; 1.0 if nothing changed. It
    takes the questions as independent: where they come in clusters, an interval that resamples
    clusters is what counts.

    Raises:
        ValueError: a negative count.
    """
    from scipy.special import bdtr

    if min(mended, lost) < 0:
        raise ValueError(f"{mended} mended and {lost} lost are no counts")
    both_tails = 2 * float(bdtr(min(mended, lost), mended + lost, 0.5))
    return min(1.0, both_tails)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values adjusted for their number by the step-down procedure of Holm (1979).

    What stays below 5% keeps the chance of any false finding among all of them below 5%, however
    they depend on each other. In the order given; none for none.
    """
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return ()
    return tuple(float(each) for each in multipletests(list(p_values), method="holm")[1])


def transitions(before: Sequence[bool], after: Sequence[bool]) -> tuple[int, int]:
    """How many questions went from wrong to right (mended) and from right to wrong (lost).

    Nothing changed among no questions: (0, 0).

    Raises:
        ValueError: lengths that differ.
    """
    pairs = list(zip(before, after, strict=True))
    mended = sum(1 for first, second in pairs if second and not first)
    lost = sum(1 for first, second in pairs if first and not second)
    return mended, lost


def _standard_error(values: NDArray[np.float64], members: NDArray[np.intp]) -> float:
    # sums of right and wrong are exact, so the order of the questions changes no digit
    residuals = np.bincount(members, weights=values) - np.bincount(members) * values.mean()
    return float(np.sqrt((residuals**2).sum())) / len(values)


def _grouped(
    values: NDArray[np.float64], clusters: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """The values, the index of each value's cluster in sorted order, and the clusters' sizes."""
    if len(values) == 0:
        raise ValueError("an interval needs at least one question")
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} scores, but {len(clusters)} clusters are named")
    _, members, counts = np.unique(
        np.asarray(clusters, dtype=str), return_inverse=True, return_counts=True
    )
    return values, members, counts
