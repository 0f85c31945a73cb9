"""How likely a model finds the accepted answers, with or without texts to read before.

Scores the one response alone: neither other choices nor what the model would write matter.
"""

from __future__ import annotations

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
    """Summed log-likelihood of each question's accepted response, in nats.

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
                [encoder.continuation(prompt, wording.response(each, each.answer))]
                for prompt, (each, _) in zip(prompts, asked, strict=True)
            ],
            batch_tokens=config.batch_tokens,
            advance=counted,
            share=shares.part,
            total=shares.sum,
        )
    return [None if score is None else score[0][0] for score in scores]
