"""From mistakes to passages: search, cut, and keep what passes all filters.

Also draws the passages of the control arm, which come from the same corpus at random, but not
from what was fetched because of the mistakes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from cem_lightning.errors import UserError
from cem_lightning.knowledge.bm25 import content_words
from cem_lightning.knowledge.config import KnowledgeConfig
from cem_lightning.knowledge.corpora import Corpus
from cem_lightning.knowledge.filtering import Candidate, Dropped, PassageFilters
from cem_lightning.knowledge.ranking import Hit, Index
from cem_lightning.knowledge.records import Passage
from cem_lightning.mistakes.records import Mistake
from cem_lightning.questions.pools import Pools

DEPTH = 4


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
    filters = PassageFilters(pools, config, count_tokens)
    index = corpus.index(config)
    queries = [" ".join(mistake.points) for mistake in mistakes]
    hits = index.search(queries, config.passages * DEPTH)
    offered = [
        _candidates(mistake, query, found, corpus, index, filters, config)
        for mistake, query, found in zip(mistakes, queries, hits, strict=True)
    ]
    filters.quarantine(chain.from_iterable(offered))
    for candidates in offered:
        filters.offer(candidates)
    filters.miss(corpus.unfetched, [each.question.id for each in mistakes])
    _refuse_leaks(filters, config)
    tokens = sum(count_tokens(passage.text) for passage in filters.passages)
    control, control_tokens = filters.control(corpus, tokens, seed)
    return Acquired(
        passages=tuple(filters.passages),
        control=control,
        dropped=tuple(filters.dropped),
        tokens=tokens,
        control_tokens=control_tokens,
    )


def _candidates(
    mistake: Mistake,
    query: str,
    hits: Sequence[Hit],
    corpus: Corpus,
    index: Index,
    filters: PassageFilters,
    config: KnowledgeConfig,
) -> list[Candidate]:
    """The relevant hits of a mistake, cut around what it asks for."""
    weights = {word: index.idf(word) for word in content_words(query)}

    def matter(sentence: str) -> float:
        return sum(weights.get(word, 0.0) for word in dict.fromkeys(content_words(sentence)))

    found = []
    for rank, hit in enumerate(hits):
        document = corpus.documents[hit.position]
        if hit.relevance >= config.min_score:
            text = filters.cut(document, matter)
            found.append(Candidate(hit.position, document, mistake.question.id, text, hit.score))
        elif rank < config.passages:
            beside = Candidate(hit.position, document, mistake.question.id, "", 0.0)
            filters.drop(beside, "irrelevant", f"relevance {hit.relevance}")
    return found


def _refuse_leaks(filters: PassageFilters, config: KnowledgeConfig) -> None:
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
