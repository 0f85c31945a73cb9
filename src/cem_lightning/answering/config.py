"""Settings of asking."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt


class AnsweringConfig(BaseModel):
    """How the model is asked and how its answers are scored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["cloze", "letters", "extract"] = Field(
        description="cloze: log-likelihood of each choice's text; letters: of its letter; extract: "
        "generate the paper's two-part answer and parse it. Short-answer questions are generated "
        "under each."
    )
    normalise: Literal["sum", "token", "byte"] = Field(
        description="What the log-likelihood of a choice is divided by: nothing, its tokens or its "
        "bytes."
    )
    blind: bool = Field(
        description="Also ask every question with its subject masked (name-blind accuracy)."
    )
    open_book_passages: int = Field(
        ge=0,
        description="Before training, also ask heldout with this many retrieved passages in the "
        "prompt: the ceiling of retrieval. 0 leaves it out.",
    )
    batch_tokens: PositiveInt = Field(description="Tokens that pass through the model at once.")
    response_tokens: PositiveInt = Field(description="Longest generated response, in tokens.")
