"""Mistakes asked again with their passages in the prompt, as triage needs them.

What follows from the answers is the business of `mistakes.triage`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cem_lightning.answering.asking import ask_stream
from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.records import Answer
from cem_lightning.answering.room import fits
from cem_lightning.answering.sharding import Shares
from cem_lightning.knowledge.open_book import passages_that_fit
from cem_lightning.knowledge.records import Passage
from cem_lightning.mistakes.records import Mistake
from cem_lightning.mistakes.triage import by_question
from cem_lightning.models.loading import LanguageModel
from cem_lightning.questions.records import Question


def ask_with_passages(
    model: LanguageModel,
    mistakes: Sequence[Mistake],
    passages: Sequence[Passage],
    most: int,
    config: AnsweringConfig,
    advance: Callable[[int], None],
) -> tuple[Answer, ...]:
    """The answer to every mistake that a passage serves, in their order, asked in one order.

    Args:
        passages: the best first; each mistake is shown the first that serve it, cut where they
            exceed the context.
        most: most passages a mistake.
        config: how the model is asked otherwise.
        advance: called with the number of questions done, also of those that had none to show.
    """
    serving = by_question(passages)

    def shown(mistake: Mistake) -> tuple[str, ...]:
        texts = [each.text for each in serving.get(mistake.question.id, ())[:most]]

        def fit(texts: Sequence[str]) -> bool:
            return fits(model, mistake.question, texts, config)

        return passages_that_fit(mistake, texts, fit, model.encoder.count)

    found = {each.question.id: shown(each) for each in mistakes}
    asked: list[Question] = [each.question for each in mistakes if found[each.question.id]]
    if Shares.here().first:
        advance(len(mistakes) - len(asked))
    once = config.model_copy(update={"permutations": "none", "blind": False})
    return tuple(ask_stream(model, asked, once, passages=found, advance=advance))
