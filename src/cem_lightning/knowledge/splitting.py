"""Long texts as several documents of whole paragraphs, so that each can be found and drawn.

Passages are cut from such documents later, see `cutting`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LONGEST = 1500  # characters; a few passages of the usual 128 tokens


def paragraphs(text: str) -> list[str]:
    """The stretches of a text between blank lines."""
    return [each.strip() for each in re.split(r"\n[ \t]*\n", text) if each.strip()]


def packed(blocks: Sequence[str]) -> list[str]:
    """Neighbouring paragraphs joined to texts of at most `LONGEST` characters.

    A longer paragraph stays whole and alone.
    """
    texts: list[str] = []
    for block in blocks:
        if texts and len(texts[-1]) + 2 + len(block) <= LONGEST:
            texts[-1] += "\n\n" + block
        else:
            texts.append(block)
    return texts
