"""From mistakes to passages: search, cut, and keep out copies, leaks and what is beside the point.

Also draws the passages of the control arm, which come from the same corpus at random, but not
from what was fetched because of the mistakes.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from cem_lightning.errors import UserError
from cem_lightning.knowledge.bm25 import Bm25, content_words
from cem_lightning.knowledge.config import KnowledgeConfig
from cem_lightning.knowledge.corpora import Corpus
from cem_lightning.knowledge.cutting import cut
from cem_lightning.knowledge.decontamination import LeakIndex
from cem_lightning.knowledge.duplicates import Duplicates
from cem_lightning.knowledge.records import Document, Passage
from cem_lightning.mistakes.records import Mistake
from cem_lightning.questions.pools import Pools

DEPTH = 4

Reason = Literal["irrelevant", "duplicate", "near_duplicate", "leak", "empty"]


@dataclass(frozen=True)
class Dropped:
    """A hit that became no passage.

    Attributes:
        question: the mistake it was found for; "" for a draw of the control.
        detail: the passage it repeats, the question it leaks, or its relevance.
    """

    document: str
    question: str
    reason: Reason
    detail: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Acquired:
    """What a round reads.

    Attributes:
        passages: by the order of the mistakes they were first found for, then by rank.
        control: from documents that were not found, of about as many tokens in all.
        dropped: hits and draws that were filtered out.
        tokens: of all passages.
        control_tokens: of the control; less than `tokens` only if the corpus has no more.
    """

    passages: tuple[Passage, ...]
    control: tuple[Passage, ...]
    dropped: tuple[Dropped, ...]
    tokens: int
    control_tokens: int

    @property
    def counts(self) -> dict[str, int]:
        """How many were dropped, by reason."""
        found = Counter(each.reason for each in self.dropped)
        return {reason: found[reason] for reason in sorted(found)}


def acquire(
    mistakes: Sequence[Mistake],
    corpus: Corpus,
    pools: Pools,
    config: KnowledgeConfig,
    seed: int,
    count_tokens: Callable[[str], int],
) -> Acquired:
    """Find passages for the mistakes' knowledge points, and a control of the same size.

    A mistake is given the best `config.passages` hits that pass all filters; a passage found for
    several mistakes, or in several copies, is kept once and serves them all.

    Args:
        seed: of the control draw; the search has no chance in it.
        count_tokens: number of the model's tokens in a text.

    Raises:
        UserError: if a larger share of the passages than allowed held questions of `heldout` or
            `ood`.
    """
    filters = _Filters(corpus, LeakIndex(pools), config, count_tokens)
    index = Bm25(corpus.documents)
    queries = [" ".join(mistake.points) for mistake in mistakes]
    hits = index.search(queries, config.passages * DEPTH)
    for mistake, query, found in zip(mistakes, queries, hits, strict=True):
        weights = {word: index.idf(word) for word in content_words(query)}
        served = 0
        for rank, hit in enumerate(found):
            if served == config.passages:
                break
            document = corpus.documents[hit.position]
            if hit.relevance < config.min_score:
                if rank < config.passages:
                    filters.drop(document, mistake, "irrelevant", f"relevance {hit.relevance}", "")
                continue
            served += filters.offer(document, mistake, hit.score, weights)
    _refuse_leaks(filters, config)
    tokens = sum(count_tokens(passage.text) for passage in filters.passages)
    control, control_tokens = filters.control(tokens, seed)
    return Acquired(
        passages=tuple(filters.passages),
        control=control,
        dropped=tuple(filters.dropped),
        tokens=tokens,
        control_tokens=control_tokens,
    )


class _Filters:
    """The passages kept so far, and the reasons against the others."""

    def __init__(
        self,
        corpus: Corpus,
        leaks: LeakIndex,
        config: KnowledgeConfig,
        count_tokens: Callable[[str], int],
    ) -> None:
        self.passages: list[Passage] = []
        self.dropped: list[Dropped] = []
        self._drawn_from = corpus.documents[corpus.sought :]
        self._leaks = leaks
        self._config = config
        self._count_tokens = count_tokens
        self._duplicates = Duplicates(config.near_duplicate)
        self._found: dict[str, None] = {}
        self._verdicts: dict[str, tuple[str, ...]] = {}

    @property
    def leaking(self) -> int:
        """Different texts that held guarded questions."""
        return sum(bool(leaked) for leaked in self._verdicts.values())

    def offer(
        self, document: Document, mistake: Mistake, score: float, weights: dict[str, float]
    ) -> bool:
        """Cut a hit and take it in, or note why not; whether the mistake is served by one more."""
        self._found[document.id] = None

        def matter(sentence: str) -> float:
            return sum(weights.get(word, 0.0) for word in dict.fromkeys(content_words(sentence)))

        text = self._cut(document, matter, self._config.passage_tokens)
        if not text:
            self.drop(document, mistake, "empty", "no word fits into passage_tokens", text)
            return False
        if leaked := self._leaked(text):
            self.drop(document, mistake, "leak", ", ".join(leaked), text)
            return False
        copy = self._duplicates.find(text)
        if copy is None:
            self._duplicates.add(text)
            self.passages.append(_passage(document, text, score, (mistake.question.id,)))
            return True
        kept = self.passages[copy.position]
        own = (mistake.question.id,)
        new = own[0] not in kept.serves
        if kept.document != document.id or not new:
            self.drop(document, mistake, copy.kind, kept.id, text)
        self.passages[copy.position] = replace(
            kept, serves=kept.serves + own * new, score=max(kept.score, score)
        )
        return new

    def control(self, tokens: int, seed: int) -> tuple[tuple[Passage, ...], int]:
        """Passages cut at random places of documents not found, up to about `tokens`."""
        draw = random.Random(f"{seed}:control")
        order = [each for each in self._drawn_from if each.id not in self._found]
        draw.shuffle(order)
        drawn: list[Passage] = []
        total = 0
        # A last shred of a few tokens would be no text.
        shred = min(self._config.passage_tokens / 4, tokens / 10)
        for document in order:
            if tokens - total <= shred:
                break
            budget = min(self._config.passage_tokens, tokens - total)
            text = self._cut(document, lambda _: draw.random(), budget)
            if not text:
                continue
            if leaked := self._leaked(text):
                self.drop(document, None, "leak", ", ".join(leaked), text)
            elif (copy := self._duplicates.find(text)) is not None:
                self.drop(document, None, copy.kind, "", text)
            else:
                self._duplicates.add(text)
                drawn.append(_passage(document, text, 0.0, ()))
                total += self._count_tokens(text)
        return tuple(drawn), total

    def drop(
        self, document: Document, mistake: Mistake | None, reason: Reason, detail: str, text: str
    ) -> None:
        question = mistake.question.id if mistake else ""
        self.dropped.append(Dropped(document.id, question, reason, detail, text))

    def _cut(self, document: Document, score: Callable[[str], float], budget: int) -> str:
        return cut(document.text, score, budget, self._count_tokens)

    def _leaked(self, text: str) -> tuple[str, ...]:
        if text not in self._verdicts:
            leaks = self._leaks.find(text)
            self._verdicts[text] = tuple(f"{leak.question} ({leak.rule})" for leak in leaks)
        return self._verdicts[text]


def _passage(document: Document, text: str, score: float, serves: tuple[str, ...]) -> Passage:
    return Passage(
        id=hashlib.sha256(text.encode()).hexdigest()[:16],
        text=text,
        document=document.id,
        title=document.title,
        origin=document.origin,
        licence=document.licence,
        score=score,
        serves=serves,
    )


def _refuse_leaks(filters: _Filters, config: KnowledgeConfig) -> None:
    leaking = filters.leaking
    seen = leaking + len(filters.passages)
    if leaking and leaking / seen > config.leak_threshold:
        example = next(each for each in filters.dropped if each.reason == "leak")
        raise UserError(
            f"{leaking} of {seen} passages from {config.source} hold questions "
            f"of heldout or ood, more than knowledge.leak_threshold: {config.leak_threshold} "
            f"allows; the first is document {example.document!r} with {example.detail}. Remove "
            "such documents from a corpus of your own, or raise the threshold: they are left out "
            "either way."
        )
