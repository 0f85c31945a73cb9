"""Documents of a corpus, and the passages cut from them for a mistake."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Document:
    """One text of a corpus, with where it comes from."""

    id: str
    text: str
    title: str = ""
    origin: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Passage:
    """A stretch of a document, cut to a token budget, with the mistakes it was fetched for.

    Attributes:
        score: BM25 score of the best query that found it; 0.0 for a random draw.
        serves: ids of the questions whose knowledge points found it.
    """

    id: str
    text: str
    document: str
    title: str
    origin: str
    licence: str
    score: float
    serves: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"serves": list(self.serves)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Passage:
        return cls(**(values | {"serves": tuple(values["serves"])}))
