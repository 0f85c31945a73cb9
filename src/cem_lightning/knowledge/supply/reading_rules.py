"""Connectors of English and Chinese, and how a reader is asked about what they join.

Tables alone: `reading` applies them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

ReadingKind = Literal[
    "summary", "word_to_text", "inference", "commonsense", "paraphrase", "opposite", "completion"
]


@dataclass(frozen=True)
class Rule:
    """What a sentence must look like, and what is asked about it.

    Attributes:
        pattern: of a sentence. Its group `said` is the response. What the instruction is about is
            its group `premise`; without one, the sentence before it.
        wordings: of the instruction; one is drawn.
    """

    kind: ReadingKind
    pattern: re.Pattern[str]
    wordings: tuple[str, ...]


@dataclass(frozen=True)
class Language:
    """All rules of one language.

    Attributes:
        about: wordings that ask for a text's title.
        going_on: wordings that ask for the sentence after another.
    """

    rules: tuple[Rule, ...]
    about: tuple[str, ...]
    going_on: tuple[str, ...]


def _opening(connectors: str) -> re.Pattern[str]:
    """A sentence that opens with a connector and a comma, or with one that needs none."""
    return re.compile(rf"(?:{connectors}) (?P<said>.+)", re.S)


# opens a sentence whose subject stands in another, or is not what stands first
_NO_TERM = """
    A Above After All Although Among An And Another Any As At Because Before Below Both But By
    During Each Every Following For From He Her Here His I If In It Its Many Most My None Not On One
    Only Or Our She Since So Some Such That The Their Then There These They This Those Today Under
    Until We What When Where Which While Who With Yet You Your
"""
_TERM = rf"(?!(?:{'|'.join(_NO_TERM.split())})\b)(?P<premise>\w[\w'’-]*(?: [\w'’-]+){{0,4}}?)"
_IS = r"(?:is|are) (?:an? |any |(?:defined|described|known) as |the \w+ of )"
_MEANS = r"(?:refers to|denotes|means) "

ENGLISH = Language(
    rules=(
        Rule(
            "word_to_text",
            re.compile(rf"(?P<said>(?:The (?=[A-Z])|An? )?{_TERM} {_IS}.+)", re.S),
            ("What is meant by {premise}?", "Define: {premise}", "Explain the term {premise}."),
        ),
        Rule(
            "word_to_text",
            re.compile(rf"(?P<said>(?:The (?:term|word) )?[\"“]?{_TERM}[\"”]? {_MEANS}.+)", re.S),
            ("What does {premise} mean?", "Define: {premise}"),
        ),
        Rule(
            "inference",
            _opening("Therefore,?|Thus,?|Hence,?|Accordingly,|It follows that"),
            (
                'What follows from this?\n"{premise}"',
                'Write a sentence that this statement supports.\n"{premise}"',
            ),
        ),
        Rule(
            "inference",
            _opening("However,|Nevertheless,?|Nonetheless,?|On the other hand,|Yet,"),
            (
                'What limits or contradicts this statement?\n"{premise}"',
                'Which reservation is made about this?\n"{premise}"',
            ),
        ),
        Rule(
            "inference",
            _opening("Moreover,?|Furthermore,?|In addition,|Additionally,|Besides,|Also,"),
            (
                'What is added to this statement?\n"{premise}"',
                'Name another fact that goes with this one.\n"{premise}"',
            ),
        ),
        Rule(
            "commonsense",
            _opening(
                "As a result,?|As a consequence,|Consequently,|For this reason,?|Because of this,|"
                "(?:That|This) is why"
            ),
            ('What is the effect of this?\n"{premise}"', 'To what does this lead?\n"{premise}"'),
        ),
        Rule(
            "commonsense",
            re.compile(r"(?:This|That|It) is (?:because|due to) (?P<said>.+)", re.S),
            ('Why is it so?\n"{premise}"', 'What is the reason for this?\n"{premise}"'),
        ),
        Rule(
            "commonsense",
            re.compile(r"Because (?P<premise>[^,;]+), (?P<said>[^;]+)", re.S),
            ('What is the effect of this?\n"{premise}"', 'To what does this lead?\n"{premise}"'),
        ),
        Rule(
            "commonsense",
            re.compile(
                r"(?P<premise>[^,;]+),? (?:because(?! of)|because of|due to|owing to) (?P<said>.+)",
                re.S,
            ),
            ('Why is it so?\n"{premise}"', 'What is the reason for this?\n"{premise}"'),
        ),
        Rule(
            "paraphrase",
            _opening("In other words,?|That is to say,|That is,|Put (?:simply|differently),"),
            ('Say this in other words.\n"{premise}"', 'Put this differently.\n"{premise}"'),
        ),
        Rule(
            "opposite",
            _opening("In contrast,|By contrast,|On the contrary,|Conversely,"),
            ('What is in contrast to this?\n"{premise}"', 'What is opposed to this?\n"{premise}"'),
        ),
    ),
    about=("What is this text about?", "Give this text a title.", "Name the topic of this text."),
    going_on=(
        'How does the text go on after this sentence?\n"{premise}"',
        'Complete the text.\n"{premise}"',
    ),
)


def _opening_zh(connectors: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{connectors})[，,]?(?P<said>.+)", re.S)


CHINESE = Language(
    rules=(
        Rule(
            "word_to_text",
            re.compile(
                r"(?P<said>(?!此|该|这|那|它|他|她|其|本|有|可)(?P<premise>[\w·]{1,12}?)"
                r"(?:是一[种个类]|是指|指的是|(?:被)?定义为).+)",
                re.S,
            ),
            ("什么是{premise}？", "请解释“{premise}”。"),
        ),
        Rule(
            "inference",
            _opening_zh("因此|所以|由此可见|可见，|从而"),
            ("由此可以得出什么结论？\n“{premise}”", "这句话支持什么说法？\n“{premise}”"),
        ),
        Rule(
            "inference",
            _opening_zh("然而|但是|不过，|可是"),
            ("什么限制或否定了这一说法？\n“{premise}”", "对此有什么保留？\n“{premise}”"),
        ),
        Rule(
            "inference",
            _opening_zh("此外|另外，|而且|并且|同时，"),
            ("对此还补充了什么？\n“{premise}”", "还有哪个相关的事实？\n“{premise}”"),
        ),
        Rule(
            "commonsense",
            _opening_zh("结果，|于是|这导致了?"),
            ("这会带来什么结果？\n“{premise}”", "这导致了什么？\n“{premise}”"),
        ),
        Rule(
            "commonsense",
            re.compile(
                r"(?:因为|由于)(?P<premise>[^，,；]+)[，,](?:所以|因此|因而|从而)?(?P<said>[^；]+)",
                re.S,
            ),
            ("这会带来什么结果？\n“{premise}”", "这导致了什么？\n“{premise}”"),
        ),
        Rule(
            "commonsense",
            re.compile(r"(?P<premise>[^，,；]+)[，,](?:这)?是?因为(?P<said>.+)", re.S),
            ("为什么会这样？\n“{premise}”", "原因是什么？\n“{premise}”"),
        ),
        Rule(
            "paraphrase",
            _opening_zh("换句话说|换言之|也就是说"),
            ("请换一种说法。\n“{premise}”", "换句话怎么说？\n“{premise}”"),
        ),
        Rule(
            "opposite",
            _opening_zh("相反|与此相反|相比之下|反之"),
            ("与此相反的是什么？\n“{premise}”", "什么与此形成对比？\n“{premise}”"),
        ),
    ),
    about=("这段文字讲的是什么？", "请给这段文字拟一个标题。"),
    going_on=("这句话之后文章怎么写？\n“{premise}”", "请把文章续写下去。\n“{premise}”"),
)
