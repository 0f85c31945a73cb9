"""A question the model does not know, why it was collected, and what to look up about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from cem_lightning.questions.records import Question

Label = Literal["wrong", "ambiguous", "format"]

LABELS: tuple[Label, ...] = get_args(Label)


@dataclass(frozen=True)
class Mistake:
    """A collected question of the source pool.

    Attributes:
        label: "wrong"; or "ambiguous": right but unsure; or "format": the right choice was the
            likeliest, but what the model wrote could not be parsed.
        prediction: position of the choice the model took; None if it wrote a wrong short answer
            or nothing that could be parsed.
        confidence: the probability of the prediction; 0.0 where there is none.
        points: knowledge points, the search keywords made from the question and its answer.
    """

    question: Question
    label: Label
    prediction: int | None
    confidence: float
    points: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"question": self.question.as_dict(), "points": list(self.points)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Mistake:
        return cls(
            **(
                values
                | {
                    "question": Question.from_dict(values["question"]),
                    "points": tuple(values["points"]),
                }
            )
        )
