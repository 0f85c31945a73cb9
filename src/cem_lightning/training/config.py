"""Settings of the objective and of the optimisation.

Only settings; nothing here imports torch.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from cem_lightning.corpus.config import KINDS, Kind
from cem_lightning.settings import Settings

# Of the trainer: no result depends on them.
FREE_KEYS = ("devices", "launcher", "sharded", "checkpoint_minutes", "workers")
Launcher = Literal["torchrun", "slurm"]
_ALL_LINEAR = "all-linear"
Weight = Annotated[float, Field(ge=0)]
Part = Annotated[float, Field(gt=0, lt=1)]


class ObjectiveConfig(Settings):
    """The mixed CPT/CIT loss of an optimizer step.

    It is the weighted sum of the token losses of all kinds, and of the divergence from the start,
    divided by the number of supervised tokens of the step.
    """

    weights: dict[Kind, Weight] = Field(
        default_factory=dict,
        description="Factor on the token losses of each kind, without unit; a kind left out has 1.",
    )
    kl: Weight = Field(
        default=0.0,
        description="Weight of a guard against forgetting: the divergence of the predictions from "
        "those of the model that training starts from, in nats a supervised token. 0 is none. "
        "Without an adapter it holds a second copy of the model.",
    )

    @field_validator("weights")
    @classmethod
    def _something_counts(cls, value: dict[Kind, float]) -> dict[Kind, float]:
        if all(value.get(kind, 1.0) == 0 for kind in KINDS):
            raise ValueError("all are 0, so nothing would be learned")
        return value

    def weight(self, kind: Kind) -> float:
        """The factor of a kind, 1.0 if it is left out."""
        return self.weights.get(kind, 1.0)


class LoraSettings(Settings):
    """A low-rank adapter (Hu et al. 2021, arXiv 2106.09685), trained in place of all weights."""

    rank: int = Field(gt=0, description="Rank of each update.")
    alpha: float = Field(gt=0, description="The update is scaled by alpha / rank.")
    dropout: float = Field(ge=0, lt=1, description="Probability to drop an input of the adapter.")
    target_modules: Literal["all-linear"] | list[str] = Field(
        description="all-linear: every linear layer but the output head; or names of modules."
    )
    dora: bool = Field(
        default=False,
        description="Learn the size of every weight row apart from its direction (DoRA, Liu et "
        "al. 2024, arXiv 2402.09353): closer to training all weights, slower.",
    )
    earlier: Literal["continue", "merge"] = Field(
        default="continue",
        description="What becomes of the adapter of the round before, where trainer.start=previous "
        "(base starts one afresh). continue: it is trained on; merge: it becomes part of the "
        "weights, and a new one is trained on top.",
    )

    @field_validator("target_modules", mode="before")
    @classmethod
    def _one_message(cls, value: object) -> object:
        """Instead of one for each of the two types."""
        if value != _ALL_LINEAR and not isinstance(value, list | tuple):
            raise ValueError(
                f"wants {_ALL_LINEAR}, or a list of modules, for instance "
                "'trainer.lora.target_modules=[q_proj,v_proj]'"
            )
        return value


class InterpolationSettings(Settings):
    """Going only a part of the way that training went (WiSE-FT, Wortsman et al. 2022, 2109.01903).

    A guard against forgetting: weights between the start and the end keep more of the start.
    """

    gate: NonNegativeInt = Field(
        default=0,
        description="Questions taken out of the source pool, neither mined nor trained on, by "
        "which the part is chosen: the one that answers most of them right, the smallest of "
        "equals. 0 keeps the trained weights as they are.",
    )
    parts: tuple[Part, ...] = Field(
        default=(0.25, 0.5, 0.75),
        description="Parts of the way that are tried, between 0 (the start) and 1 (the trained "
        "weights, which always are).",
    )


class TrainerConfig(Settings):
    """How a round is trained."""

    start: Literal["previous", "base"] = Field(
        description="previous: each round continues the model of the round before, on its own "
        "examples; base: each round begins anew, on the examples of all rounds so far."
    )
    learning_rate: float = Field(gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(
        ge=0,
        description="AdamW's decay of weight matrices; vectors (norms, biases) have none.",
    )
    warmup_fraction: float = Field(
        ge=0, lt=1, description="Part of the optimizer steps in which the learning rate rises."
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        description="How the learning rate falls to 0 after the warm-up, if it does."
    )
    batch: int = Field(gt=0, description="Examples per optimizer step.")
    batch_tokens: PositiveInt | None = Field(
        default=None,
        description="Tokens per optimizer step: as many whole examples as fit, whatever `batch` "
        "says. null goes by `batch`.",
    )
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
    launcher: Launcher = Field(
        default="torchrun",
        description="Who starts these processes: torchrun on this machine, or slurm (srun) on the "
        "nodes of the SLURM job in which the command is given, one task each.",
    )
    sharded: bool = Field(
        default=False,
        description="Share out the layers' weights, gradients and moments over the devices (FSDP2) "
        "instead of each having all: room, not the result but for the last digits of the weights.",
    )
    workers: NonNegativeInt = Field(
        default=0,
        description="Processes that prepare optimizer steps ahead of time: time, not the result.",
    )
    checkpoint_minutes: float = Field(
        default=10,
        ge=0,
        description="Minutes between two checkpoints of a training, from which the same command "
        "continues it to the bit; one is written before Ctrl-C, SIGTERM or SIGUSR1 ends it, too. 0 "
        "writes none.",
    )
    activation_checkpointing: bool = Field(
        default=False,
        description="Compute each layer's activations again in the backward pass instead of "
        "keeping them: less memory, about a third more time, the same result.",
    )
    mixed_precision: bool = Field(
        default=False,
        description="Compute in bfloat16, with weights, gradients and moments in float32 "
        "(model.dtype=float32). With model.dtype=bfloat16 everything is in bfloat16.",
    )
    compile: bool = Field(
        default=False,
        description="Compile the layers (torch.compile): a minute at the start, then faster, above "
        "all on a GPU.",
    )
    max_gradient_norm: float = Field(
        gt=0,
        description="Longer gradients are scaled down to this Euclidean norm.",
    )
    freeze_layers: NonNegativeInt = Field(
        default=0,
        description="A guard against forgetting: as many of the lowest layers, and the embeddings, "
        "stay as they are. 0 trains all.",
    )
    evaluate_at: tuple[PositiveInt, ...] = Field(
        default=(),
        description="Optimizer steps after which the guarded pool (verdict.guarded) is asked, so "
        "that a stability gap shows (De Lange et al. 2023, arXiv 2205.13452).",
    )
    interpolation: InterpolationSettings = InterpolationSettings()
    lora: LoraSettings | None = Field(description="Train an adapter; null trains all weights.")

    @model_validator(mode="after")
    def _compiles_whole_layers(self) -> Self:
        """What is computed again is left out by torch.compile, without a word."""
        others = {
            "sharded": self.sharded and self.devices > 1,
            "activation_checkpointing": self.activation_checkpointing,
        }
        for key, used in others.items():
            if self.compile and used:
                raise ValueError(f"compile: not with {key}=true; set one of them to false")
        return self

    @model_validator(mode="after")
    def _asks_no_shares(self) -> Self:
        asked = [
            key
            for key, used in (
                ("evaluate_at", self.evaluate_at),
                ("interpolation.gate", self.interpolation.gate),
            )
            if used
        ]
        if self.sharded and self.devices > 1 and asked:
            raise ValueError(
                f"{' and '.join(asked)}: a model whose weights are shared out cannot be asked; set "
                "sharded=false"
            )
        return self

    @model_validator(mode="after")
    def _interpolates_what_is_linear(self) -> Self:
        if not self.interpolation.gate or self.lora is None:
            return self
        if self.lora.dora:
            raise ValueError(
                "interpolation.gate: an adapter with lora.dora=true does not change the weights in "
                "proportion, so no part of it can be taken; set lora.dora=false"
            )
        if self.start == "previous" and self.lora.earlier == "continue":
            raise ValueError(
                "interpolation.gate: of an adapter that is continued no part of the way can be "
                "taken; set lora.earlier=merge, or start=base"
            )
        return self
