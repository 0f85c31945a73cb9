"""Reading comprehension out of raw text by rules: what a connector joins becomes a question.

After AdaptLLM (Cheng et al. 2024, arXiv 2309.09530), offline and without a model. A response is a
stretch of the text, so that it says nothing the text does not; whether that is right, and how texts
and items are trained on, is the business of whoever asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cem_lightning.knowledge.cutting import sentences
from cem_lightning.knowledge.supply.kinds import in_chinese
from cem_lightning.knowledge.supply.reading_rules import (
    CHINESE,
    ENGLISH,
    Language,
    ReadingKind,
    Rule,
)
from cem_lightning.questions.normalise import words
from cem_lightning.storage.digests import digest_value

MOST = 2  # items of a kind, as AdaptLLM has them
SHORTEST, LONGEST = 3, 60  # words of what is asked about, and of a response

_PARAGRAPH = re.compile(r"\n[ \t]*\n")


@dataclass(frozen=True)
class ReadingItem:
    """Something to be done with a text, which stands before it.

    Attributes:
        response: a stretch of the text.
    """

    kind: ReadingKind
    instruction: str
    response: str


def reading_items(text: str, title: str, seed: int) -> tuple[ReadingItem, ...]:
    """What the rules find in a text, by kind; at most two items of each.

    Args:
        title: asked for if the text itself names it; "" if there is none.
        seed: draws which ones, and how they are worded; the same for the same text and seed.
    """
    language = CHINESE if in_chinese(text) else ENGLISH
    draw = _Draw(seed, text)
    read = _read(text)
    found = [*_joined(read, language, draw)]
    said = tuple(item.response for item in found)
    found += [item for item in _going_on(read, language, draw) if not item.response.endswith(said)]
    chosen = [*_about(text, title, language, draw)]
    for kind in dict.fromkeys(item.kind for item in found):
        most = 1 if kind == "completion" else MOST
        chosen += draw.some([item for item in found if item.kind == kind], most)
    return tuple(chosen)


class _Draw:
    """Chances that depend on the seed, the text and what is drawn, and on nothing else."""

    def __init__(self, seed: int, text: str) -> None:
        self._seed = digest_value([seed, text])

    def one(self, options: Sequence[str], about: str) -> str:
        return options[self._number(about) % len(options)]

    def some(self, items: Sequence[ReadingItem], most: int) -> list[ReadingItem]:
        """Different items of the lowest numbers, in their order."""
        unique = dict.fromkeys(items)
        ranked = sorted(unique, key=lambda item: self._number(item.instruction))[:most]
        return [item for item in unique if item in ranked]

    def _number(self, about: str) -> int:
        return int(digest_value([self._seed, about])[:12], 16)


def _read(text: str) -> list[tuple[str, str]]:
    """Each sentence behind the one before it in its paragraph, "" if it is the first."""
    found = []
    before, began = "", 0
    for start, end in sentences(text):
        sentence = text[start:end].strip()
        apart = _PARAGRAPH.search(text[began:end].strip())
        found.append(("" if apart else before, sentence))
        before, began = sentence, start
    return found


def _joined(
    read: Sequence[tuple[str, str]], language: Language, draw: _Draw
) -> Iterator[ReadingItem]:
    """What connectors and definitions join; a sentence is asked about by one rule alone."""
    for before, sentence in read:
        items = (_item(rule, sentence, before, draw) for rule in language.rules)
        if item := next((each for each in items if each), None):
            yield item


def _item(rule: Rule, sentence: str, before: str, draw: _Draw) -> ReadingItem | None:
    found = rule.pattern.fullmatch(sentence)
    if found is None:
        return None
    named = "premise" in rule.pattern.groupindex
    premise, said = found["premise"] if named else before, found["said"].strip()
    term = rule.kind == "word_to_text"
    if not (premise.strip() if term else _telling(premise)) or not _telling(said):
        return None
    return ReadingItem(rule.kind, _worded(rule.wordings, premise, draw), said)


def _going_on(
    read: Sequence[tuple[str, str]], language: Language, draw: _Draw
) -> Iterator[ReadingItem]:
    """Sentences after the ones that come before them."""
    for before, sentence in read:
        if _telling(before) and _telling(sentence):
            yield ReadingItem("completion", _worded(language.going_on, before, draw), sentence)


def _about(text: str, title: str, language: Language, draw: _Draw) -> Iterator[ReadingItem]:
    """What the text is about, in its own spelling of the title."""
    edges = ("", "") if language is CHINESE else (r"(?<!\w)", r"(?!\w)")
    found = re.search(re.escape(title.strip()).join(edges), text, re.I) if title.strip() else None
    if found:
        yield ReadingItem("summary", draw.one(language.about, title), found.group())


def _worded(wordings: Sequence[str], premise: str, draw: _Draw) -> str:
    premise = " ".join(premise.split())
    return draw.one(wordings, premise).format(premise=premise)


def _telling(stretch: str) -> bool:
    return SHORTEST <= len(words(stretch)) <= LONGEST
