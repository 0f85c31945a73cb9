"""Settings of the objective and of the optimisation.

Only settings; nothing here imports torch.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from cem_lightning.corpus.config import Kind

FREE_KEYS = ("devices", "checkpoint_minutes")  # of the trainer: no result depends on them
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ObjectiveConfig(BaseModel):
    """The mixed CPT/CIT loss of an optimizer step.

    It is the weighted sum of the token losses of all kinds, divided by the number of supervised
    tokens of the step.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: dict[Kind, Weight] = Field(
        default_factory=dict,
        description="Factor on the token losses of each kind, without unit; a kind left out has 1.",
    )

    def weight(self, kind: Kind) -> float:
        """The factor of a kind, 1.0 if it is left out."""
        return self.weights.get(kind, 1.0)


class LoraSettings(BaseModel):
    """A low-rank adapter (Hu et al. 2021, arXiv 2106.09685), trained in place of all weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(gt=0, description="Rank of each update.")
    alpha: float = Field(
        gt=0, allow_inf_nan=False, description="The update is scaled by alpha / rank."
    )
    dropout: float = Field(ge=0, lt=1, description="Probability to drop an input of the adapter.")
    target_modules: Literal["all-linear"] | list[str] = Field(
        description="all-linear: every linear layer but the output head; or names of modules."
    )
    dora: bool = Field(
        default=False,
        description="Learn the size of every weight row apart from its direction (DoRA, Liu et "
        "al. 2024, arXiv 2402.09353): closer to training all weights, slower.",
    )


class TrainerConfig(BaseModel):
    """How a round is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Literal["previous", "base"] = Field(
        description="previous: each round continues the model of the round before, on its own "
        "examples; base: each round begins anew, on the examples of all rounds so far."
    )
    learning_rate: float = Field(
        gt=0, allow_inf_nan=False, description="Peak learning rate of AdamW."
    )
    weight_decay: float = Field(
        ge=0,
        allow_inf_nan=False,
        description="AdamW's decay of weight matrices; vectors (norms, biases) have none.",
    )
    warmup_fraction: float = Field(
        ge=0, lt=1, description="Part of the optimizer steps in which the learning rate rises."
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        description="How the learning rate falls to 0 after the warm-up, if it does."
    )
    batch: int = Field(gt=0, description="Examples per optimizer step.")
    pack_tokens: int = Field(
        gt=0,
        description="Most tokens that go through the model at once, examples one behind another "
        "without padding, none seeing its neighbour: memory and time, not the result.",
    )
    devices: PositiveInt = Field(
        default=1,
        description="Processes that train, and that ask, together, each on a device of its own "
        "(GPU, or a share of the CPU's cores): time, not the result but for the last digits of "
        "the weights.",
    )
    checkpoint_minutes: float = Field(
        default=10,
        ge=0,
        allow_inf_nan=False,
        description="Minutes between two checkpoints of a training, from which the same command "
        "continues it to the bit; one is written before SIGTERM or SIGUSR1 ends it, too. 0 writes "
        "none.",
    )
    activation_checkpointing: bool = Field(
        default=False,
        description="Compute each layer's activations again in the backward pass instead of "
        "keeping them: less memory, about a third more time, the same result.",
    )
    max_gradient_norm: float = Field(
        gt=0,
        allow_inf_nan=False,
        description="Longer gradients are scaled down to this Euclidean norm.",
    )
    lora: LoraSettings | None = Field(description="Train an adapter; null trains all weights.")
