"""What is written about passages, by whom, and how much of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cem_lightning.knowledge.supply.records import Kind
from cem_lightning.settings import Settings


class SupplyConfig(Settings):
    """Kinds of synthetic text."""

    kinds: tuple[Kind, ...] = Field(
        description="paraphrase: a passage in other words; focus: a passage rewritten around what "
        "a mistaken question asks; qa: questions that a passage answers in its own words; reading: "
        "tasks of reading comprehension that rules find in a passage"
    )
    by: Literal["model", "endpoint"] = Field(
        description="who writes all but reading. model: the model under training, as it is before "
        "the round; endpoint: the one that endpoint.model names"
    )
    paraphrases: int = Field(gt=0, le=4, description="of a passage, each in another style")
    pairs: int = Field(gt=0, le=20, description="most questions with answers of a passage")
    response_tokens: int = Field(
        gt=0, description="longest text that the model under training writes; tokens"
    )

    @property
    def asks(self) -> bool:
        """Whether a model is asked to write."""
        return any(kind != "reading" for kind in self.kinds)
