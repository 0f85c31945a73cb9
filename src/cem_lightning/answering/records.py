"""What a model answered to one question, with what the scores are made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["right", "wrong", "unparsable", "too_long"]


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        question: the question's id.
        log_likelihoods: summed log-likelihood of each choice's response after the prompt, in
            nats, in the order of the choices; empty if the question was too long.
        probabilities: softmax over the choices of the length-normalised log-likelihoods; of a
            short-answer question the geometric mean of the probabilities of the accepted
            answer's tokens.
        prediction: position of the chosen choice; None if unparsable or too long, and of a
            short-answer question unless it is right.
        outcome: "unparsable" is a failure of format, never a mistake of knowledge; "too_long"
            means that prompt and response exceed the model's context, or the accepted short
            answer the longest response.
        text: what the model generated, where it is asked to write; else "".
    """

    question: str
    log_likelihoods: tuple[float, ...]
    probabilities: tuple[float, ...]
    prediction: int | None
    outcome: Outcome
    text: str = ""

    @property
    def right(self) -> bool:
        return self.outcome == "right"

    @property
    def confidence(self) -> float:
        """Probability of the prediction, 0.0 where there is none."""
        return self.probabilities[self.prediction] if self.prediction is not None else 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "log_likelihoods": list(self.log_likelihoods),
            "probabilities": list(self.probabilities),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Answer:
        return cls(
            **(
                values
                | {
                    "log_likelihoods": tuple(values["log_likelihoods"]),
                    "probabilities": tuple(values["probabilities"]),
                }
            )
        )
