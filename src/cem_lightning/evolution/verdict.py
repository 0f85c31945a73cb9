"""The verdict on a round: is its model better than the one it set out from, and how surely.

Judges paired differences that it is handed; what follows from a verdict is the business of `loop`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cem_lightning.answering.statistics import Difference
from cem_lightning.evolution.config import VerdictConfig
from cem_lightning.reporting.figures import points, signed

Decision = Literal["ACCEPT", "REJECT", "INCONCLUSIVE"]

FEW = 250  # questions that it often takes to rank models of like accuracy (arXiv 2510.08730)


@dataclass(frozen=True)
class Verdict:
    """What is to be thought of a round.

    Attributes:
        reason: in words, with the figures it rests on.
        against: the round whose model this one set out from, and is compared with.
        kept: whether the next round goes on from this round's model.
    """

    decision: Decision
    reason: str
    against: int
    kept: bool


def judge(
    changes: Mapping[str, Difference],
    config: VerdictConfig,
    *,
    against: int,
    floor: float | None = None,
) -> Verdict:
    """The verdict that the rules of `VerdictConfig` give.

    REJECT if the guarded pool was damaged, which is that the whole interval of its change lies
    below minus the tolerance, or if the judged pool's whole interval lies below zero. ACCEPT if
    the judged pool's whole interval lies above zero, its gain exceeds the noise floor, and the
    guarded pool is not inferior, which is that the whole interval of its change lies above minus
    the tolerance. Otherwise INCONCLUSIVE. An interval is the 95% one of the paired cluster
    bootstrap.

    Args:
        changes: by pool, this round minus round `against`; a pool without questions is missing.
        floor: the largest difference in accuracy that was measured without any training; None if
            it was not measured.
    """
    judged = changes.get(config.judged)
    guarded = None if config.guarded is None else changes.get(config.guarded)
    gain, gain_says = _judged(judged, config, floor)
    loss, loss_says = _guarded(guarded, config)
    if "REJECT" in (gain, loss):
        decision: Decision = "REJECT"
    elif gain == loss == "ACCEPT":
        decision = "ACCEPT"
    else:
        decision = "INCONCLUSIVE"
    reason = f"{gain_says}; {loss_says}.{_few(changes, config)}"
    kept = not (config.keep_previous and decision == "REJECT")
    return Verdict(decision, reason, against, kept)


def _judged(
    change: Difference | None, config: VerdictConfig, floor: float | None
) -> tuple[Decision, str]:
    pool = config.judged
    if change is None:
        return "INCONCLUSIVE", f"there are no {pool} questions to judge by"
    if change.low is None or change.high is None:
        return "INCONCLUSIVE", _one_cluster(pool, change)
    found = f"{pool} {_gain(change)}"
    if change.high < 0:
        return "REJECT", f"{found} is a loss"
    if change.low <= 0:
        return "INCONCLUSIVE", f"{found} may be none ({_power(change)})"
    if floor is not None and change.mean <= floor:
        return (
            "INCONCLUSIVE",
            f"{found} is below the noise floor of {100 * floor:.1f} points",
        )
    return "ACCEPT", f"{found} is a gain"


def _guarded(change: Difference | None, config: VerdictConfig) -> tuple[Decision, str]:
    pool, least = config.guarded, -config.tolerance
    if pool is None:
        return "ACCEPT", "no pool is guarded"
    if change is None:
        return "ACCEPT", f"there are no {pool} questions to guard"
    if change.low is None or change.high is None:
        return "INCONCLUSIVE", _one_cluster(pool, change)
    found = f"{pool} {_gain(change)}"
    allowed = f"more than the {config.tolerance * 100:g} points it may"
    if change.high < least:
        return "REJECT", f"{found} has lost {allowed}"
    if change.low <= least:
        return (
            "INCONCLUSIVE",
            f"{found} is too uncertain to tell whether it has lost {allowed} ({_power(change)})",
        )
    return "ACCEPT", f"{found} has not lost {allowed}"


def _few(changes: Mapping[str, Difference], config: VerdictConfig) -> str:
    """What is to be said of pools that are small for any decision."""
    pools = dict.fromkeys(each for each in (config.judged, config.guarded) if each is not None)
    small = [
        f"{pool} n = {changes[pool].n}"
        for pool in pools
        if pool in changes and changes[pool].n < FEW
    ]
    return f" Fewer than {FEW} questions decide little: {', '.join(small)}." if small else ""


def _gain(change: Difference) -> str:
    mean, _, interval = points(change).partition(" ")
    return f"{mean} points {interval}"


def _power(change: Difference) -> str:
    if change.detectable is None:
        return f"n = {change.n}"
    return f"n = {change.n}, could have shown {signed(100 * change.detectable)}"


def _one_cluster(pool: str, change: Difference) -> str:
    return f"all {change.n} {pool} questions share a cluster, so {pool} has no interval"
