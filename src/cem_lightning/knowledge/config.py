"""Where passages come from, how long they are, and what is not let in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, field_validator, model_validator

from cem_lightning.settings import Settings

# How a source is reached, not what it says: no result depends on these, so they enter no key.
ACCESS_KEYS = (
    "contact", "cache", "requests_per_second", "concurrency", "retries", "timeout",
)  # fmt: skip

_CONTACT = re.compile(r"[\x21-\x27\x2a-\x7e]+(@|://)[\x21-\x27\x2a-\x7e]+")

# what py3langid can tell apart and ISO 639-1 has two letters for
_CODES = """
    af am an ar as az ba be bg bn br bs ca cs cy da de dz el en eo es et eu fa fi fo fr fy ga gd gl
    gu he hi hr ht hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lg ln lo lt lv mg mk ml mn mr
    ms mt my ne nl nn no oc om or pa pl ps pt qu ro ru rw se si sk sl sn so sq sr st sv sw ta te tg
    th tk tl tr tt ug uk ur uz vi vo wa xh yo zh zu
"""
_LANGUAGES = frozenset(_CODES.split())

Ranking = Literal["bm25", "hybrid"]


class Filters(Settings):
    """What every source has in common: how much of it is taken, and what is kept out."""

    passages: int = Field(gt=0, description="most passages for a mistake")
    passage_tokens: int = Field(gt=0, description="longest passage; tokens of the model")
    ranking: Ranking = Field(
        description="which documents answer best: bm25, by the words they share; or hybrid, by "
        "words and by static embeddings, joined by reciprocal rank",
    )
    min_score: float = Field(
        ge=0,
        lt=1,
        description="least relevance: BM25 score as a share of the score that no document can "
        "exceed for the query (the sum of its words' inverse document frequencies)",
    )
    min_similarity: float = Field(
        ge=0,
        le=1,
        description="ranking=hybrid: least cosine of the embeddings of query and document for a "
        "document that shares too few words",
    )
    languages: tuple[str, ...] | None = Field(
        min_length=1,
        description="languages that are let in, such as [en, zh] (ISO 639-1); null lets in all",
    )
    min_words: int = Field(ge=0, description="shortest passage; words")
    per_domain: int | None = Field(
        gt=0, description="most passages for a mistake from one registrable domain; null: any"
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

    @field_validator("languages")
    @classmethod
    def _known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for each in value or ():
            if each not in _LANGUAGES:
                raise ValueError(f"{each!r} is no language that can be told; give codes such as en")
        return value


class _Kept(Filters):
    """A source of which something is kept on disk."""

    cache: Path = Field(description="folder that keeps indexes and every response")

    @field_validator("cache", mode="before")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        if value == "":
            raise ValueError("an empty path; leave the key out for its default")
        return Path(value).expanduser() if isinstance(value, str) else value


class _Fetched(_Kept):
    """A source on a network."""

    contact: str | None = Field(
        max_length=200,
        description="mail or web address of whoever runs this, for the User-Agent, which good "
        "manners and Wikimedia's policy demand; must be set before anything is fetched",
    )
    requests_per_second: float = Field(gt=0, description="most requests to a host; per second")
    retries: int = Field(ge=0, description="further attempts at a request that fails for now")
    timeout: float = Field(gt=0, description="longest wait for an answer; seconds")

    @field_validator("contact")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        if value is not None and not _CONTACT.fullmatch(value):
            raise ValueError("give a mail address or a web address, in ASCII and without spaces")
        return value


class LocalKnowledge(_Kept):
    """A corpus on disk, a data set, or the built-in one."""

    retriever: Literal["local"]
    corpus: str = Field(
        min_length=1,  # an empty path would be the working folder
        description="'elements'; or the path of a JSONL or Parquet file (text; optional id, "
        "title, origin, licence), of a folder of .txt, .md and .html files, of a Wikipedia's dump "
        "(.xml, .xml.bz2, .xml.gz), or of a folder that `datasets` saved; or 'datasets:' and a "
        "data set's id, with its split after #",
    )
    column: str = Field(
        min_length=1, description="column or field that holds the texts of a file or a data set"
    )

    @property
    def source(self) -> str:
        """The source as messages name it."""
        return f"knowledge.corpus: {self.corpus}"


class WikipediaKnowledge(_Fetched):
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

    @property
    def api(self) -> str:
        """Address of the api.php that is asked."""
        return self.endpoint or f"https://{self.language}.wikipedia.org/w/api.php"

    @property
    def source(self) -> str:
        """The source as messages name it."""
        return f"knowledge.endpoint: {self.api}"


class WebKnowledge(_Fetched):
    """Pages of the web, found by a SearXNG instance, fetched and kept on disk."""

    retriever: Literal["web"]
    searxng: str | None = Field(
        description="address of a SearXNG instance whose settings.yml has json among "
        "search.formats, such as http://localhost:8080",
    )
    language: str = Field(
        pattern=r"^[a-z][a-zA-Z-]{1,19}$",
        description="language that is searched in, such as en or zh-CN; or all",
    )
    results: int = Field(gt=0, le=50, description="pages to fetch for a mistake")
    pages_per_domain: int = Field(gt=0, description="most pages of one domain in a round")
    pages: int = Field(gt=0, description="most pages in a round")
    concurrency: int = Field(gt=0, description="requests on their way at a time, in all")
    largest: int = Field(gt=0, description="largest page; bytes when decompressed")
    redirects: int = Field(ge=0, description="most redirects of a page")
    allow_private: bool = Field(
        description="connect to private and local addresses too, as in an intranet; the SearXNG "
        "instance may always be there"
    )

    @property
    def source(self) -> str:
        """The source as messages name it."""
        return f"knowledge.searxng: {self.searxng}"


class CustomKnowledge(_Kept):
    """A retriever of the user's own, see docs/knowledge.md."""

    retriever: Literal["custom"]
    target: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="where the class is, as module:Class; python must be able to import it",
    )
    options: dict[str, Any] = Field(description="what the class is called with, by name")

    @property
    def source(self) -> str:
        """The source as messages name it."""
        return f"knowledge.target: {self.target}"


SingleKnowledge = Annotated[
    LocalKnowledge | WikipediaKnowledge | WebKnowledge | CustomKnowledge,
    Field(discriminator="retriever"),
]


class CombinedKnowledge(_Kept):
    """Several sources together; each may give at most so many passages as it says itself."""

    retriever: Literal["combined"]
    contact: str | None = Field(description="for every source that asks for one")
    searxng: str | None = Field(
        description="for every source of the retriever web; null leaves these out"
    )
    sources: dict[str, SingleKnowledge] = Field(
        min_length=1,
        description="keys of each source by a name for it; what it leaves out of the keys above is "
        "as there, and its passages are its quota",
    )

    @model_validator(mode="before")
    @classmethod
    def _share(cls, values: Any) -> Any:
        """Sources without filters of their own have those of the whole."""
        if not (isinstance(values, Mapping) and isinstance(values.get("sources"), Mapping)):
            return values
        common = {key: values[key] for key in _Kept.model_fields if key in values}
        sources = {
            name: common | dict(each) if isinstance(each, Mapping) else each
            for name, each in values["sources"].items()
        }
        return {**values, "sources": sources}

    @model_validator(mode="after")
    def _in_names(self) -> Self:
        for name in self.sources:
            if not re.fullmatch(r"\w[\w-]*", name):
                raise ValueError(f"sources: {name!r} is no name; use letters, digits and hyphens")
        return self

    @property
    def asked(self) -> dict[str, SingleKnowledge]:
        """The sources that can be asked: a web without a SearXNG instance cannot."""
        return {
            name: each
            for name, each in self.sources.items()
            if not isinstance(each, WebKnowledge) or each.searxng is not None
        }

    @property
    def source(self) -> str:
        """The sources as messages name them."""
        return "; ".join(each.source for each in self.asked.values())


KnowledgeConfig = Annotated[
    SingleKnowledge | CombinedKnowledge,
    Field(discriminator="retriever"),
]


def singles(config: KnowledgeConfig) -> tuple[SingleKnowledge, ...]:
    """The sources that are asked, one by one."""
    return tuple(config.asked.values()) if isinstance(config, CombinedKnowledge) else (config,)


def parted(config: KnowledgeConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is found, and how it is reached, as plain values; `joined` puts them together."""
    found = config.model_dump(mode="json")
    reached = {key: found.pop(key) for key in ACCESS_KEYS if key in found}
    if isinstance(config, CombinedKnowledge):
        parts = {name: parted(each) for name, each in config.sources.items()}
        found["sources"] = {name: each[0] for name, each in parts.items()}
        reached["sources"] = {name: each[1] for name, each in parts.items()}
    return found, reached


def joined(found: Mapping[str, Any], reached: Mapping[str, Any]) -> KnowledgeConfig:
    """The settings that `parted` has taken apart."""
    values = {**found, **reached}
    if "sources" in found:
        values["sources"] = {
            name: each | reached["sources"][name] for name, each in found["sources"].items()
        }
    adapter: TypeAdapter[KnowledgeConfig] = TypeAdapter(KnowledgeConfig)
    return adapter.validate_python(values)
