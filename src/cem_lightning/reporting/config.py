"""Settings of where results are logged beside the run folder."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class CsvLogger(BaseModel):
    """Files in the run folder only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["csv"]


class WandbLogger(BaseModel):
    """Weights & Biases as well."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["wandb"]
    project: str = Field(description="Project the run is listed in.")
    mode: Literal["offline", "online"] = Field(
        description="offline: written to the run folder, sent later with `wandb sync`."
    )


LoggerConfig = Annotated[CsvLogger | WandbLogger, Field(discriminator="kind")]
