"""The recipe: what a round trains on, how much of it and in which order.

Only settings; `assemble` makes the examples and `schedule` puts them in order.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from cem_lightning.settings import Settings

Kind = Literal["passage", "normative", "extractive", "review", "general"]

KINDS: tuple[Kind, ...] = get_args(Kind)

Share = Annotated[float, Field(ge=0, le=1)]


class RecipeConfig(Settings):
    """The mix of one round's training set. The paper names the kinds; the numbers are ours."""

    name: str = Field(min_length=1, description="What tables call this recipe.")
    tokens: int = Field(
        gt=0,
        description="Training tokens of a round: all tokens of all sequences read, repetitions "
        "included and padding excluded. Arms with the same number are matched.",
    )
    shares: dict[Kind, Share] = Field(
        description="Share of the training tokens that each kind of example gets; they sum to 1. "
        "A kind left out gets none; a kind without candidates leaves its share to the others."
    )
    order: Literal["mixed", "cit_first", "cpt_first"] = Field(
        description="mixed: all kinds evenly throughout; cit_first: questions and answers, then "
        "passages; cpt_first: passages, then questions and answers."
    )
    passages: Literal["retrieved", "random"] = Field(
        description="retrieved: passages fetched for the mistakes; random: the control, as many "
        "drawn at random from the rest of the corpus."
    )
    review_late: bool = Field(
        description="Draw review examples in the last third of the run (of its questions and "
        "answers, unless order is mixed) rather than throughout."
    )

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> Self:
        total = sum(self.shares.values())
        if abs(total - 1) > 1e-6:
            listed = ", ".join(f"{kind}={self.shares.get(kind, 0.0):g}" for kind in KINDS)
            raise ValueError(f"shares sum to {total:g} and must sum to 1 ({listed})")
        return self

    def share(self, kind: Kind) -> float:
        """The configured share of a kind, 0.0 if it is left out."""
        return self.shares.get(kind, 0.0)
