"""Held-out questions in a text, in their own words or in others."""

from __future__ import annotations

from cem_lightning.knowledge.decontamination import LeakIndex
from cem_lightning.knowledge.paraphrases import Paraphrases
from cem_lightning.questions.pools import Pools


class Leaks:
    """The questions that no text to be trained on may hold; every text is searched once."""

    def __init__(self, pools: Pools) -> None:
        self._words = LeakIndex(pools)
        self._paraphrases = Paraphrases(pools)
        self._found: dict[str, str] = {}

    @property
    def texts(self) -> int:
        """Different texts that held some."""
        return sum(map(bool, self._found.values()))

    def find(self, text: str) -> str:
        """The questions in a text, and how each was found; "" if there is none."""
        if text not in self._found:
            self._found[text] = self._search(text)
        return self._found[text]

    def _search(self, text: str) -> str:
        if leaks := self._words.find(text):
            return ", ".join(f"{leak.question} ({leak.rule})" for leak in leaks)
        if near := self._paraphrases.find(text):
            return f"{near[0].id} (similar question, cosine {near[1]:.2f})"
        return ""
