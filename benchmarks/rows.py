"""One measured row, its target, and the timing of alternatives side by side.

Knows nothing of what is measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Sense = Literal["at least", "at most", "below"]


@dataclass(frozen=True)
class Target:
    """A bound on the ratio of a row, or on our own figure where there is no peer's."""

    sense: Sense
    bound: float

    def met(self, value: float) -> bool:
        """Whether the value keeps to the bound; a NaN never does."""
        if self.sense == "at least":
            return value >= self.bound
        return value <= self.bound if self.sense == "at most" else value < self.bound

    def __str__(self) -> str:
        return f"{self.sense} {self.bound:g}"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        measure: what was measured, in words.
        unit: of `ours` and `peer`.
        ours: our figure.
        peer: that of the alternative; None where there is none.
        ratio: how many times better ours is, or dearer where the target says "at most"; None where
            the target is on `ours`.
        target: what the ratio, or else `ours`, was to reach.
        repeats: how often it was measured, the alternatives in turn.
        spread: lowest and highest ratio of one repeat.
        details: whatever else a reader needs to judge the figures.
    """

    measure: str
    unit: str
    ours: float
    target: Target
    peer: float | None = None
    ratio: float | None = None
    repeats: int = 1
    spread: tuple[float, float] | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether the target is reached."""
        return self.target.met(self.ours if self.ratio is None else self.ratio)

    def record(self) -> dict[str, Any]:
        """The row as it stands in the JSON."""
        return {
            "measure": self.measure,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer,
            "ratio": self.ratio,
            "target": str(self.target),
            "holds": self.holds,
            "repeats": self.repeats,
            "spread": list(self.spread) if self.spread else None,
            "details": self.details,
        }


@dataclass(frozen=True)
class Timing:
    """Seconds of every repeat of one alternative: on the clock, and of this process's CPUs."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]


def in_turn(repeats: int, *actions: Callable[[], object]) -> tuple[Timing, ...]:
    """Time the actions one after the other, `repeats` times over, so that drift meets them all."""
    return prepared_in_turn(repeats, *((lambda action=action: action) for action in actions))


def prepared_in_turn(
    repeats: int, *sides: Callable[[], Callable[[], object]]
) -> tuple[Timing, ...]:
    """The same for actions that each side prepares anew every time, outside the clock."""
    seconds: list[list[tuple[float, float]]] = [[] for _ in sides]
    for _ in range(repeats):
        for own, side in zip(seconds, sides, strict=True):
            action = side()
            wall, cpu = time.perf_counter(), time.process_time()
            action()
            own.append((time.perf_counter() - wall, time.process_time() - cpu))
    return tuple(Timing(*map(tuple, zip(*own, strict=True))) for own in seconds)


def faster(
    measure: str,
    count: int,
    ours: Timing,
    peer: Timing,
    target: Target,
    details: dict[str, Any] | None = None,
    things: str = "questions",
) -> Row:
    """A row of how many of `count` things each gets done in a second: medians of the repeats."""
    ratios = [theirs / own for own, theirs in zip(ours.wall, peer.wall, strict=True)]
    own, theirs = statistics.median(ours.wall), statistics.median(peer.wall)
    cpu = {"ours": statistics.median(ours.cpu), "peer": statistics.median(peer.cpu)}
    return Row(
        measure,
        f"{things}/s",
        count / own,
        target,
        count / theirs,
        theirs / own,
        len(ratios),
        (min(ratios), max(ratios)),
        {
            things.replace(" ", "_"): count,
            "wall_seconds": {"ours": own, "peer": theirs},
            "cpu_seconds": cpu,
            "cpu_ratio": cpu["peer"] / cpu["ours"] if cpu["ours"] else None,
            **(details or {}),
        },
    )
