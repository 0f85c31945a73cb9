"""What to look up about a question: its keyphrases, its stem, or what a model names.

Sees the questions it is handed, which are mistakes of the source pool; how a model writes is the
business of whoever hands it in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cem_lightning.mistakes.config import MistakesConfig
from cem_lightning.mistakes.points import knowledge_points
from cem_lightning.questions.normalise import is_chinese, normalised, words
from cem_lightning.questions.records import Question

Write = Callable[[Sequence[str]], Sequence[str | None]]

LONGEST = 8  # words of a concept

_ENGLISH = (
    "Name the {limit} concepts that one must know to answer this question, one in a line, in a few "
    "words each, without explanation.\n\nQuestion: {stem}\nAnswer: {answer}"
)
_CHINESE = (
    "请列出回答这个问题必须了解的{limit}个概念，每行一个，只写几个字，不要解释。"
    "\n\n问题：{stem}\n答案：{answer}"
)
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.)、:：])\s*")
_LETTER = re.compile(r"^[A-Za-z][.)]?$")


@dataclass(frozen=True)
class Points:
    """Knowledge points of some questions, in their order.

    Attributes:
        fallbacks: questions of which the model named none that could be used.
    """

    of: tuple[tuple[str, ...], ...]
    fallbacks: int = 0


def extract(questions: Sequence[Question], config: MistakesConfig, write: Write | None) -> Points:
    """Knowledge points by the configured way, the best first, at most `config.points` each.

    Args:
        write: what a model writes to each prompt; None where it could write nothing. Needed for
            ``points_by="model"`` only. Where it names nothing, keyphrases take its place.
    """
    if config.points_by == "question":
        return Points(tuple((each.question,) for each in questions))
    phrases = tuple(knowledge_points(each, config.points) for each in questions)
    if config.points_by == "keyphrase":
        return Points(phrases)
    assert write is not None
    written = write([_prompt(each, config.points) for each in questions])
    named = [
        concepts(text or "", question, config.points)
        for text, question in zip(written, questions, strict=True)
    ]
    return Points(
        tuple(own or other for own, other in zip(named, phrases, strict=True)),
        sum(not own for own in named),
    )


def concepts(written: str, question: Question, limit: int) -> tuple[str, ...]:
    """The concepts that a text lists, one a line; none if it holds no list of them.

    A line counts if it has at most eight words, is neither the question nor a letter, and is in
    Chinese only if the question is.
    """
    found: dict[str, str] = {}
    for line in written.splitlines():
        concept = _BULLET.sub("", line).strip(" \t.,;:。，；：*\"'")
        size = len(words(concept))
        strange = is_chinese(concept) and not is_chinese(question.question)
        if not 0 < size <= LONGEST or strange or _LETTER.match(concept):
            continue
        if normalised(concept) != normalised(question.question):
            found.setdefault(normalised(concept), concept)
    return tuple(found.values())[:limit]


def _prompt(question: Question, limit: int) -> str:
    form = _CHINESE if is_chinese(question.question) else _ENGLISH
    return form.format(limit=limit, stem=question.question, answer=question.gold)
