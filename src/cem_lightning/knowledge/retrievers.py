"""Where documents come from: one interface for every source, and the sources together.

What is searched in the documents, cut from them and kept out is the same for all, see `acquire`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from cem_lightning.errors import UserError
from cem_lightning.knowledge.config import (
    CombinedKnowledge,
    CustomKnowledge,
    Filters,
    KnowledgeConfig,
    LocalKnowledge,
    WikipediaKnowledge,
)
from cem_lightning.knowledge.corpora import Corpus, read_corpus
from cem_lightning.knowledge.records import Document
from cem_lightning.progress import Progress
from cem_lightning.storage.digests import digest_path

Served = Callable[[int, str], None]


class Retriever(Protocol):
    """A source of documents."""

    def known(self) -> Corpus:
        """What it holds before anything is asked; nothing, if it must be asked first.

        Raises:
            UserError: if it cannot be used as it is configured.
        """

    def gather(
        self,
        queries: Sequence[Sequence[str]],
        count_tokens: Callable[[str], int],
        served: Served,
        *,
        unit: str = "mistakes",
        control: bool = True,
    ) -> Corpus:
        """The documents among which passages are found and the control is drawn.

        Args:
            queries: keyphrases of each mistake, the most important ones first.
            count_tokens: number of the model's tokens in a text.
            served: told how many queries more are done, and a note to show.
            unit: what a query is for, in the plural.
            control: fetch documents at random as well, about as many tokens as passages may
                come to.

        Raises:
            UserError: if the source cannot be read or reached; what was fetched is kept.
        """


def retriever_of(config: KnowledgeConfig, progress: Progress | None = None) -> Retriever:
    """The source that a config names.

    Args:
        progress: told while a corpus on disk is parsed.

    Raises:
        UserError: if a class of the user's own cannot be imported or made.
    """
    if isinstance(config, LocalKnowledge):
        return LocalRetriever(config, progress)
    if isinstance(config, CombinedKnowledge):
        return CombinedRetriever(config, progress)
    if isinstance(config, CustomKnowledge):
        return _custom(config)
    if isinstance(config, WikipediaKnowledge):
        from cem_lightning.knowledge.wikipedia import WikipediaRetriever

        return WikipediaRetriever(config)
    from cem_lightning.knowledge.web import WebRetriever

    return WebRetriever(config)


class LocalRetriever:
    """All documents of a corpus on disk, whatever is asked."""

    def __init__(self, config: LocalKnowledge, progress: Progress | None = None) -> None:
        self._config = config
        self._progress = progress

    def known(self) -> Corpus:
        return read_corpus(self._config, self._progress)

    def gather(
        self,
        queries: Sequence[Sequence[str]],
        count_tokens: Callable[[str], int],
        served: Served,
        *,
        unit: str = "mistakes",
        control: bool = True,
    ) -> Corpus:
        served(len(queries), "")
        return self.known()


class CombinedRetriever:
    """Several sources, whose documents are searched together."""

    def __init__(self, config: CombinedKnowledge, progress: Progress | None = None) -> None:
        self._parts = {name: retriever_of(each, progress) for name, each in config.asked.items()}

    def known(self) -> Corpus:
        return _together({name: each.known() for name, each in self._parts.items()})

    def gather(
        self,
        queries: Sequence[Sequence[str]],
        count_tokens: Callable[[str], int],
        served: Served,
        *,
        unit: str = "mistakes",
        control: bool = True,
    ) -> Corpus:
        shares = len(self._parts)
        done = dict.fromkeys(self._parts, 0)
        told = 0

        def serves(name: str) -> Served:
            def by_one(amount: int, note: str) -> None:
                nonlocal told
                done[name] += amount
                whole = sum(done.values()) // shares
                served(whole - told, f"{name}: {note}" if note else name)
                told = whole

            return by_one

        return _together(
            {
                name: each.gather(queries, count_tokens, serves(name), unit=unit, control=control)
                for name, each in self._parts.items()
            }
        )


def quota(config: Filters, source: str) -> int:
    """Most passages for a mistake from one of the sources."""
    if isinstance(config, CombinedKnowledge):
        return config.sources[source].passages
    return config.passages


def _together(parts: dict[str, Corpus]) -> Corpus:
    """The documents of all sources, those that were sought first, each with its source's name."""

    def named(name: str, documents: Sequence[Document]) -> list[Document]:
        return [replace(each, id=f"{name}/{each.id}", source=name) for each in documents]

    sought = [e for name, each in parts.items() for e in named(name, each.documents[: each.sought])]
    others = [e for name, each in parts.items() for e in named(name, each.documents[each.sought :])]
    unfetched = tuple(miss for each in parts.values() for miss in each.unfetched)
    code = "".join(each.code for each in parts.values())
    return Corpus((*sought, *others), len(sought), unfetched, code)


def _custom(config: CustomKnowledge) -> Retriever:
    module, _, name = config.target.partition(":")
    try:
        made: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"knowledge.target: {config.target} cannot be imported ({error}); give module:Class "
            "of a module that python finds, for instance by PYTHONPATH."
        ) from None
    try:
        retriever: Retriever = made(config, **config.options)
    except TypeError as error:
        raise UserError(
            f"knowledge.options: {config.target} cannot be made with the config and "
            f"{', '.join(config.options) or 'no options'} ({error})."
        ) from None
    return _Custom(config.target, retriever, digest_path(Path(inspect.getfile(made))))


class _Custom:
    """A retriever of the user's own, of which it is checked that it does what it must.

    Args:
        code: digest of the file that it is written in: what it found is no longer believed when
            that has changed.
    """

    def __init__(self, target: str, retriever: Retriever, code: str) -> None:
        self._target = target
        self._retriever = retriever
        self._code = code

    def known(self) -> Corpus:
        return replace(self._checked("known", self._retriever.known()), code=self._code)

    def gather(
        self,
        queries: Sequence[Sequence[str]],
        count_tokens: Callable[[str], int],
        served: Served,
        *,
        unit: str = "mistakes",
        control: bool = True,
    ) -> Corpus:
        found = self._retriever.gather(queries, count_tokens, served, unit=unit, control=control)
        return self._checked("gather", found)

    def _checked(self, method: str, found: object) -> Corpus:
        documents = found.documents if isinstance(found, Corpus) else (None,)
        for each in documents:
            if not isinstance(each, Document) or not isinstance(each.text, str):
                raise UserError(
                    f"knowledge.target: {method} of {self._target} must return a Corpus of "
                    f"Documents whose texts are strings, see docs/knowledge.md; found "
                    f"{type(found if each is None else each).__name__}."
                )
        assert isinstance(found, Corpus)
        return found
