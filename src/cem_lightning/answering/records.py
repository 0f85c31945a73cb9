"""What a model answered to one question, with what the scores are made of."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cem_lightning.answering import uncertainty
from cem_lightning.answering.uncertainty import Measure

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
            means that prompt and response exceed the model's context under any order asked, or
            the accepted short answer the longest response.
        text: what the model generated, where it is asked to write; else "".
        orders: the choice taken under each cyclic order of the choices, its own order first, as
            positions in the question's own order; None where the text could not be parsed. Empty
            unless asked so.
        debiased: the choice of the highest mean probability over `orders`; None if empty.
    """

    question: str
    log_likelihoods: tuple[float, ...]
    probabilities: tuple[float, ...]
    prediction: int | None
    outcome: Outcome
    text: str = ""
    orders: tuple[int | None, ...] = ()
    debiased: int | None = None

    @property
    def right(self) -> bool:
        return self.outcome == "right"

    @property
    def confidence(self) -> float:
        """Probability of the prediction, 0.0 where there is none."""
        return self.probabilities[self.prediction] if self.prediction is not None else 0.0

    @property
    def likeliest(self) -> int | None:
        """Position of the choice of the highest probability; None without two choices scored."""
        several = len(self.probabilities) > 1
        return self.probabilities.index(max(self.probabilities)) if several else None

    @property
    def entropy(self) -> float | None:
        """Of the probabilities, in nats, 0 to log n; None without two choices scored."""
        return uncertainty.entropy(self.probabilities)

    @property
    def margin(self) -> float | None:
        """Best probability minus the second best, 0 to 1; None without two choices scored."""
        return uncertainty.margin(self.probabilities)

    @property
    def agreement(self) -> float | None:
        """Share of `orders` that took the prediction, 0 to 1; None if either is missing."""
        return uncertainty.agreement(self.orders, self.prediction)

    def certainty(self, measure: Measure) -> float | None:
        """How sure the answer is by a measure, 0 to 1, higher is surer.

        The entropy H of n choices counts as 1 - H / log n. None where the measure is not defined.
        """
        if measure == "confidence":
            return self.confidence if self.prediction is not None else None
        if measure == "entropy":
            found = self.entropy
            return None if found is None else 1 - found / math.log(len(self.probabilities))
        return self.margin if measure == "margin" else self.agreement

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "log_likelihoods": list(self.log_likelihoods),
            "probabilities": list(self.probabilities),
            "orders": list(self.orders),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Answer:
        return cls(
            **(
                values
                | {
                    "log_likelihoods": tuple(values["log_likelihoods"]),
                    "probabilities": tuple(values["probabilities"]),
                    "orders": tuple(values.get("orders", ())),
                }
            )
        )
