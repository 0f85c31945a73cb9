"""Which answers count as mistakes, and how much is looked up for each."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class MistakesConfig(BaseModel):
    """What is collected from a round's answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ambiguous_below: float = Field(
        ge=0,
        le=1,
        description="a right answer whose probability among its choices (of a short answer the "
        "geometric mean over its tokens) is below this is collected as ambiguous; 0 collects "
        "wrong answers only",
    )
    points: int = Field(gt=0, description="most knowledge points a mistake; phrases")
