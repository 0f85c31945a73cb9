"""What to look up about a question: its keyphrases, its stem, or what a model names.

Sees the questions it is handed, which are mistakes of the source pool; how a model writes is the
business of whoever hands it in.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from cem_lightning.mistakes.config import MistakesConfig
from cem_lightning.mistakes.points import knowledge_points
from cem_lightning.questions.normalise import is_chinese, normalised, words
from cem_lightning.questions.records import Question

Write = Callable[[Sequence[str]], Sequence[str | None]]

LONGEST = 8  # words of a concept
LISTED = 64  # tokens of a list of concepts that the model under training writes
ATTEMPTS = 2  # at a list

_ENGLISH = (
    "Name the {limit} concepts that one must know to answer this question, {form}"
    "\n\nQuestion: {stem}\nAnswer: {answer}"
)
_CHINESE = "请列出回答这个问题必须了解的{limit}个概念，{form}\n\n问题：{stem}\n答案：{answer}"
# small models can write lines, large ones JSON; and what each is told if it has not
_LINES = (
    "one in a line, in a few words each, without explanation.",
    "每行一个，只写几个字，不要解释。",
)
_JSON = (
    'in a few words each. Respond with JSON alone, of the form ["...", "..."].',
    '每个只写几个字。只输出JSON，格式为["...", "..."]。',
)
_AGAIN = ("Write the list and nothing else.", "只写列表，不要写其他内容。")
_LIST = TypeAdapter(list[str])
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.)、:：])\s*")
_NO_CONCEPT = re.compile(r"^[A-Za-z][.)]?$|[\[\]{}]")  # a letter, or pieces of JSON


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
        write: what a model writes to each prompt; None where it could write nothing. Needed if
            `config.points_by` is a model. Where it names nothing it is asked once more, and where
            it names nothing then, keyphrases take its place.
    """
    if config.points_by == "question":
        return Points(tuple((each.question,) for each in questions))
    phrases = tuple(knowledge_points(each, config.points) for each in questions)
    if config.points_by == "keyphrase":
        return Points(phrases)
    assert write is not None
    prompts = [prompt(each, config) for each in questions]
    named = [
        concepts(text or "", question, config.points)
        for text, question in zip(write(prompts), questions, strict=True)
    ]
    unnamed = [at for at, own in enumerate(named) if not own]
    again = write([f"{prompts[at]}\n\n{_worded(_AGAIN, questions[at])}" for at in unnamed])
    for at, text in zip(unnamed, again, strict=True):
        named[at] = concepts(text or "", questions[at], config.points)
    return Points(
        tuple(own or other for own, other in zip(named, phrases, strict=True)),
        sum(not own for own in named),
    )


def concepts(written: str, question: Question, limit: int) -> tuple[str, ...]:
    """The concepts that a text lists, as JSON or one a line; none if it holds no list of them.

    One counts if it has at most eight words and no brackets, is neither the question nor a letter,
    and is in Chinese only if the question is.
    """
    found: dict[str, str] = {}
    for line in _listed(written):
        concept = _BULLET.sub("", line).strip(" \t.,;:。，；：*\"'")
        size = len(words(concept))
        strange = is_chinese(concept) and not is_chinese(question.question)
        if not 0 < size <= LONGEST or strange or _NO_CONCEPT.search(concept):
            continue
        if normalised(concept) != normalised(question.question):
            found.setdefault(normalised(concept), concept)
    return tuple(found.values())[:limit]


def _listed(written: str) -> list[str]:
    """The strings of a JSON list, or else lines."""
    start, end = written.find("["), written.rfind("]")
    if 0 <= start < end:
        with contextlib.suppress(ValidationError):
            return _LIST.validate_json(written[start : end + 1])
    return written.splitlines()


def prompt(question: Question, config: MistakesConfig) -> str:
    """What a model is asked about a question."""
    form = _worded(_JSON if config.points_by == "endpoint" else _LINES, question)
    return _worded((_ENGLISH, _CHINESE), question).format(
        limit=config.points, form=form, stem=question.question, answer=question.gold
    )


def _worded(wordings: tuple[str, str], question: Question) -> str:
    """In English or in Chinese, as the question is."""
    return wordings[is_chinese(question.question)]
