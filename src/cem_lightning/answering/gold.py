"""How likely a model finds the accepted answers, with or without texts to read before.

Scores responses alone: what the model would write does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.scoring import log_likelihoods
from cem_lightning.answering.sharding import Shares
from cem_lightning.models.loading import LanguageModel
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Wording


def gold_log_likelihoods(
    model: LanguageModel,
    asked: Sequence[tuple[Question, Sequence[str]]],
    config: AnsweringConfig,
    advance: Callable[[int], None],
) -> list[float | None]:
    """Log-likelihood of each question's accepted answer, in nats.

    Of several choices it is the one among them: the summed log-likelihood of the accepted response
    less the logarithm of the sum of all responses' likelihoods. A text that makes every choice
    likelier alike, or another one more so, says nothing in favour of the right one.

    Args:
        asked: questions, each with the passages in its prompt.
        advance: called with the number of prompts done.

    Returns:
        As many as asked; None where prompt and response exceed the model's context.
    """
    wording, encoder = Wording(config.method), model.encoder
    prompts = [wording.prompt(each, passages=passages) for each, passages in asked]
    shares = Shares.here()
    with shares.counted(len(asked), advance) as counted:
        scores = log_likelihoods(
            model,
            [encoder.prompt(prompt) for prompt in prompts],
            [
                [
                    encoder.continuation(prompt, wording.response(each, index))
                    for index in range(len(each.choices))
                ]
                for prompt, (each, _) in zip(prompts, asked, strict=True)
            ],
            batch_tokens=config.batch_tokens,
            advance=counted,
            share=shares.part,
            total=shares.sum,
        )
    return [
        None if score is None else _among(score[0], question.answer)
        for score, (question, _) in zip(scores, asked, strict=True)
    ]


def _among(sums: Sequence[float], gold: int) -> float:
    """Log-likelihood of one response among all; of a single one its own."""
    if len(sums) == 1:
        return sums[0]
    top = max(sums)
    return sums[gold] - top - math.log(sum(math.exp(each - top) for each in sums))
