"""What is asked: synthetic questions as long as MMLU's, and items that are awkward to tokenise.

The same seed gives the same texts. They mean nothing; only their lengths and forms matter.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cem_lightning.models.encoding import common_prefix

Ids = tuple[int, ...]
Method = Literal["cloze", "letters"]

_LETTERS = "ABCD"
_SCENES = (
    "A {age}-year-old {job} reports {sign} that began {days} days ago, shortly after a change of "
    "{cause}. Measurements taken in the morning show {value} {unit}, which is {trend} than the "
    "reference of the laboratory",
    "In an experiment a sealed vessel holds {value} {unit} of a gas while its surroundings are "
    "kept at {age} degrees. After {days} hours the observer notices {sign}, and ascribes it to the "
    "{cause}, although the gauge reads {trend} than at the start",
    "A contract between a {job} and a supplier obliges the latter to deliver {value} {unit} of "
    "goods within {days} weeks. The delivery arrives late because of the {cause}, its quality is "
    "{trend} than agreed, and the buyer complains of {sign}",
    "Between 18{days} and 19{age} the production of a region grew by {value} {unit} a year. A "
    "{job} who studied the records explained the growth by the {cause}, whereas later "
    "writers pointed to {sign} and found the effect {trend} than had been believed",
)
_SLOTS = {
    "job": ("carpenter", "teacher", "chemist", "merchant", "surveyor", "musician"),
    "sign": ("a dull pressure", "an unusual colour", "repeated failures", "a slow decline"),
    "cause": ("diet", "temperature", "supply route", "legislation", "catalyst", "climate"),
    "unit": ("litres", "millimetres of mercury", "tons", "units", "kilograms", "per cent"),
    "trend": ("lower", "much higher", "slightly lower", "no higher", "more variable"),
}
_ASKED = (
    "Which of the following is the most likely explanation of what is described here?",
    "Which of these statements follows from the facts given, and from nothing else?",
    "What should be examined next, if only one of the following can be chosen?",
)
_OPTIONS = (
    ("a gradual loss of", "an increase in", "the complete absence of", "a sudden change in"),
    ("pressure", "oxygen supply", "legal capacity", "exchange", "solubility", "demand", "tension"),
    ("within the outer layer", "on both sides", "after the first phase", "at low temperature"),
)


@dataclass(frozen=True)
class Item:
    """A text and its continuations, as both scorers get them."""

    context: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A stem with four choices and the position of the right one."""

    stem: str
    choices: tuple[str, ...]
    answer: int

    def rotated(self, by: int) -> Question:
        """The same question under another cyclic order of its choices."""
        by %= len(self.choices)
        order = self.choices[by:] + self.choices[:by]
        return Question(self.stem, order, (self.answer - by) % len(self.choices))

    def prompt(self, method: Method) -> str:
        """The question up to where its answer begins, without a space at the end."""
        listed = zip(_LETTERS, self.choices, strict=True) if method == "letters" else ()
        lines = [f"Question: {self.stem}", *(f"{letter}. {text}" for letter, text in listed)]
        return "\n".join([*lines, "Answer:"])

    def responses(self, method: Method) -> tuple[str, ...]:
        """What each choice is scored by."""
        return tuple(
            f" {text}"
            for text in (self.choices if method == "cloze" else _LETTERS[: len(self.choices)])
        )


def questions(count: int, seed: int) -> list[Question]:
    """Stems of some 75 tokens, choices of some 8."""
    draw = random.Random(f"{seed}:questions")
    made = []
    for _ in range(count):
        slots = {name: draw.choice(texts) for name, texts in _SLOTS.items()}
        numbers = {
            "age": draw.randrange(20, 90),
            "days": draw.randrange(10, 99),
            "value": draw.randrange(100, 9999) / 10,
        }
        stem = f"{draw.choice(_SCENES).format(**slots, **numbers)}. {draw.choice(_ASKED)}"
        choices: list[str] = []
        while len(choices) < 4:
            choice = " ".join(draw.choice(part) for part in _OPTIONS)
            if choice not in choices:
                choices.append(choice)
        made.append(Question(stem, tuple(choices), draw.randrange(4)))
    return made


def items(asked: Sequence[Question], method: Method, shots: Sequence[Question] = ()) -> list[Item]:
    """The questions behind the same solved examples."""
    solved = "".join(
        f"{each.prompt(method)}{each.responses(method)[each.answer]}\n\n" for each in shots
    )
    return [Item(solved + each.prompt(method), each.responses(method)) for each in asked]


def short_items(count: int, seed: int) -> list[Item]:
    """One line each: half with the same four letters, half with choices of several tokens."""
    draw = random.Random(f"{seed}:short items")
    made = []
    for at in range(count):
        unit, cause = draw.choice(_SLOTS["unit"]), draw.choice(_SLOTS["cause"])
        context = f"Question: What of {draw.randrange(10**4)} {unit} is due to {cause}?\nAnswer:"
        texts = [" ".join(draw.choice(part) for part in _OPTIONS[:2]) for _ in range(6)]
        choices = _LETTERS if at % 2 else list(dict.fromkeys(texts))[:3]
        made.append(Item(context, tuple(f" {each}" for each in choices)))
    return made


def awkward_items(count: int, seed: int) -> list[Item]:
    """Spaces, Chinese, emoji, numbers, choices that begin one another, tokens across the join."""
    draw = random.Random(f"{seed}:awkward items")
    kinds = (_spaced, _chinese, _emoji, _numbers, _nested, _joined)
    return [kinds[at % len(kinds)](draw) for at in range(count)]


def _spaced(draw: random.Random) -> Item:
    """Spaces in front of, behind and within the choices, line breaks, tabs."""
    word, other = draw.sample(_SLOTS["cause"], 2)
    gap = draw.choice(("  ", "   ", "\n", "\n\n", "\t", " \n", "\u00a0", "\u3000"))
    context = f"Answer {draw.randrange(99)}:"
    if draw.random() < 0.5:
        return Item(f"{context} ", (word, f"{word}{gap}", f"{word}{gap}{other}", other))
    return Item(context, (f"{gap}{word}", f" {word}{gap}", f" {word}{gap}{other}", gap + gap))


def _chinese(draw: random.Random) -> Item:
    subject = draw.choice(("水的沸点", "宋朝的首都", "细胞的能量", "光的速度", "《红楼梦》的作者"))
    texts = ("一百摄氏度", "开封", "线粒体", "每秒三十万公里", "曹雪芹", "开封府,今河南", "𠮷野家")
    context = f"问题{draw.randrange(99)}:{subject}是什么?\n答案:"
    return Item(context, tuple(draw.sample(texts, 4)))


def _emoji(draw: random.Random) -> Item:
    signs = (
        "🙂",
        "👩\u200d🔬",
        "🇫🇷",
        "👍🏽",
        "❤\ufe0f",
        "🙂🙂",
        "🧪 test",
        "e\u0301te\u0301",
        "ﬁn",
    )
    sign = draw.choice(signs)
    return Item(
        f"Mood {sign}{draw.randrange(99)} is", tuple(f" {x}" for x in draw.sample(signs, 4))
    )


def _numbers(draw: random.Random) -> Item:
    number = draw.randrange(10, 10**6)
    texts = (
        f" {number}",
        f" {number}.0",
        f" {number:,}",
        f" -{number}",
        f" {number}%",
        f"{number}",
    )
    return Item(f"{draw.randrange(10**5)} + {draw.randrange(999)} =", tuple(draw.sample(texts, 4)))


def _nested(draw: random.Random) -> Item:
    """Every choice is the beginning of the next."""
    words = [draw.choice(_SLOTS[kind]) for kind in ("cause", "job", "unit", "trend")]
    choices = tuple(" " + " ".join(words[: at + 1]) for at in range(4))
    return Item(f"Case {draw.randrange(999)}, in short:", choices)


def _joined(draw: random.Random) -> Item:
    """The context breaks off within a word, so that a token may span the join."""
    stem, ends = draw.choice(
        (
            ("The Ans", ("wer", "werable", "chluss", "el")),
            ("It was unbeliev", ("able", "ably", "ing", "er")),
            ("In 19", ("45", "4", "99 and later", "0")),
            ("An inter", ("national", "nationally", "net", "est")),
            ("He said so.", (".", "..", "\n", " And")),
        )
    )
    return Item(f"Note {draw.randrange(999)}: {stem}", ends)


@dataclass(frozen=True)
class Encoded:
    """Items as token ids: contexts, and for each its choices tokenised together with it."""

    prompts: tuple[Ids, ...]
    continuations: tuple[tuple[Ids, ...], ...]

    def part(self, positions: Sequence[int]) -> Encoded:
        """Some of the items, in this order."""
        return Encoded(
            tuple(self.prompts[at] for at in positions),
            tuple(self.continuations[at] for at in positions),
        )

    def split(self, position: int) -> int:
        """Where an item's scores begin: behind what the context and all its choices share."""
        full = self.continuations[position]
        shared = min(common_prefix(self.prompts[position], ids) for ids in full)
        return min(shared, *(len(ids) - 1 for ids in full))

    def spans(self, position: int) -> bool:
        """Whether a token spans the join of the item's context and a choice."""
        return self.split(position) < len(self.prompts[position])


def encode(asked: Sequence[Item], tokenizer: Any) -> Encoded:
    """Context and choice tokenised jointly, without begin or end of text."""

    def ids(text: str) -> Ids:
        return tuple(tokenizer.encode(text, add_special_tokens=False))

    return Encoded(
        tuple(ids(each.context) for each in asked),
        tuple(tuple(ids(each.context + choice) for choice in each.choices) for each in asked),
    )
