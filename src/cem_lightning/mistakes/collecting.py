"""From answers to mistakes: what was wrong, or right only by luck.

Answers that could not be asked stay out, and so do those that could not be parsed, but for those
whose right choice was the likeliest: these are mistakes of format, never of knowledge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cem_lightning.answering.records import Answer
from cem_lightning.errors import UserError
from cem_lightning.mistakes.config import MistakesConfig
from cem_lightning.mistakes.extracting import Write, extract
from cem_lightning.mistakes.records import Label, Mistake
from cem_lightning.questions.records import Question


@dataclass(frozen=True)
class Collected:
    """The mistakes of a round.

    Attributes:
        fallbacks: of how many a model named no knowledge point that could be used.
    """

    mistakes: tuple[Mistake, ...]
    fallbacks: int


def collect(
    questions: Sequence[Question],
    answers: Iterable[Answer],
    config: MistakesConfig,
    write: Write | None = None,
) -> Collected:
    """The mistakes among the answers to `questions`, in the order of the questions.

    Args:
        answers: at least one a question, in any order; others are ignored.
        write: what a model writes to prompts, where it is asked for knowledge points.

    Raises:
        KeyError: if a question has no answer.
        UserError: if an answer lacks what the configured test of ambiguity measures.
    """
    by_question = {answer.question: answer for answer in answers}
    labels = {each.id: _label(each, by_question[each.id], config) for each in questions}
    missed = [each for each in questions if labels[each.id] is not None]
    points = extract(missed, config, write)
    mistakes = []
    for question, own in zip(missed, points.of, strict=True):
        answer, label = by_question[question.id], labels[question.id]
        assert label is not None
        mistakes.append(Mistake(question, label, answer.prediction, answer.confidence, own))
    return Collected(tuple(mistakes), points.fallbacks)


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
