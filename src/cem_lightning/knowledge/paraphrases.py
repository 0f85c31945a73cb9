"""Held-out questions in other words: sentences that ask, by the embeddings of what they ask.

A sentence that states a fact is no leak however near it comes, so only questions and gaps are
compared. Words in place are the business of `decontamination`.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import numpy as np

from cem_lightning.knowledge.cutting import sentences
from cem_lightning.questions.normalise import QUESTION_MARK
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import Question

SIMILAR = 0.9  # cosine; questions about two things in the same words come up to about 0.85

_ASKS = re.compile(rf"{QUESTION_MARK}|_{{2,}}|[(（]\s*[)）]")

_Vectors = np.ndarray[Any, np.dtype[np.float32]]


class Paraphrases:
    """The stems of all pools, to be found in other words; embedded when a text first asks."""

    def __init__(self, pools: Pools) -> None:
        self._guarded: list[Question] = [
            question for pool in (pools.heldout, pools.ood, pools.gate) for question in pool
        ]
        self._source: list[Question] = list(pools.source)

    def find(self, text: str) -> tuple[Question, float] | None:
        """The guarded question that a sentence of the text comes nearest to, with the cosine.

        None if none comes near enough, or a question that may be trained on comes as near.
        """
        if not self._guarded or not _ASKS.search(text):
            return None
        asking = [text[a:b] for a, b in sentences(text) if _ASKS.search(text[a:b])]
        found = _embedded(asking)
        near = found @ self._stems.T
        at, number = np.unravel_index(int(near.argmax()), near.shape)
        cosine = float(near[at, number])
        if cosine < SIMILAR:
            return None
        if self._source and float((found[at] @ self._taught.T).max()) >= cosine:
            return None
        return self._guarded[int(number)], cosine

    @cached_property
    def _stems(self) -> _Vectors:
        return _embedded([each.question for each in self._guarded])

    @cached_property
    def _taught(self) -> _Vectors:
        return _embedded([each.question for each in self._source])


def _embedded(texts: list[str]) -> _Vectors:
    from cem_lightning.knowledge.hybrid import embed

    return embed(texts).astype(np.float32)
