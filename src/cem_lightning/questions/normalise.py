"""One notion of "the same text" and of a word, for duplicates, search and leak checks alike.

Works in any script that separates words by spaces, and in Chinese; it does not stem.
"""

from __future__ import annotations

import re
import unicodedata

import regex
import rjieba

# A question mark, that of Greek after a Greek letter only: elsewhere the sign joins clauses.
QUESTION_MARK = "[?？؟՞፧]|(?<=[\u0370-\u03ff\u1f00-\u1fff])[;\u037e]"

_HAN = regex.compile(r"\p{Han}")
_UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
)
_UNSEEN = regex.compile(r"\p{Default_Ignorable_Code_Point}")
# A point, sign or operator that belongs to a number stays: 3.5 is not 35, nor 2*3 the same as 2/3.
_LOOSE = regex.compile(r"[-.*/](?:(?<=\p{L}.)|(?!\d))")
_LOOSE_ASCII = re.compile(r"[-.*/](?:(?<=[a-z].)|(?![0-9]))")


class _Plain(dict[int, str]):
    """What becomes of a character, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        char, kind = chr(code), unicodedata.category(chr(code))
        if kind == "Cf" or _UNSEEN.match(char):
            plain = ""
        elif char in "|~" or (char not in "^-.*/" and (kind[0] in "PZC" or kind == "Sk")):
            plain = " "
        else:
            plain = char
        self[code] = plain
        return plain


_PLAIN = _Plain()


def normalised(text: str) -> str:
    """`text` under NFKC and case folding, without punctuation, words one space apart."""
    return " ".join(_chunks(text))


def _chunks(text: str) -> list[str]:
    """What stands between separators."""
    if text.isascii():
        return _LOOSE_ASCII.sub(" ", text.lower().translate(_PLAIN)).split()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return str(_LOOSE.sub(" ", folded.translate(_PLAIN))).split()


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
    chunks = _chunks(text)
    if not is_chinese(text):
        return tuple(chunks)
    found: list[str] = []
    for chunk in chunks:
        if _HAN.search(chunk):
            found.extend(rjieba.cut(chunk))
        else:
            found.append(chunk)
    return tuple(found)


def is_unspaced(text: str) -> bool:
    """Whether a text is in part in a script that puts no spaces between words, such as Thai."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def is_chinese(text: str) -> bool:
    """Whether a text holds a Chinese character; of a word, so that no space belongs beside it."""
    return not text.isascii() and _HAN.search(text) is not None
