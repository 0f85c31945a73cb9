"""What is no text worth reading, whatever it is about: too short, repetitive, in another language.

Looks at one passage at a time; copies and contradictions are the business of `duplicates` and
`disagreement`.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from cem_lightning.knowledge.config import Filters
from cem_lightning.questions.normalise import words

Fault = Literal["short", "repetitive", "boilerplate", "language"]

# Largest shares of a text's characters in its most frequent run of so many words, and of its lines
# that stand in it before (Rae et al. 2021, "Gopher", table A1).
_FREQUENT = {2: 0.20, 3: 0.18, 4: 0.16}
_REPEATED_LINES = 0.30
_TELLING = 40  # words from which shares of runs tell something
_SYMBOLS = 0.5  # least share of characters that are letters or digits
_IDENTIFIABLE = 5  # words from which a language is told
_BOILERPLATE = (
    "accept cookies", "all rights reserved", "cookie policy", "enable javascript", "log in to",
    "privacy policy", "sign up for", "subscribe to", "terms of service", "terms of use",
    "版权所有", "隐私政策", "服务条款", "登录后", "点击这里",
)  # fmt: skip
_WRITTEN_AS = {"wuu": "zh", "yue": "zh", "arz": "ar", "ary": "ar", "nb": "no"}
_BOILERPLATE_WORDS = 40  # a text with such a phrase tells something else if it is longer


def fault_of(text: str, config: Filters) -> tuple[Fault, str] | None:
    """Why a passage is not let in, with what was measured; None if it is."""
    tokens = words(text)
    if len(tokens) < config.min_words:
        return "short", f"{len(tokens)} words"
    if told := repetition(text, tokens):
        return "repetitive", told
    if told := _boilerplate(text, tokens):
        return "boilerplate", told
    if config.languages is not None and len(tokens) >= _IDENTIFIABLE:
        language = language_of(text)
        if language not in config.languages:
            return "language", language
    return None


def language_of(text: str) -> str:
    """The language a text is most likely in, ISO 639-1."""
    import py3langid

    found = str(py3langid.classify(text)[0])
    return _WRITTEN_AS.get(found, found)


def repetition(text: str, tokens: tuple[str, ...]) -> str:
    """What comes again and again in a text, in words; "" if nothing does (Rae et al. 2021)."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    again = len(lines) - len(set(lines))
    if again > _REPEATED_LINES * len(lines):
        return f"{again} of {len(lines)} lines stand in it before"
    if len(tokens) < _TELLING:
        return ""
    length = sum(map(len, tokens))
    for size, most in _FREQUENT.items():
        runs = Counter(tokens[at : at + size] for at in range(len(tokens) - size + 1))
        run, count = runs.most_common(1)[0]
        share = count * sum(map(len, run)) / length
        if count > 1 and share > most:
            return f"{share:.0%} of it are {' '.join(run)!r}"
    return ""


def _boilerplate(text: str, tokens: tuple[str, ...]) -> str:
    signs = sum(each.isalnum() for each in text)
    if signs < _SYMBOLS * sum(not each.isspace() for each in text):
        return "mostly signs"
    if len(tokens) < _BOILERPLATE_WORDS:
        folded = text.casefold()
        return next((phrase for phrase in _BOILERPLATE if phrase in folded), "")
    return ""
