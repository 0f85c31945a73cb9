"""What is done about each mistake, and which passages serve it.

Knows the labels of collecting only; the model is not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from cem_lightning.mistakes.records import Label, Mistake

Route = Literal["passages_and_instructions"]


class Serving(Protocol):
    """A text with the ids of the questions it was fetched for."""

    @property
    def id(self) -> str: ...

    @property
    def serves(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Triaged:
    """The verdict on one mistake.

    Attributes:
        question: id of the question.
        label: the class of the mistake.
        route: what training makes of it: passages to read, and the question with its answer.
        passages: ids of the passages that serve it, in the order they were found.
    """

    question: str
    label: Label
    route: Route
    passages: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"passages": list(self.passages)}


def triage(mistakes: Sequence[Mistake], passages: Sequence[Serving]) -> tuple[Triaged, ...]:
    """One verdict a mistake, in their order."""
    serving: dict[str, list[str]] = {}
    for passage in passages:
        for question in passage.serves:
            serving.setdefault(question, []).append(passage.id)
    return tuple(
        Triaged(
            question=mistake.question.id,
            label=mistake.label,
            route="passages_and_instructions",
            passages=tuple(serving.get(mistake.question.id, ())),
        )
        for mistake in mistakes
    )
