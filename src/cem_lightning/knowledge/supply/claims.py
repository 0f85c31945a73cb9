"""The numbers, names and negations of a text, by which what it claims is compared with another.

Numbers are the same whether in digits or in words. Who did what is not read: a text may keep all
numbers and names and still be wrong.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from cem_lightning.knowledge.cutting import sentences
from cem_lightning.questions.normalise import one_width, words

_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_POSSESSIVE = re.compile(r"['’]s?$")

_UNITS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: number for number, word in enumerate(_UNITS.split())}
_LARGE = {word: 10 * number for number, word in enumerate(_TENS.split(), start=2)}
_SCALES = frozenset({"dozen", "hundred", "thousand", "million", "billion", "trillion"})
_PRONOUNS = frozenset({"1"})  # "one" and 一 mostly count nothing

_GROUPED = re.compile(r"(?<=\d)[,\u202f\u00a0\u2009](?=\d{3}(?!\d))")  # 1,000
_DIGITS = re.compile(r"(?:(?<![\w)])[-−])?\d+(?:\.\d+)*")
_SCALED = re.compile(r"(?<=\d)[万亿]")
_HAN_DIGITS = "零一二三四五六七八九"
_HAN_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8}
_HAN = re.compile("[〇零一二三四五六七八九十百千万亿两]{2,16}|[二三四五六七八九两]")

_DENYING = "cannot neither never no nobody none nor not nothing nowhere without"
_BEFORE_T = """
    aren can couldn didn doesn don hadn hasn haven isn mustn shouldn wasn weren won wouldn
"""
_DENYING_ZH = re.compile("[不没未无非]")
_NOT_DENYING_ZH = """
    不但 不仅 不断 不久 不同 不少 不过 不等 不论 不管 不乏 差不多 无论 无数 未来 非常 非洲 非凡 除非
    莫非
"""
_DENIES = frozenset(_DENYING.split())
_CONTRACTED = frozenset(_BEFORE_T.split())
_HARMLESS = tuple(_NOT_DENYING_ZH.split())


def numbers(text: str) -> frozenset[str]:
    """The numbers of a text, each in one form; "one" is none, and a list's places are some."""
    plain = _GROUPED.sub("", one_width(text))
    found = {_canonical(each.replace("−", "-")) for each in _DIGITS.findall(plain)}
    found.update(_SCALED.findall(plain))
    found.update({str(_han(each)) for each in _HAN.findall(plain)} - _PRONOUNS)
    tokens = words(plain)
    found.update(each for each in tokens if each in _SCALES)
    used = False
    for token, following in pairwise((*tokens, "")):
        if token in _LARGE:
            unit = _SMALL.get(following, 0)
            used = 0 < unit < 10
            found.add(str(_LARGE[token] + (unit if used else 0)))
        else:
            if token in _SMALL and not used:
                found.update({str(_SMALL[token])} - _PRONOUNS)
            used = False
    return frozenset(found)


def names(text: str) -> frozenset[str]:
    """The words that are written large within a sentence, as normalised; Chinese has none."""
    found: set[str] = set()
    for start, end in sentences(text):
        inside = _WORD.findall(text[start:end])[1:]
        found.update(*(words(_POSSESSIVE.sub("", each)) for each in inside if each[0].isupper()))
    return frozenset(found)


def negations(text: str) -> tuple[str, ...]:
    """The words of a text that deny, in order."""
    found = []
    before = ""
    for token in words(text):
        denies = _DENYING_ZH.search(token) and not any(each in token for each in _HARMLESS)
        if denies or token in _DENIES or (token == "t" and before in _CONTRACTED):
            found.append(token)
        before = token
    return tuple(found)


def _canonical(digits: str) -> str:
    try:
        return f"{Decimal(digits).normalize():f}"
    except InvalidOperation:  # a version or a date, 1.2.3
        return digits


def _han(digits: str) -> int:
    """A number in Chinese characters, by place (一八九八) or by units (一百零二)."""
    plain = digits.replace("〇", "零").replace("两", "二")
    places = [_HAN_DIGITS.find(each) for each in plain]
    if all(place >= 0 for place in places):
        return int("".join(map(str, places)))
    whole = part = last = 0
    for char, place in zip(plain, places, strict=True):
        if place >= 0:
            last = place
            continue
        unit = _HAN_UNITS[char]
        if unit >= 10**4:
            section = (part + last) * unit
            whole = whole + section if unit == 10**4 else whole * unit + section
            part = last = 0
        else:
            part += (last or 1) * unit
            last = 0
    return whole + part + last
