"""What the guards against forgetting saw: a pool while the model was trained, and the way chosen.

Computes nothing new; the curves and the record of training hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cem_lightning.reporting.run_folder import RunRecord

_COLUMN = "accuracy/"


@dataclass(frozen=True)
class Stability:
    """A pool before, during and after the training of a round.

    The stability gap is what it lost on the way from where the round set out (De Lange et al. 2023,
    arXiv 2205.13452), 0 if it was never below.

    Attributes:
        n: questions.
        during: accuracy by optimizer step.
        after: accuracy of the round's model.
    """

    round: int
    pool: str
    n: int
    before: float
    during: Mapping[int, float]
    after: float

    @property
    def gap(self) -> float:
        return max(0.0, self.before - min(self.during.values()))


@dataclass(frozen=True)
class Chosen:
    """The part of the way that a round went, and what the gate said of each.

    Attributes:
        accuracies: of the gate, by part; 1.0 is all of what training changed.
        n: questions of the gate.
    """

    round: int
    part: float
    accuracies: Mapping[float, float]
    n: int


def stability(record: RunRecord) -> list[Stability]:
    """Every round in which a pool was asked during training."""
    found: dict[tuple[int, str], dict[int, float]] = {}
    for row in record.curves:
        for name, value in row.items():
            if name.startswith(_COLUMN):
                key = int(row["round"]), name.removeprefix(_COLUMN)
                found.setdefault(key, {})[int(row["step"])] = float(value)
    rows = []
    for (number, pool), during in found.items():
        start = record.rounds[number].get("verdict", {}).get("against", number - 1)
        before, after = (record.rounds[each]["pools"][pool] for each in (start, number))
        rows.append(
            Stability(number, pool, after["n"], before["accuracy"], during, after["accuracy"])
        )
    return rows


def chosen_parts(record: RunRecord) -> list[Chosen]:
    """Every round that chose a part of the way."""
    return [
        Chosen(
            each["round"],
            each["interpolation"]["part"],
            {
                float(part): right / each["interpolation"]["n"]
                for part, right in each["interpolation"]["right"].items()
            },
            each["interpolation"]["n"],
        )
        for each in record.rounds
        if "interpolation" in each
    ]
