"""What a question is, and how a pool of questions is written down."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

PoolName = Literal["source", "heldout", "ood"]


@dataclass(frozen=True)
class Question:
    """A multiple-choice question, or a short-answer question, which has one choice alone.

    Attributes:
        id: unique over all pools.
        question: the stem, as the model is asked it.
        choices: at least two different answers, in the order they are shown; of a short-answer
            question exactly one, the accepted answer.
        answer: position of the right one in `choices`.
        cluster: questions that share a cluster are not independent (the same element, passage,
            discipline); intervals resample whole clusters. A question's own id if it stands alone.
        kind: the relation asked for, by which reports break results down ("discoverer").
        blind: the stem with its subject masked; None if the pool has no such form.
    """

    id: str
    question: str
    choices: tuple[str, ...]
    answer: int
    cluster: str
    kind: str = ""
    blind: str | None = None

    @property
    def gold(self) -> str:
        """The text of the right choice."""
        return self.choices[self.answer]

    @property
    def short(self) -> bool:
        """Whether it is a short-answer question: its one choice is the accepted answer."""
        return len(self.choices) == 1

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"choices": list(self.choices)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Question:
        return cls(**(values | {"choices": tuple(values["choices"])}))
