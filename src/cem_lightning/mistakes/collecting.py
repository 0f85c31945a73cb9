"""From answers to mistakes: what was wrong, or right only by luck.

Answers that could not be parsed or asked are failures of format and of length, and stay out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cem_lightning.answering.records import Answer
from cem_lightning.mistakes.config import MistakesConfig
from cem_lightning.mistakes.points import knowledge_points
from cem_lightning.mistakes.records import Mistake
from cem_lightning.questions.records import Question


def collect(
    questions: Sequence[Question], answers: Iterable[Answer], config: MistakesConfig
) -> tuple[Mistake, ...]:
    """The mistakes among the answers to `questions`, in the order of the questions.

    Args:
        answers: at least one a question, in any order; others are ignored.

    Raises:
        KeyError: if a question has no answer.
    """
    by_question = {answer.question: answer for answer in answers}
    mistakes = []
    for question in questions:
        answer = by_question[question.id]
        unsure = answer.right and answer.confidence < config.ambiguous_below
        if not (answer.outcome == "wrong" or unsure):
            continue
        mistakes.append(
            Mistake(
                question=question,
                label="ambiguous" if unsure else "wrong",
                prediction=answer.prediction,
                confidence=answer.confidence,
                points=knowledge_points(question, config.points),
            )
        )
    return tuple(mistakes)
