"""How far answers move when nothing was learned: the same model, asked in another way.

Compares answers and turns choices round; asking is the business of `asking`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.records import Answer
from cem_lightning.questions.records import Question

_SMALLER = 4  # times fewer tokens pass through the model at once


def other_batching(config: AnsweringConfig) -> AnsweringConfig:
    """The same settings with a quarter of the tokens in a batch, in the own order alone."""
    tokens = max(1, config.batch_tokens // _SMALLER)
    return config.model_copy(update={"batch_tokens": tokens, "permutations": "none"})


def reversed_choices(question: Question) -> Question:
    """The question with its choices listed from last to first."""
    last = len(question.choices) - 1
    return replace(question, choices=question.choices[::-1], answer=last - question.answer)


def in_own_order(answer: Answer, question: Question) -> Answer:
    """An answer to `reversed_choices(question)` as one to `question`."""
    last = len(question.choices) - 1
    taken = answer.prediction
    return replace(
        answer,
        log_likelihoods=answer.log_likelihoods[::-1],
        probabilities=answer.probabilities[::-1],
        prediction=None if taken is None else last - taken,
    )


def noise(own: Mapping[str, Answer], others: Mapping[str, Sequence[Answer]]) -> dict[str, Any]:
    """How far other ways of asking move predictions and accuracy.

    Args:
        own: the answers that scores are made of, by question.
        others: by the name of another way of asking its answers to some of these questions.

    Returns:
        For each way its `n`, `flips` (share of questions with another prediction), `accuracy` and
        `accuracy_before` of the same questions; null if it was asked no question. `floor` is the
        largest distance of these two.
    """
    found: dict[str, Any] = {}
    floor = 0.0
    for name, answers in others.items():
        if not answers:
            found[name] = None
            continue
        n = len(answers)
        before = [own[each.question] for each in answers]
        pairs = zip(before, answers, strict=True)
        accuracy, accuracy_before = (
            sum(each.right for each in some) / n for some in (answers, before)
        )
        found[name] = {
            "n": n,
            "flips": sum(first.prediction != second.prediction for first, second in pairs) / n,
            "accuracy": accuracy,
            "accuracy_before": accuracy_before,
        }
        floor = max(floor, abs(accuracy - accuracy_before))
    return found | {"floor": floor}
