"""Which answers count as mistakes, how much is looked up for each, and what is done about it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt

from cem_lightning.answering.uncertainty import Measure
from cem_lightning.settings import Settings

Route = Literal["instructions", "ambiguity", "passages_and_instructions", "skip", "quarantine"]


class MistakesConfig(Settings):
    """What is collected from a round's answers."""

    ambiguous_by: Measure = Field(
        default="confidence",  # for records of runs from before there was a choice
        description="how sure a right answer is, 0 to 1. confidence: its probability among the "
        "choices; margin: that minus the second best; entropy: 1 - H / log n of the n choices' "
        "probabilities; agreement: the share of the cyclic orders of the choices under which it "
        "was taken. Of a short answer always the geometric mean probability of its tokens",
    )
    ambiguous_below: float = Field(
        ge=0,
        le=1,
        description="a right answer less sure than this by mistakes.ambiguous_by is collected as "
        "ambiguous; 0 collects wrong answers only",
    )
    points: int = Field(gt=0, description="most knowledge points a mistake; phrases")
    points_by: Literal["keyphrase", "question", "model", "endpoint"] = Field(
        default="keyphrase",  # for records of runs from before there was a choice
        description="what is looked up. keyphrase: phrases of stem and right answer, by RAKE; "
        "question: the stem; model, endpoint: concepts that the model under training, or the one "
        "of endpoint.model, names, and keyphrases where it names none",
    )

    @property
    def asks(self) -> bool:
        """Whether a model is asked for knowledge points."""
        return self.points_by in ("model", "endpoint")


class RoutesConfig(Settings):
    """What training makes of each class of mistake.

    instructions: the question with its answer; ambiguity, passages_and_instructions: passages to
    read as well, counted apart; skip: nothing this round; quarantine: nothing, and the question is
    listed for a person to look at.
    """

    format: Literal["instructions", "skip", "quarantine"] = Field(
        description="The right choice is the likeliest, but was not said; it is fetched no passages"
    )
    unstable: Route = Field(description="The choice moves with the order of the choices")
    ambiguous: Route = Field(description="Right but unsure, whatever the order of the choices")
    knowledge_gap: Route = Field(description="Wrong, but right with its passages in the prompt")
    unhelped: Route = Field(description="Wrong even with its passages, or none was found for it")
    suspect_gold: Route = Field(description="All tests took the same other choice")


class TriageConfig(Settings):
    """How mistakes are told apart, and what is done about each class of them."""

    open_book_passages: NonNegativeInt = Field(
        description="Ask each mistake once more with this many of its passages in the prompt, at "
        "most, to tell a gap of knowledge from what passages do not help; 0 asks nothing, and "
        "these stay together as wrong, with passages and instructions."
    )
    suspect_after: int = Field(
        ge=2,
        description="The accepted answer is suspected only if at least this many tests, the open "
        "book among them, took the same other choice; closed and open book are 2, so 3 needs "
        "answering.permutations=cyclic.",
    )
    min_bits: float | None = Field(
        description="A passage is kept for a mistake only if reading it alone raises the "
        "log-likelihood of the right answer among the choices by more than this; bits. null keeps "
        "all and asks nothing."
    )
    routes: RoutesConfig

    @property
    def asks(self) -> bool:
        """Whether the model is asked anything."""
        return self.open_book_passages > 0 or self.min_bits is not None
