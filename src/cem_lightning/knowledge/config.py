"""Where passages come from, how long they are, and what is not let in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

# How a source is reached, not what it says: no result depends on these, so they enter no key.
ACCESS_KEYS = ("contact", "cache", "requests_per_second", "retries", "timeout")

_CONTACT = re.compile(r"[\x21-\x27\x2a-\x7e]+(@|://)[\x21-\x27\x2a-\x7e]+")


class _Filters(BaseModel):
    """What every source has in common: how much of it is taken, and what is kept out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    passages: int = Field(gt=0, description="most passages for a mistake")
    passage_tokens: int = Field(gt=0, description="longest passage; tokens of the model")
    min_score: float = Field(
        ge=0,
        lt=1,
        description="least relevance: BM25 score as a share of the score that no document can "
        "exceed for the query (the sum of its words' inverse document frequencies)",
    )
    near_duplicate: float = Field(
        gt=0,
        le=1,
        description="passages are copies from this Jaccard similarity of their 5-word shingles on",
    )
    leak_threshold: float = Field(
        ge=0,
        le=1,
        description="a run refuses if more than this share of the retrieved passages held "
        "questions of heldout or ood",
    )


class LocalKnowledge(_Filters):
    """A corpus on disk, or the built-in one."""

    retriever: Literal["local"]
    corpus: str = Field(
        min_length=1,  # an empty path would be the working folder
        description="'elements', or the path of a JSONL or Parquet file (text; optional id, "
        "title, origin, licence) or of a folder of .txt, .md and .markdown files",
    )

    @property
    def source(self) -> str:
        """The source as messages name it."""
        return f"knowledge.corpus: {self.corpus}"


class WikipediaKnowledge(_Filters):
    """Articles of a Wikipedia, searched and fetched as they are needed and kept on disk."""

    retriever: Literal["wikipedia"]
    language: str = Field(
        pattern=r"^[a-z][a-z0-9-]{1,19}$",
        description="which Wikipedia: its name before .wikipedia.org, such as en or zh",
    )
    variant: str | None = Field(
        pattern=r"^[a-z][a-z0-9-]{1,19}$",
        description="way of writing a language that has several, such as zh-cn; null converts "
        "nothing",
    )
    endpoint: str | None = Field(
        description="full address of a MediaWiki's api.php with the same articles, such as a "
        "mirror's; null is that of the Wikipedia of `language`",
    )
    articles: int = Field(
        gt=0, le=50, description="articles to fetch for a mistake, the best search results"
    )
    contact: str | None = Field(
        max_length=200,
        description="mail or web address of whoever runs this, which Wikimedia's User-Agent "
        "policy demands; must be set before anything is fetched",
    )
    cache: Path = Field(description="folder that keeps every response")
    requests_per_second: float = Field(gt=0, description="most requests; per second")
    retries: int = Field(ge=0, description="further attempts at a request that fails for now")
    timeout: float = Field(gt=0, description="longest wait for an answer; seconds")

    @field_validator("contact")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        if value is not None and not _CONTACT.fullmatch(value):
            raise ValueError("give a mail address or a web address, in ASCII and without spaces")
        return value

    @field_validator("cache", mode="before")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        if value == "":
            raise ValueError("an empty path; leave the key out for its default")
        return Path(value).expanduser() if isinstance(value, str) else value

    @property
    def api(self) -> str:
        """Address of the api.php that is asked."""
        return self.endpoint or f"https://{self.language}.wikipedia.org/w/api.php"

    @property
    def source(self) -> str:
        """The source as messages name it."""
        return f"knowledge.endpoint: {self.api}"


KnowledgeConfig = Annotated[
    LocalKnowledge | WikipediaKnowledge,
    Field(discriminator="retriever"),
]


def knowledge_config(values: Mapping[str, Any]) -> KnowledgeConfig:
    """The settings of whichever retriever `values` name."""
    adapter: TypeAdapter[KnowledgeConfig] = TypeAdapter(KnowledgeConfig)
    return adapter.validate_python(values)
