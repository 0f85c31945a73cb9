"""The whole configuration of an evolution: the packages' settings composed.

Checked by `cem_lightning.config`, which tells every problem at once.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.corpus.config import Kind, RecipeConfig
from cem_lightning.knowledge.config import KnowledgeConfig, parted
from cem_lightning.knowledge.endpoint_config import EndpointConfig
from cem_lightning.knowledge.supply.config import SupplyConfig
from cem_lightning.mistakes.config import MistakesConfig, TriageConfig
from cem_lightning.models.config import ModelConfig
from cem_lightning.questions.config import DataConfig
from cem_lightning.questions.records import PoolName
from cem_lightning.reporting.config import LoggerConfig
from cem_lightning.settings import Settings
from cem_lightning.storage.digests import digest_value
from cem_lightning.training.config import FREE_KEYS, ObjectiveConfig, TrainerConfig

Action = Literal[
    "run", "check", "compare", "inspect", "trace", "export", "harness", "prune", "dashboard"
]

# What may differ between two commands on the same run folder, since no score depends on it.
_FREE_KEYS = (
    "rounds",
    "logger",
    "action",
    "runs",
    "question",
    "inspect",
    "export",
    "harness",
    "prune",
    "store_dir",
    "run_dir",
)


class VerdictConfig(Settings):
    """What a round must show to be accepted, and what becomes of one that is rejected."""

    judged: PoolName = Field(description="Pool whose gain over the round before is judged.")
    guarded: PoolName | None = Field(description="Pool that must not be damaged; null guards none.")
    tolerance: float = Field(
        ge=0, le=1, description="Accuracy that the guarded pool may lose, as a share of 1."
    )
    keep_previous: bool = Field(
        description="Do not go on from the model of a rejected round: the next round collects "
        "with, and trains from, the last one that was not rejected, which is also exported."
    )


class InspectConfig(Settings):
    """What action=inspect shows."""

    kind: Kind | None = Field(description="Show examples of this kind only; null shows all kinds.")
    round: PositiveInt | None = Field(description="Round of the examples; null is the last one.")
    examples: PositiveInt = Field(description="Most training examples to show.")


class ExportConfig(Settings):
    """Where action=export puts the model."""

    folder: Path | None = Field(description="Folder of the model; null is export/ in the run's.")
    round: PositiveInt | None = Field(description="Round whose model leaves; null is the last one.")
    push_to_hub: str | None = Field(
        description="Hub repository (USER/NAME) to upload the folder to; null uploads nothing."
    )


class HarnessConfig(Settings):
    """Where action=harness writes the tasks of lm-evaluation-harness."""

    folder: Path | None = Field(
        description="Folder of the tasks; null is harness/ in the run's. Other files stay."
    )


class PruneConfig(Settings):
    """What action=prune leaves in the store."""

    keep: Literal["used", "last", "nothing"] = Field(
        description="used: every stage that a run folder names; last: of these the weights of the "
        "last round only; nothing: empties the store."
    )


class Config(Settings):
    """One evolution, or one action on finished ones."""

    name: str = Field(
        description="Names the folder of the run: letters, digits, '_', '-' and '.', which may not "
        "be the first.",
    )
    seed: NonNegativeInt = Field(
        le=2**32 - 1,  # the most that NumPy's generator takes
        description="Seed of everything drawn; the quickstart's seed also "
        "picks the elements asked about.",
    )
    rounds: NonNegativeInt = Field(description="Rounds of training; 0 is the untrained arm.")
    model: ModelConfig
    data: DataConfig
    knowledge: KnowledgeConfig
    endpoint: EndpointConfig
    mistakes: MistakesConfig
    triage: TriageConfig
    recipe: RecipeConfig
    supply: SupplyConfig
    objective: ObjectiveConfig
    answering: AnsweringConfig
    trainer: TrainerConfig
    verdict: VerdictConfig
    logger: LoggerConfig
    action: Action = Field(description="What to do.")
    runs: tuple[Path, ...] = Field(
        description="Run folders: those that action=compare reads, and those that action=export "
        "names as control arms."
    )
    question: str | None = Field(description="Id of the question that inspect and trace follow.")
    inspect: InspectConfig
    export: ExportConfig
    harness: HarnessConfig
    prune: PruneConfig
    store_dir: Path = Field(description="Where finished stages are kept.")
    run_dir: Path | None = Field(description="Folder of this run; null derives it.")

    @field_validator("name")
    @classmethod
    def _is_no_path(cls, value: str) -> str:
        """A leading dot would lead out of the folder of all runs, or among its hidden ones."""
        if not re.fullmatch(r"[\w-][\w.-]*", value):
            raise ValueError("must be of letters, digits, '_', '-' and '.', and not begin with '.'")
        return value

    @field_validator("trainer")
    @classmethod
    def _mixes_with_float32(cls, value: TrainerConfig, info: ValidationInfo) -> TrainerConfig:
        """Weights in half precision leave nothing to mix."""
        model = info.data.get("model")
        if value.mixed_precision and model is not None and model.dtype != "float32":
            raise ValueError(
                f"trainer.mixed_precision=true keeps the weights in float32, but "
                f"model.dtype={model.dtype}; set model.dtype=float32, or "
                "trainer.mixed_precision=false to train in that type throughout"
            )
        return value

    @field_validator("supply")
    @classmethod
    def _is_read(cls, value: SupplyConfig, info: ValidationInfo) -> SupplyConfig:
        """What is made must be trained on, and somebody must make it."""
        recipe, endpoint = info.data.get("recipe"), info.data.get("endpoint")
        if value.asks and value.by == "endpoint" and endpoint and endpoint.model is None:
            raise ValueError("supply.by=endpoint needs endpoint.model, the name of its model")
        if recipe is None or not value.kinds:
            return value
        if recipe.passages == "random":
            raise ValueError(
                f"recipe {recipe.name!r} reads passages drawn at random, and synthetic texts are "
                "made of retrieved ones; leave this arm supply=none"
            )
        for kind in value.kinds:
            example: Kind = "passage" if kind in ("paraphrase", "focus") else "extractive"
            if not recipe.share(example):
                raise ValueError(
                    f"{kind} makes examples of kind {example}, which recipe {recipe.name!r} gives "
                    f"no share; take recipe=extractive, set recipe.shares.{example} and lower "
                    f"another share, or leave {kind} out of supply.kinds"
                )
        return value

    @field_validator("answering")
    @classmethod
    def _measures_ambiguity(cls, value: AnsweringConfig, info: ValidationInfo) -> AnsweringConfig:
        """What collecting tests must be asked for."""
        mistakes = info.data.get("mistakes")
        agreement = mistakes is not None and mistakes.ambiguous_by == "agreement"
        if agreement and value.permutations != "cyclic":
            raise ValueError(
                "mistakes.ambiguous_by=agreement needs every question asked under all orders of "
                "its choices; set answering.permutations=cyclic (with answering=letters or "
                "extract), or another mistakes.ambiguous_by"
            )
        return value

    @field_validator("mistakes")
    @classmethod
    def _can_be_asked(cls, value: MistakesConfig, info: ValidationInfo) -> MistakesConfig:
        endpoint = info.data.get("endpoint")
        if value.points_by == "endpoint" and endpoint is not None and endpoint.model is None:
            raise ValueError(
                "mistakes.points_by=endpoint needs endpoint.model, the name of its model"
            )
        return value

    @field_validator("store_dir", "run_dir", "runs", mode="before")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        """A leading ~ is the home folder; an empty path would mean the working folder."""
        if isinstance(value, list | tuple):
            return tuple(cls._expand_home(each) for each in value)
        if value == "":
            raise ValueError("an empty path; leave the key out for its default")
        return Path(value).expanduser() if isinstance(value, str) else value

    @property
    def asks_endpoint(self) -> bool:
        """Whether a round asks the model behind the endpoint."""
        if not self.rounds:
            return False
        writes = self.supply.asks and self.supply.by == "endpoint"
        return writes or self.mistakes.points_by == "endpoint"

    @property
    def folder(self) -> Path:
        """The folder of this run: `run_dir`, or one named by the digest of the config."""
        if self.run_dir is not None:
            return self.run_dir
        return Path("runs") / self.name / digest_value(self.identity(rounds=True))[:12]

    def identity(self, *, rounds: bool = False) -> dict[str, Any]:
        """The values that make this run what it is, as plain JSON.

        Args:
            rounds: count the number of rounds among them.
        """
        values = self.model_dump(mode="json")
        for key in _FREE_KEYS:
            if not (rounds and key == "rounds"):
                del values[key]
        values["knowledge"], _ = parted(self.knowledge)
        del values["model"]["device"]
        values["endpoint"], _ = self.endpoint.parted()
        for key in FREE_KEYS:
            del values["trainer"][key]
        return values
