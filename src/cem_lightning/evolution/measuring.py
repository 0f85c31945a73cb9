"""Counts and lengths of what the user gave: questions, and documents known before the run.

Reads with the model's tokenizer; the model itself is not asked.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.knowledge.cleaning import fault_of
from cem_lightning.knowledge.config import KnowledgeConfig, LocalKnowledge
from cem_lightning.knowledge.decontamination import LeakIndex
from cem_lightning.knowledge.folders import unread_files
from cem_lightning.knowledge.records import Document
from cem_lightning.models.encoding import Encoder
from cem_lightning.questions import cues
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import Question
from cem_lightning.questions.twins import groups
from cem_lightning.questions.wording import Wording
from cem_lightning.reporting.findings import CorpusFindings, Cue, PoolFindings, Spread

CUE_ERRORS = 2.0  # standard errors above chance from which a surface strategy tells something
_DOCUMENTS = 64  # tokenised at once

Advance = Callable[[int], None]


@dataclass(frozen=True)
class AskedTokens:
    """The lengths of one question, in tokens.

    Attributes:
        longest: the prompt with its longest response, or with the room that one is written in.
        asked: what passes through the model to answer it, in its own form alone.
        blind: the same for the name-blind form; 0 if it is not asked.
        exchange: prompt and right answer, as they are trained on.
        response: the longest response alone.
    """

    longest: int
    asked: int
    blind: int
    exchange: int
    response: int


def asked_tokens(question: Question, encoder: Encoder, config: AnsweringConfig) -> AskedTokens:
    """What asking a question takes, as `answering.asking` does it."""
    wording = Wording(config.method)
    written = question.short or config.method == "extract"

    def passes(blind: bool) -> tuple[int, int, list[int]]:
        """Tokens of the longest sequence, of all passes, and of prompt with each response."""
        prompt = wording.prompt(question, blind=blind)
        start = len(encoder.prompt(prompt))
        whole = [
            len(encoder.continuation(prompt, wording.response(question, index)))
            for index in range(len(question.choices))
        ]
        scored = start + sum(each - start for each in whole)
        room = start + config.response_tokens if written else 0
        return max(*whole, room), scored + room, [start, *whole]

    longest, asked, (start, *whole) = passes(False)
    blind = passes(True)[1] if config.blind and question.blind is not None else 0
    return AskedTokens(
        longest, asked, blind, whole[question.answer] + 1, max(each - start for each in whole)
    )


def pool_findings(
    name: str, pools: Pools, tokens: Sequence[AskedTokens], context: int, config: AnsweringConfig
) -> PoolFindings:
    """Counts, lengths, copies and surface cues of one pool that holds questions.

    Args:
        tokens: of each of its questions.
        context: the longest sequence the model can read, in tokens.
    """
    pool = dict[str, tuple[Question, ...]](pools.items())[name]
    found = cues.measure(pool)
    chance = found.pop("chance", None)
    return PoolFindings(
        name=name,
        questions=len(pool),
        kinds=dict(Counter(question.kind for question in pool).most_common()),
        choices=dict(sorted(Counter(len(question.choices) for question in pool).items())),
        characters=Spread.of([len(question.question) for question in pool]),
        tokens=Spread.of([each.longest for each in tokens]),
        too_long=sum(each.longest > context for each in tokens),
        repeated=len(pool) - len(groups(pool)),
        unread=tuple(pools.unread.get(name, ())),
        cues=tuple(
            Cue(cue, accuracy, _tells(cue, accuracy, pool, config))
            for cue, accuracy in found.items()
        ),
        chance=chance,
    )


def document_tokens(documents: Sequence[Document], tokenizer: Any, advance: Advance) -> list[int]:
    """Tokens of each document, without begin and end.

    Args:
        advance: told of documents tokenised.
    """
    tokens: list[int] = []
    for start in range(0, len(documents), _DOCUMENTS):
        batch = [document.text for document in documents[start : start + _DOCUMENTS]]
        tokens += map(len, tokenizer(batch, add_special_tokens=False, verbose=False)["input_ids"])
        advance(len(batch))
    return tokens


def corpus_findings(
    documents: Sequence[Document],
    tokens: Sequence[int],
    pools: Pools,
    config: KnowledgeConfig,
    advance: Advance,
) -> CorpusFindings:
    """Counts of documents, the held-out questions in them, and what of them is not worth reading.

    Args:
        tokens: of each document.
        advance: told of documents searched.
    """
    index = LeakIndex(pools)
    leaks = []
    faults: Counter[str] = Counter()
    for document in documents:
        if fault := fault_of(document.text, config):
            faults[fault[0]] += 1
        if found := index.find(document.text):
            held = ", ".join(f"{leak.pool} {leak.question} ({leak.rule})" for leak in found)
            leaks.append(f"{document.id}: {held}")
        advance(1)
    return CorpusFindings(
        documents=len(documents),
        characters=sum(len(document.text) for document in documents),
        tokens=sum(tokens),
        licences=dict(Counter(document.licence for document in documents).most_common()),
        without_title=sum(not document.title for document in documents),
        without_origin=sum(not document.origin for document in documents),
        leaks=tuple(leaks),
        copies=len(documents) - len({hash(document.text) for document in documents}),
        unfit=dict(faults.most_common()),
        unread=unread_files(config.corpus) if isinstance(config, LocalKnowledge) else {},
    )


def _tells(cue: str, accuracy: float, pool: Sequence[Question], config: AnsweringConfig) -> bool:
    """Whether a strategy beats chance by more than two standard errors of guessing."""
    if cue == "first" and config.method == "cloze":
        return False  # choices are not listed, so they have no order
    chances = [1 / len(question.choices) for question in pool if not question.short]
    chance = sum(chances) / len(chances)
    error = math.sqrt(sum(each * (1 - each) for each in chances)) / len(chances)
    return accuracy > chance + CUE_ERRORS * error
