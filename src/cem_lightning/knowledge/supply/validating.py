"""Which synthetic texts may be learned from: those that claim nothing their passage does not.

Compares wording, numbers, names and negations. Whether causes and the rest are as in the passage
cannot be told so; whether a text holds a test question is the business of `decontamination`.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from cem_lightning.knowledge.cleaning import language_of, repetition
from cem_lightning.knowledge.records import Passage
from cem_lightning.knowledge.supply.claims import names, negations, numbers
from cem_lightning.knowledge.supply.kinds import Task, in_chinese
from cem_lightning.knowledge.supply.records import Reason
from cem_lightning.questions.normalise import is_chinese, normalised, words

LONGEST = 2  # times the words of the passage
Fault = tuple[Reason, str]

_ECHOED = 6  # words in a row of a request that are no chance
_STEM = 5  # words of the shortest stem that is looked for
_IDENTIFIABLE = 20  # words from which a language is told

_MARKUP = re.compile(
    r"<\|[^|\n]{1,40}\|>|</?[a-z_]+>|<<SYS>>|\[/?INST\]|```|\*\*|^#{1,6} |^[-*•] |\\n", re.I | re.M
)
_REFUSAL = re.compile(
    r"\bas an ai\b|\blanguage model\b|\bi(?:'m| am) (?:sorry|unable|not able)\b|\bi apologi[sz]e\b"
    r"|\b(?:i|we) (?:cannot|can't|can not|won't|will not)\b"
    r"|抱歉|对不起|我(?:无法|不能)|作为(?:一[个名])?(?:ai|人工智能|语言模型)"
)
# a remark about the text in place of it
_REMARK = re.compile(
    r"\A\W*(?:sure|certainly|of course|okay|here(?:'s| is| are))\b[^\n]{0,100}[:!]"
    r"|\A\W*(?:\w+ ){0,2}(?:passage|rewrite|version|answer) ?:"
    r"|\b(?:the|this) (?:passage|text|article|question)\b"
    r"|\A\W*(?:好的|当然|以下是|下面是)|\A\W*(?:\w{0,4})(?:段落|版本|答案) ?[:：]"
    r"|(?:本|该|这[个段篇]?)(?:段落|文章|短文|问题)"
)
_FENCE = "```"


class _Pair(BaseModel):
    model_config = ConfigDict(extra="forbid")

    question: Annotated[str, StringConstraints(strip_whitespace=True)]
    answer: Annotated[str, StringConstraints(strip_whitespace=True)]


_PAIRS = TypeAdapter(list[_Pair])


def fault_of(task: Task, text: str) -> Fault | None:
    """Why a paraphrase or a focus is not let in, with what was found; None if it is."""
    if fault := _wording(task, text):
        return fault
    parent = task.passage.text
    if normalised(text) == normalised(parent):
        return "copy", "the passage itself"
    own, most = len(words(text)), LONGEST * len(words(parent))
    if own > most:
        return "too_long", f"{own} words, at most {most}"
    if told := repetition(text, words(text)):
        return "repetitive", told
    return _language(text, parent) or _claims(text, task.passage)


def pair_fault(task: Task, question: str, answer: str) -> Fault | None:
    """Why a question with its answer is not let in, with what was found; None if it is."""
    parent = task.passage.text
    if not words(answer):
        return "empty", "no answer"
    if fault := _wording(task, question):
        return fault
    if not _stated(answer, parent):
        return "not_stated", answer[:100]
    if in_chinese(question) != in_chinese(parent):
        return "language", "Chinese" if in_chinese(question) else "not Chinese"
    return _claims(question, task.passage)


def pairs(written: str) -> list[tuple[str, str]]:
    """The questions with answers that a model has written as JSON, in a fence or not.

    Raises:
        ValueError: if it is no list of them, or an empty one; the message says what is wrong.
    """
    text = written.strip()
    if text.startswith(_FENCE) and text.endswith(_FENCE):
        text = text.removeprefix(_FENCE).removesuffix(_FENCE).removeprefix("json")
    try:
        found = _PAIRS.validate_json(text.strip())
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()) from None
    if not found:
        raise ValueError("an empty list")
    return [(each.question, each.answer) for each in found]


def _wording(task: Task, text: str) -> Fault | None:
    """What shows that it was a model that wrote, and not what it was asked for."""
    tokens = words(text)
    if not tokens:
        return "empty", ""
    parent = task.passage.text
    if found := _strange(_MARKUP, text, parent):
        return "markup", found
    if found := _strange(_REFUSAL, _plain(text), _plain(parent)):
        return "refusal", found
    if found := _strange(_REMARK, _plain(text), _plain(parent)):
        return "echo", found
    known = words(parent)
    for run, size in (
        (words(task.form), _ECHOED),
        (words(task.stem), max(_STEM, len(words(task.stem)))),
    ):
        echoed = _runs(run, size) & _runs(tokens, size) - _runs(known, size)
        if echoed:
            return "echo", " ".join(min(echoed))
    return None


def _language(text: str, parent: str) -> Fault | None:
    if in_chinese(text) != in_chinese(parent):
        return "language", "Chinese" if in_chinese(text) else "not Chinese"
    if min(len(words(text)), len(words(parent))) >= _IDENTIFIABLE:
        own, other = language_of(text), language_of(parent)
        if own != other:
            return "language", f"{own}, not {other}"
    return None


def _claims(text: str, passage: Passage) -> Fault | None:
    parent = passage.text
    if new := numbers(text) - numbers(parent):
        return "figure", ", ".join(sorted(new))
    if new := names(text) - {"i", *words(f"{passage.title} {parent}")}:
        return "name", ", ".join(sorted(new))
    denied, known = negations(text), negations(parent)
    if len(denied) > len(known):
        return "negation", f"{' '.join(denied)}, against {' '.join(known) or 'none'}"
    return None


def _stated(answer: str, parent: str) -> bool:
    """Whether an answer stands in a passage, in whole words of a script that has them."""
    own, whole = normalised(answer), normalised(parent)
    return own in whole if is_chinese(own) else f" {own} " in f" {whole} "


def _strange(pattern: re.Pattern[str], text: str, parent: str) -> str:
    """What a pattern finds in a text but not in its passage, "" if nothing."""
    found = (each.group() for each in pattern.finditer(text))
    return next((each for each in found if each not in parent), "")


def _plain(text: str) -> str:
    return text.casefold().replace("’", "'")


def _runs(tokens: tuple[str, ...], size: int) -> set[tuple[str, ...]]:
    return {tokens[at : at + size] for at in range(len(tokens) - size + 1)}
