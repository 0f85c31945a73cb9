"""Whether a text holds a question of `heldout` or `ood`: such a text must not be trained on.

A text that states the fact a question asks for is no leak. Paraphrases beyond a word or two are
not found.
"""

from __future__ import annotations

import html
import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from cem_lightning.knowledge.alignment import GAP, Place, Tokens, aligned, has_gap, tokens_of
from cem_lightning.questions.normalise import is_unspaced, words
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import Question

LONG = 13
RUN = 8
RUN_SHARE = 0.5
COVERED = 0.8
ASKED, SHORTEST, LONGEST = 3, 5, 60
TEMPLATE_COUNT, TEMPLATE_SHARE, COMMON_SHARE = 5, 0.01, 0.1

_TAG = re.compile(r"</?[A-Za-z][^<>]{0,300}>")
_LINK = re.compile(r"\[([^\[\]\n]{0,300})\]\([^()\s]{0,300}\)")  # of Markdown
_HYPHENATED = re.compile(r"(?<=[^\W\d_])-\n[ \t]*(?=[^\W\d_])")

Rule = Literal["13-gram", "longest run", "same question", "reworded question"]


@dataclass(frozen=True)
class Leak:
    """A question found in a text.

    Attributes:
        question: its id.
        rule: "13-gram" and "longest run" (at least 8 words and half of the question in one run)
            for stems of 13 words and more; "same question", a sentence equal to the stem;
            "reworded question", at least 80% of the stem's words in place.
        share: of the stem's words that were found in place, 0 to 1.
    """

    question: str
    pool: str
    rule: Rule
    share: float


@dataclass(frozen=True)
class _Item:
    question: Question
    pool: str
    tokens: Tokens
    words: tuple[str, ...]
    rarest: tuple[str, ...]
    generic: bool

    @cached_property
    def distinct(self) -> frozenset[str]:
        return frozenset(self.tokens.words)

    @cached_property
    def allowed(self) -> int:
        """Edits of words that are still the same question."""
        return max(1, int((1 - COVERED) * len(self.stem) + 1e-9))

    @property
    def stem(self) -> tuple[str, ...]:
        return self.tokens.words


class LeakIndex:
    """All questions of all pools, ready to be found in texts.

    Frequencies are counted over the stems of all pools. N-grams that stand in more than 5 stems
    (or 1% of them) are templates and those of source stems are meant to be trained on; neither
    tells of a leak. A stem that several questions share, or whose every word is in 10% of the stems
    ("Which of these is true?"), leaks only together with its answer.
    """

    def __init__(self, pools: Pools) -> None:
        stems = [
            (name, question, tokens_of(question.question))
            for name, pool in (*pools.items(), ("gate", pools.gate))
            for question in pool
        ]
        self._template = max(TEMPLATE_COUNT, TEMPLATE_SHARE * len(stems))
        self._common = max(TEMPLATE_COUNT, COMMON_SHARE * len(stems))
        self._repeated = Counter(tokens.words for *_, tokens in stems)
        frequency = Counter(word for *_, tokens in stems for word in dict.fromkeys(tokens.words))
        items = [self._item(*each, frequency) for each in stems if each[2].words]
        self._guarded = [item for item in items if item.pool != "source"]
        self._source: dict[str, list[_Item]] = {}
        self._by_word: dict[str, list[int]] = {}
        self._by_sentence: dict[tuple[str, ...], list[int]] = {}
        for item in items:
            if item.pool == "source":
                for word in item.rarest:
                    self._source.setdefault(word, []).append(item)
        for number, item in enumerate(self._guarded):
            self._by_sentence.setdefault(item.stem, []).append(number)
            for word in item.rarest:
                self._by_word.setdefault(word, []).append(number)
        self._runs = {size: self._telling(items, size) for size in (RUN, LONG)}

    def find(self, text: str) -> list[Leak]:
        """The guarded questions that a text holds, in the order of the pools, each once.

        Searched as it stands, and as a reader would see it.
        """
        found = self._find(text)
        if (seen := as_read(text)) != text:
            found = self._find(seen) | found
        return [found[number] for number in sorted(found)]

    def _find(self, text: str) -> dict[int, Leak]:
        in_words = words(text)
        found = self.copied(in_words)
        if not (is_unspaced(text) or has_gap(text) or self._near(frozenset(in_words))):
            return found
        tokens = tokens_of(text)
        held = _Held(f" {' '.join(tokens.words)} ", frozenset(tokens.words))
        for sentence in tokens.sentences():
            for number in self._by_sentence.get(sentence, ()):
                item = self._guarded[number]
                if number not in found and (not item.generic or held.gold(item.question)):
                    found[number] = _leak(item, "same question", 1.0)
        for number in self._near(held.words):
            if number not in found and (place := self._reworded(number, tokens, held)):
                item = self._guarded[number]
                share = 1 - place.distance / len(item.stem)
                found[number] = _leak(item, "reworded question", share)
        return found

    def copied(self, text: tuple[str, ...]) -> dict[int, Leak]:
        """The long questions that a text in words holds a run of, by n-grams alone."""
        found: dict[int, Leak] = {}
        for number, length in self._long(text):
            item = self._guarded[number]
            rule: Rule = "13-gram" if length >= LONG else "longest run"
            found[number] = _leak(item, rule, length / len(item.words))
        return found

    def _item(
        self, pool: str, question: Question, tokens: Tokens, frequency: Counter[str]
    ) -> _Item:
        distinct = [word for word in dict.fromkeys(tokens.words) if word != GAP]
        least = min((frequency[word] for word in distinct), default=math.inf)
        rarest = tuple(word for word in distinct if frequency[word] == least)
        generic = self._repeated[tokens.words] > 1 or least > self._common
        return _Item(question, pool, tokens, words(question.question), rarest, generic)

    def _telling(self, items: list[_Item], size: int) -> dict[tuple[str, ...], list[int]]:
        """The n-grams of long guarded stems that tell of a leak, with the numbers of the items."""
        stems: Counter[tuple[str, ...]] = Counter()
        taught: set[tuple[str, ...]] = set()
        for item in items:
            grams = dict.fromkeys(_grams(item.words, size))
            stems.update(grams.keys())
            if item.pool == "source":
                taught.update(grams)
        postings: dict[tuple[str, ...], list[int]] = {}
        for number, item in enumerate(self._guarded):
            if len(item.words) >= LONG:
                for gram in dict.fromkeys(_grams(item.words, size)):
                    if stems[gram] <= self._template and gram not in taught:
                        postings.setdefault(gram, []).append(number)
        return postings

    def _long(self, text: tuple[str, ...]) -> list[tuple[int, int]]:
        """Long items with the longest run of their words in the text, where that is a leak."""
        longest: dict[int, int] = {}
        running: dict[int, int] = {}
        known = self._runs[RUN].get
        for gram in _grams(text, RUN):
            here = known(gram)
            if here is None:
                if running:
                    running = {}
                continue
            running = {number: running.get(number, RUN - 1) + 1 for number in here}
            for number, length in running.items():
                longest[number] = max(length, longest.get(number, 0))
        if longest:
            for gram in _grams(text, LONG):
                for number in self._runs[LONG].get(gram, ()):
                    longest[number] = max(LONG, longest.get(number, 0))
        return [
            (number, length)
            for number, length in longest.items()
            if length >= LONG or length >= RUN_SHARE * len(self._guarded[number].words)
        ]

    def _near(self, present: frozenset[str]) -> list[int]:
        """Items one of whose rarest words is among these, and most of the others too."""
        known = self._by_word
        found = {number for word in present & known.keys() for number in known[word]}
        items = ((number, self._guarded[number]) for number in found)
        return sorted(
            number for number, item in items if len(item.distinct - present) <= item.allowed
        )

    def _reworded(self, number: int, tokens: Tokens, held: _Held) -> Place | None:
        """Where the text holds most of a stem in order, as the question rather than the fact.

        A statement with its gap filled in is the fact; with the gap, a question mark or the wrong
        choices it is the question. So is a stem of at least five words that itself asks, and a
        shorter one word for word with its gap; one of fewer than three is told by its choices only.
        """
        item = self._guarded[number]
        allowed = item.allowed
        if len(item.stem) > LONGEST:  # an edit or two leaves 13 words in a row
            return None
        listed = held.choices(item.question)
        if len(item.stem) < ASKED and not listed:
            return None
        if item.generic and not held.gold(item.question):
            return None
        for place in aligned(item.stem, tokens.words, allowed, item.rarest):
            if not (listed or place.end in tokens.asked):
                gap = GAP in tokens.words[place.start : place.end]
                whole = gap and place.distance == 0
                told = len(item.stem) >= SHORTEST and (item.tokens.interrogative or gap)
                if not (whole or told):
                    continue
            if not self._closer_to_source(place, tokens):
                return place
        return None

    def _closer_to_source(self, place: Place, tokens: Tokens) -> bool:
        """Whether the words at a place are rather a question that may be trained on."""
        if place.distance == 0:
            return False
        window = tokens.words[max(0, place.start - 1) : place.end + 1]
        seen = {id(item): item for word in window for item in self._source.get(word, ())}
        return any(
            aligned(item.stem, window, place.distance, item.rarest) for item in seen.values()
        )


@dataclass(frozen=True)
class _Held:
    """What a text holds, for questions about single words and phrases."""

    text: str
    words: frozenset[str]

    def gold(self, question: Question) -> bool:
        return self._phrase(question.gold)

    def choices(self, question: Question) -> bool:
        """Whether two wrong choices, or the only one, stand in the text."""
        wrong = [choice for choice in question.choices if choice != question.gold]
        return bool(wrong) and sum(map(self._phrase, wrong)) >= min(2, len(wrong))

    def _phrase(self, phrase: str) -> bool:
        return f" {' '.join(tokens_of(phrase).words)} " in self.text


def as_read(text: str) -> str:
    """A text without what only a program sees: entities, tags, targets of links, broken words."""
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAG.sub("", text)
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    return _HYPHENATED.sub("", text) if "-\n" in text else text


def _grams(tokens: tuple[str, ...], size: int) -> list[tuple[str, ...]]:
    return [tokens[at : at + size] for at in range(len(tokens) - size + 1)]


def _leak(item: _Item, rule: Rule, share: float) -> Leak:
    return Leak(item.question.id, item.pool, rule, round(share, 4))
