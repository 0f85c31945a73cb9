"""Whether a question with passages before it fits the model's context.

Asks nothing; what is asked although it does not fit is "too_long".
"""

from __future__ import annotations

from collections.abc import Sequence

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.models.loading import LanguageModel
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Wording


def fits(
    model: LanguageModel, question: Question, passages: Sequence[str], config: AnsweringConfig
) -> bool:
    """Whether the prompt leaves room for every response, and for one that is written if it is."""
    wording, encoder = Wording(config.method), model.encoder
    prompt = wording.prompt(question, passages=passages)
    responses = (wording.response(question, index) for index in range(len(question.choices)))
    longest = max(len(encoder.continuation(prompt, each)) for each in responses)
    if question.short or config.method == "extract":
        longest = max(longest, len(encoder.prompt(prompt)) + config.response_tokens)
    return longest <= model.context
