"""Which passages help the model: those that make the right answer to their mistake likelier.

A passage can be about the right thing and still say nothing that the question needs; whoever reads
it can tell by the answer. What becomes of the others is the business of `mistakes.triage`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.gold import gold_log_likelihoods
from cem_lightning.knowledge.records import Passage
from cem_lightning.mistakes.records import Mistake
from cem_lightning.models.loading import LanguageModel


@dataclass(frozen=True)
class Reading:
    """What reading a passage does to the right answer of a mistake it was fetched for.

    Attributes:
        bits: by how much the log-likelihood of the accepted answer rises, among the choices if
            there are several; None if the prompt with the passage exceeds the model's context.
        tokens: of the passage.
        kept: whether the passage goes on serving the mistake.
    """

    question: str
    passage: str
    bits: float | None
    tokens: int
    kept: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def probe(
    model: LanguageModel,
    mistakes: Sequence[Mistake],
    passages: Sequence[Passage],
    config: AnsweringConfig,
    least: float,
    advance: Callable[[int], None],
) -> tuple[Reading, ...]:
    """Every mistake asked with each of its passages alone, and without any.

    Args:
        least: bits that a passage must give, more than this, to be kept; one that does not fit
            the context cannot be told and is kept.
        advance: called with the number of passages done, each once for every mistake it serves.

    Returns:
        By the order of the mistakes, then of the passages.
    """
    questions = {each.question.id: each.question for each in mistakes}
    serving: dict[str, list[Passage]] = {id: [] for id in questions}
    for passage in passages:
        for id in passage.serves:
            if id in serving:
                serving[id].append(passage)
    read = [(id, passage) for id, found in serving.items() for passage in found]
    alone = [id for id, found in serving.items() if found]
    without = dict(
        zip(
            alone,
            gold_log_likelihoods(model, [(questions[id], ()) for id in alone], config, _nothing),
            strict=True,
        )
    )
    texts = [(questions[id], (passage.text,)) for id, passage in read]
    found = gold_log_likelihoods(model, texts, config, advance)
    readings = []
    for (id, passage), after in zip(read, found, strict=True):
        before = without[id]
        told = before is not None and after is not None
        bits = round((after - before) / math.log(2), 4) if told else None  # type: ignore[operator]
        kept = bits is None or bits > least
        tokens = model.encoder.count(passage.text)
        readings.append(Reading(id, passage.id, bits, tokens, kept))
    return tuple(readings)


def helping(passages: Sequence[Passage], readings: Sequence[Reading]) -> list[Passage]:
    """The passages that serve a mistake still, with those mistakes."""
    kept = {(each.question, each.passage) for each in readings if each.kept}
    left = [
        replace(each, serves=tuple(id for id in each.serves if (id, each.id) in kept))
        for each in passages
    ]
    return [each for each in left if each.serves]


def usefulness(readings: Sequence[Reading]) -> dict[str, Any]:
    """What the passages of a round give.

    Returns:
        "read": pairs of mistake and passage; "kept": those that stay; "mistakes": that had any
        passage; "served": that have one still; "bits": mean over the pairs that could be told;
        "bits_per_token": the same sum over their tokens; None if there are none.
    """
    told = [(each.bits, each.tokens) for each in readings if each.bits is not None]
    bits = sum(gain for gain, _ in told)
    return {
        "read": len(readings),
        "kept": sum(each.kept for each in readings),
        "mistakes": len({each.question for each in readings}),
        "served": len({each.question for each in readings if each.kept}),
        "bits": bits / len(told) if told else None,
        "bits_per_token": bits / sum(tokens for _, tokens in told) if told else None,
    }


def _nothing(_: int) -> None:
    """Not counted."""
