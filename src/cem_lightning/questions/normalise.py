"""One notion of "the same text" and of a word, for duplicates, search and leak checks alike.

Works in any script that separates words by spaces, and in Chinese; it does not stem.
"""

from __future__ import annotations

import unicodedata

import regex
import rjieba

_INVISIBLE = regex.compile(r"\p{Cf}")
# A point, sign or operator that belongs to a number stays: 3.5 is not 35, nor 2*3 the same as 2/3.
_SEPARATOR = regex.compile(r"(?!\^|(?<!\p{L})[-.*/](?=\d))[\p{P}\p{Z}\p{C}\p{Sk}]")
_HAN = regex.compile(r"\p{Han}")


def normalised(text: str) -> str:
    """`text` under NFKC and case folding, without punctuation, words one space apart."""
    folded = text.casefold()
    if not text.isascii():
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        folded = _INVISIBLE.sub("", folded)
    return " ".join(_SEPARATOR.sub(" ", folded).split())


def one_width(text: str) -> str:
    """`text` with full-width and half-width characters as plain ones; all others stay."""
    if text.isascii():
        return text
    return "".join(
        unicodedata.normalize("NFKC", each)
        if unicodedata.decomposition(each).startswith(("<wide>", "<narrow>"))
        else each
        for each in text
    )


def words(text: str) -> tuple[str, ...]:
    """The words of the normalised text in order; runs of Chinese are segmented by jieba."""
    chunks = normalised(text).split()
    if text.isascii():
        return tuple(chunks)
    found: list[str] = []
    for chunk in chunks:
        if _HAN.search(chunk):
            found.extend(rjieba.cut(chunk))
        else:
            found.append(chunk)
    return tuple(found)


def is_chinese(word: str) -> bool:
    """Whether a word holds a Chinese character, so that no space belongs beside it."""
    return not word.isascii() and _HAN.search(word) is not None
