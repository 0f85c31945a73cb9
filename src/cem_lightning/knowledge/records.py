"""Documents of a corpus, and the passages cut from them for a mistake."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Document:
    """One text of a corpus, with where it comes from.

    Attributes:
        origin: address or file.
        fetched: when it came over the network, ISO 8601 in UTC; "" for what lies on disk.
        revision: of the page, where its source counts them.
        source: which of several sources it is from; "" where there is one.
    """

    id: str
    text: str
    title: str = ""
    origin: str = ""
    licence: str = ""
    fetched: str = ""
    revision: str = ""
    source: str = ""


@dataclass(frozen=True)
class Written:
    """How a synthetic text came to be.

    Attributes:
        kind: what was asked for, such as "paraphrase".
        parent: id of the passage that it was made from.
        by: name of the model; "rules" if it was none.
        prompt: SHA-256 of the messages that the model was asked with; "" if it was none.
    """

    kind: str
    parent: str
    by: str
    prompt: str = ""


@dataclass(frozen=True)
class Passage:
    """A stretch of a document, cut to a token budget, with the mistakes it was fetched for.

    Attributes:
        digest: SHA-256 of the document's text.
        score: of the best query that found it, as the ranking has it; 0.0 for a random draw.
        serves: ids of the questions whose knowledge points found it.
        passed: the filters that have let it in.
        written: how it came to be if it is synthetic, and its document says it in other words.
    """

    id: str
    text: str
    document: str
    title: str
    origin: str
    licence: str
    score: float
    serves: tuple[str, ...]
    digest: str = ""
    fetched: str = ""
    revision: str = ""
    source: str = ""
    passed: tuple[str, ...] = ()
    written: Written | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"serves": list(self.serves), "passed": list(self.passed)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Passage:
        lists = {key: tuple(values.get(key, ())) for key in ("serves", "passed")}
        written = Written(**values["written"]) if values.get("written") else None
        return cls(**values | lists | {"written": written})
