"""From answers to mistakes: what was wrong, or right only by luck.

Answers that could not be asked stay out, and so do those that could not be parsed, but for those
whose right choice was the likeliest: these are mistakes of format, never of knowledge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cem_lightning.answering.records import Answer
from cem_lightning.errors import UserError
from cem_lightning.mistakes.config import MistakesConfig
from cem_lightning.mistakes.points import knowledge_points
from cem_lightning.mistakes.records import Label, Mistake
from cem_lightning.questions.records import Question


def collect(
    questions: Sequence[Question], answers: Iterable[Answer], config: MistakesConfig
) -> tuple[Mistake, ...]:
    """The mistakes among the answers to `questions`, in the order of the questions.

    Args:
        answers: at least one a question, in any order; others are ignored.

    Raises:
        KeyError: if a question has no answer.
        UserError: if an answer lacks what the configured test of ambiguity measures.
    """
    by_question = {answer.question: answer for answer in answers}
    mistakes = []
    for question in questions:
        answer = by_question[question.id]
        label = _label(question, answer, config)
        if label is None:
            continue
        mistakes.append(
            Mistake(
                question=question,
                label=label,
                prediction=answer.prediction,
                confidence=answer.confidence,
                points=knowledge_points(question, config.points),
            )
        )
    return tuple(mistakes)


def _label(question: Question, answer: Answer, config: MistakesConfig) -> Label | None:
    """Why an answer is collected; None if it is not."""
    if answer.outcome == "wrong":
        return "wrong"
    if answer.right and _certainty(question, answer, config) < config.ambiguous_below:
        return "ambiguous"
    if answer.outcome == "unparsable" and answer.likeliest == question.answer:
        return "format"
    return None


def _certainty(question: Question, answer: Answer, config: MistakesConfig) -> float:
    """How sure a right answer is by the configured measure, 0 to 1."""
    found = answer.certainty("confidence" if question.short else config.ambiguous_by)
    if found is None:
        raise UserError(
            f"mistakes.ambiguous_by is {config.ambiguous_by!r}, and the answer to question "
            f"{question.id!r} has no such measure. Ask with answering.permutations=cyclic, or set "
            "mistakes.ambiguous_by=confidence."
        )
    return found
