"""Where the words of one text stand, nearly in order, inside another.

Compares words only; what a match means is decided in `decontamination`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cem_lightning.questions.normalise import QUESTION_MARK, is_chinese, is_unspaced, words

GAP = "____"

_GAP = re.compile(r"_{2,}|[(（]\s*[)）]")
_EMPTY = re.compile(r"[(（]\s*[)）]")
_END = re.compile(rf"({QUESTION_MARK})|[!！。；\n۔।॥።]|[.:;](?=\s|$)")
_ASKING = re.compile(
    r"(who|whom|whose|what|which|when|where|why|how|is|are|was|were|do|does|did|can|could)\b"
)
_ASKING_CHINESE = re.compile("什么|哪|谁|几|多少|为何|如何|怎|吗|是否|下列|以下")


@dataclass(frozen=True)
class Tokens:
    """A text as words, with the places where its sentences end.

    Attributes:
        words: normalised; a gap to be filled in ("____", "( )") is the word `GAP`; character by
            character in scripts without spaces, where words can only be guessed at.
        ends: number of words before each end of a sentence, increasing.
        asked: those of `ends` that are question marks.
        interrogative: whether the text as a whole asks a question.
    """

    words: tuple[str, ...]
    ends: tuple[int, ...]
    asked: frozenset[int]
    interrogative: bool

    def sentences(self) -> list[tuple[str, ...]]:
        """The words of each sentence."""
        starts = (0, *self.ends)
        return [self.words[a:b] for a, b in zip(starts, self.ends, strict=False)]


@dataclass(frozen=True)
class Place:
    """A stretch `text[start:end]` that is `distance` word edits away from what was looked for."""

    start: int
    end: int
    distance: int


def tokens_of(text: str) -> Tokens:
    """Words and ends of sentences of a text."""
    found: list[str] = []
    ends: list[int] = []
    asked: list[int] = []
    pieces = _END.split(text)
    for piece, mark in zip(pieces[::2], [*pieces[1::2], None], strict=True):
        for at, part in enumerate(_GAP.split(piece)):
            found.extend([GAP] if at else [])
            if not is_unspaced(part):
                found.extend(words(part))
                continue
            for word in words(part):
                found.extend(word if is_unspaced(word) else (word,))
        if found and (not ends or ends[-1] != len(found)):
            ends.append(len(found))
        if mark:
            asked.append(len(found))
    asks = (
        _ASKING.match(" ".join(found[:1]))
        or _ASKING_CHINESE.search(text)
        or (is_unspaced(text) and not is_chinese(text))  # such as Thai, which has no mark for it
    )
    interrogative = bool(asked) or (GAP not in found and bool(asks))
    return Tokens(tuple(found), tuple(ends), frozenset(asked), interrogative)


def has_gap(text: str) -> bool:
    """Whether a text holds a gap to be filled in."""
    return "__" in text or _EMPTY.search(text) is not None


def aligned(
    sought: Sequence[str], text: Sequence[str], allowed: int, anchors: Sequence[str]
) -> list[Place]:
    """The places in `text` at most `allowed` edits of words away from `sought`, best first.

    Semi-global edit distance (Sellers 1980): begin and end in the text are free.

    Args:
        anchors: words of `sought`, one of which stands in every place that is looked at.

    Returns:
        Different places, overlapping ones too; equally near ones in order of their ends.
    """
    needed = Counter(sought)
    found: dict[Place, None] = {}
    tried: dict[tuple[int, int], None] = {}
    for at, word in enumerate(text):
        if word not in anchors:
            continue
        for before in (row for row, own in enumerate(sought) if own == word):
            start = max(0, at - before - allowed)
            end = min(len(text), at - before + len(sought) + allowed)
            if (start, end) in tried:
                continue
            tried[start, end] = None
            window = text[start:end]
            if (needed & Counter(window)).total() >= len(sought) - allowed:
                for place in _places(sought, window, allowed):
                    if any(word in anchors for word in window[place.start : place.end]):
                        moved = Place(start + place.start, start + place.end, place.distance)
                        found[moved] = None
    return sorted(found, key=lambda place: (place.distance, place.end, place.start))


def _places(sought: Sequence[str], text: Sequence[str], allowed: int) -> list[Place]:
    """For each end in the text, the nearest place there if it is near enough."""
    previous = [(row, 0) for row in range(len(sought) + 1)]
    places = []
    for at, word in enumerate(text, start=1):
        current = [(0, at)]
        for row, own in enumerate(sought, start=1):
            diagonal, left, above = previous[row - 1], previous[row], current[row - 1]
            cost, start = min(
                (diagonal[0] + (own != word), diagonal[1]),
                (left[0] + 1, left[1]),
                (above[0] + 1, above[1]),
            )
            current.append((cost, start))
        if current[-1][0] <= allowed:
            places.append(Place(current[-1][1], at, current[-1][0]))
        previous = current
    return places
