"""Short passages from long documents: whole sentences around the best one, within a budget.

Does not choose documents, and does not rewrite: a passage is a stretch of its document.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import regex
import sentencex

_TOKEN = 64  # characters; hardly a token has more, and what has is no text to count for hours
_WORD_END = regex.compile(r"(?<=\S)(?=\s|$)|(?<=\p{Han})")


def cut(
    text: str, score: Callable[[str], float], budget: int, count_tokens: Callable[[str], int]
) -> str:
    """The stretch of a text that matters most and fits.

    Starts from the sentence of the highest score (the first of equals) and takes in the better
    of its two neighbours, the following one if equal, as long as the whole fits. A single
    sentence that does not fit is cut after a word.

    Args:
        score: of a sentence; how much it matters.
        budget: longest passage, in the tokens that `count_tokens` counts.
    """

    def within(text: str) -> bool:
        return len(text) <= budget * _TOKEN and count_tokens(text) <= budget

    if within(text.strip()):
        return text.strip()
    spans = sentences(text)
    scores = [score(text[start:end]) for start, end in spans]
    first = last = max(range(len(spans)), key=lambda at: (scores[at], -at))

    def fits(first: int, last: int) -> bool:
        return within(text[spans[first][0] : spans[last][1]].strip())

    if not fits(first, last):
        start, end = spans[first]
        return _beginning(text[start:end].strip(), budget, count_tokens)
    while True:
        grown = []
        if last + 1 < len(spans) and fits(first, last + 1):
            grown.append((scores[last + 1], (first, last + 1)))
        if first > 0 and fits(first - 1, last):
            grown.append((scores[first - 1], (first - 1, last)))
        if not grown:
            return text[spans[first][0] : spans[last][1]].strip()
        first, last = max(grown, key=lambda each: each[0])[1]


@lru_cache(maxsize=1024)
def sentences(text: str) -> tuple[tuple[int, int], ...]:
    """Start and end of each sentence that holds more than space, in characters."""
    spans = []
    start = 0
    for sentence in sentencex.segment("en", text):
        end = start + len(sentence)
        if sentence.strip():
            spans.append((start, end))
        start = end
    return tuple(spans)


def _beginning(sentence: str, budget: int, count_tokens: Callable[[str], int]) -> str:
    """The longest beginning that ends with a word and fits; empty if not even one word does."""
    sentence = sentence[: budget * _TOKEN]  # what comes behind can only cost time
    ends = [0, *(match.start() for match in _WORD_END.finditer(sentence))]
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if count_tokens(sentence[: ends[middle]]) <= budget:
            low = middle
        else:
            high = middle - 1
    return sentence[: ends[low]]
