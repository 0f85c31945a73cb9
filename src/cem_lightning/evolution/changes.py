"""What changed between rounds, as the plain values of `metrics.json`.

Counts and intervals come from `answering`; which rounds there are is the business of `loop`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from cem_lightning.answering import ledger
from cem_lightning.answering.forgetting import (
    Transfer,
    average_forgetting,
    backward_transfer,
    forward_transfer,
    maximal_forgetting,
)
from cem_lightning.answering.records import Answer
from cem_lightning.answering.statistics import (
    Difference,
    mcnemar,
    paired_cluster_bootstrap,
    transitions,
)
from cem_lightning.questions.records import Question

Answers = Mapping[str, Answer]  # by question id

MEASURES = {
    "backward_transfer": backward_transfer,
    "forward_transfer": forward_transfer,
    "average_forgetting": average_forgetting,
    "maximal_forgetting": maximal_forgetting,
}


@dataclass(frozen=True)
class Change:
    """One pool between two rounds."""

    mended: int
    lost: int
    mcnemar_p: float
    gain: Difference

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the metrics."""
        gain = self.gain
        known = gain.low is not None and gain.high is not None
        return {
            "mended": self.mended,
            "lost": self.lost,
            "mcnemar_p": self.mcnemar_p,
            "gain": gain.mean,
            "ci95": [gain.low, gain.high] if known else None,
            "standard_error": gain.standard_error,
            "could_have_shown": gain.detectable,
            "n": gain.n,
            "clusters": gain.clusters,
        }


def change(before: Answers, after: Answers, questions: Sequence[Question]) -> Change:
    """What changed among these questions, at least one, from one round's answers to another's."""
    first, second = ([each[q.id].right for q in questions] for each in (before, after))
    mended, lost = transitions(first, second)
    gain = paired_cluster_bootstrap(first, second, [each.cluster for each in questions])
    return Change(mended, lost, mcnemar(mended, lost), gain)


def changes_until(by_round: Sequence[Answers], questions: Sequence[Question]) -> dict[str, Any]:
    """Every earlier round against the last of these, by "0-2" for round 2 minus round 0."""
    last = len(by_round) - 1
    return {
        f"{each}-{last}": change(by_round[each], by_round[last], questions).as_dict()
        for each in range(last)
    }


def states(by_round: Sequence[Answers], questions: Sequence[Question]) -> dict[str, ledger.State]:
    """The state of every question after the last of these rounds."""
    return {
        question.id: ledger.state([answers[question.id].right for answers in by_round])
        for question in questions
    }


def matrix(
    by_round: Sequence[Mapping[str, Answers]], columns: Mapping[str, tuple[str, Sequence[Question]]]
) -> dict[str, Any]:
    """The accuracy of every round on every column.

    Args:
        by_round: each round's answers by pool.
        columns: by the column's name its pool and questions, at least one.
    """
    return {
        "columns": list(columns),
        "n": [len(questions) for _, questions in columns.values()],
        "accuracy": [
            [
                sum(answers[pool][each.id].right for each in questions) / len(questions)
                for pool, questions in columns.values()
            ]
            for answers in by_round
        ],
    }


def transfer(
    by_round: Sequence[Answers], slices: Sequence[Sequence[Question]]
) -> dict[str, dict[str, Any]]:
    """Transfer and forgetting over the slices that rounds 1, 2, ... have mined.

    Args:
        by_round: each round's answers to the source pool.
        slices: the questions each round has mined.
    """
    if any(set(first) & set(second) for first, second in combinations(slices, 2)):
        reason = "rounds have mined the same questions, so there are no slices to tell apart"
        return {name: asdict(Transfer(None, 0, 0, reason)) for name in MEASURES}
    columns = {str(at): ("source", each) for at, each in enumerate(slices, start=1)}
    found = matrix([{"source": each} for each in by_round], columns)
    return {
        name: asdict(measure(found["accuracy"], found["n"])) for name, measure in MEASURES.items()
    }
