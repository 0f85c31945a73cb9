"""Synthetic texts with what they were made from, and those that were thrown away."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cem_lightning.knowledge.records import Passage, Written

Kind = Literal["paraphrase", "focus", "qa", "reading"]
Reason = Literal[
    "empty", "markup", "refusal", "echo", "copy", "too_long", "repetitive", "language", "figure",
    "name", "negation", "schema", "not_stated", "leak",
]  # fmt: skip

PASSED = ("validation", "decontamination")  # by every synthetic text that is kept


@dataclass(frozen=True)
class Item:
    """Something to be done with a passage, which stands before it.

    Attributes:
        response: in the words of the passage.
    """

    instruction: str
    response: str
    written: Written

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Item:
        return cls(**values | {"written": Written(**values["written"])})


@dataclass(frozen=True)
class Rejected:
    """What a model wrote and nobody shall learn from.

    Attributes:
        text: what it wrote, or the pair that was at fault.
        question: id of the mistaken question that was asked about; "" if none was.
        detail: what was found in it.
    """

    text: str
    reason: Reason
    detail: str
    question: str
    written: Written

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Supplied:
    """All that was made of some passages, in the order it was asked for.

    Attributes:
        passages: synthetic ones.
    """

    passages: tuple[Passage, ...]
    items: tuple[Item, ...]
    rejected: tuple[Rejected, ...]

    @property
    def counts(self) -> dict[str, Any]:
        """How many were kept, by kind, and rejected, by reason."""
        kinds = Counter(each.written.kind for each in self.passages if each.written)
        kinds.update(each.written.kind for each in self.items)
        reasons = Counter(each.reason for each in self.rejected)
        return {"kept": dict(sorted(kinds.items())), "rejected": dict(sorted(reasons.items()))}
