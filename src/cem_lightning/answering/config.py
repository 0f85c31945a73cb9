"""Settings of asking."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from cem_lightning.settings import Settings


class AnsweringConfig(Settings):
    """How the model is asked and how its answers are scored."""

    method: Literal["cloze", "letters", "extract"] = Field(
        description="cloze: log-likelihood of each choice's text; letters: of its letter; extract: "
        "generate the paper's two-part answer and parse it. Short-answer questions are generated "
        "under each."
    )
    normalise: Literal["sum", "token", "byte"] = Field(
        description="What the log-likelihood of a choice is divided by: nothing, its tokens or its "
        "bytes."
    )
    permutations: Literal["none", "cyclic"] = Field(
        default="none",  # for records of runs from before there was a choice
        description="cyclic: ask every question under all cyclic orders of its choices, so that "
        "an answer that moves with the order shows, at the cost of as many questions; the "
        "prediction stays that of the question's own order. With letters and extract.",
    )
    shots: NonNegativeInt = Field(
        default=0,
        description="Solved examples before every question, taken out of the source pool; in a "
        "chat they are earlier turns.",
    )
    blind: bool = Field(
        description="Also ask every question with its subject masked (name-blind accuracy)."
    )
    open_book_passages: int = Field(
        ge=0,
        description="Before training, also ask heldout with this many retrieved passages in the "
        "prompt: the ceiling of retrieval. 0 leaves it out.",
    )
    noise_floor: bool = Field(
        default=False,  # for records of runs from before it could be measured
        description="Before training, also ask heldout in other batches and, where choices are "
        "listed, in reversed order: a gain below what that moves is none.",
    )
    batch_tokens: PositiveInt = Field(description="Tokens that pass through the model at once.")
    response_tokens: PositiveInt = Field(description="Longest generated response, in tokens.")

    @model_validator(mode="after")
    def _has_orders(self) -> AnsweringConfig:
        if self.permutations == "cyclic" and self.method == "cloze":
            raise ValueError(
                "permutations=cyclic changes the order in which choices are listed, and "
                "method=cloze lists none; set answering.permutations=none, or "
                "answering.method=letters or extract"
            )
        return self
