"""Whether a written short answer is the accepted one, holds it, or shares words with it.

Exact match and F1 as of SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250), upon this project's one
notion of the same text. Knows no synonyms: "UK" is not "United Kingdom".
"""

from __future__ import annotations

from collections import Counter

import regex

from cem_lightning.questions.normalise import normalised

_ARTICLES = ("a", "an", "the")
_THOUSANDS = regex.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_INITIALS = regex.compile(r"(?<!\w)\p{L}(?:\.\p{L})+(?!\w)\.?")
_TOKEN = regex.compile(r"\p{Han}|[^\s\p{Han}]+")


def exact_match(text: str, accepted: str) -> bool:
    """Whether a text, or its first line, is the accepted answer."""
    return any(_tokens(each) == _tokens(accepted) for each in _readings(text))


def holds(text: str, accepted: str) -> bool:
    """Whether the accepted answer stands anywhere in a text, as a run of whole words.

    A sentence about it passes where only the answer was asked for: beside exact match it tells
    knowledge from form.
    """
    found, wanted = _tokens(text), _tokens(accepted)
    starts = range(len(found) - len(wanted) + 1)
    return exact_match(text, accepted) or any(
        found[at : at + len(wanted)] == wanted for at in starts
    )


def token_f1(text: str, accepted: str) -> float:
    """Harmonic mean of precision and recall of the accepted answer's words, 0 to 1.

    Of the text or of its first line, whichever has more. Chinese counts by character, as in CMRC
    2018 (Cui et al. 2019, arXiv 1810.07366).
    """
    return max(_f1(_tokens(each), _tokens(accepted)) for each in _readings(text))


def _readings(text: str) -> tuple[str, str]:
    """The whole, and its first line: a model that was never taught to stop writes on below it."""
    whole = text.strip()
    return whole, whole.partition("\n")[0]


def _f1(found: tuple[str, ...], accepted: tuple[str, ...]) -> float:
    common = (Counter(found) & Counter(accepted)).total()
    return 2 * common / (len(found) + len(accepted))


def _tokens(text: str) -> tuple[str, ...]:
    """Words without case, punctuation and articles; Chinese characters each on its own.

    Where SQuAD deletes all punctuation, a number keeps its point and sign (3.5 is not 35), and an
    article at the end is none ("vitamin A"). A text of punctuation alone stays as it is.
    """
    plain = _INITIALS.sub(lambda found: found[0].replace(".", ""), _THOUSANDS.sub("", text))
    words = normalised(plain).split()
    kept = [each for each in words[:-1] if each not in _ARTICLES] + words[-1:]
    return tuple(_TOKEN.findall(" ".join(kept))) or (text.strip().casefold(),)
