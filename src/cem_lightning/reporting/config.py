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
    project: str = Field(min_length=1, description="Project the run is listed in.")
    entity: str | None = Field(description="User or team that owns it; null is the user's own.")
    mode: Literal["offline", "online"] = Field(
        description="offline: written to the run folder, sent later with `wandb sync`; online: "
        "sent while the evolution goes."
    )
    log_model: bool = Field(
        description="Log the weights of every round; otherwise the names, sizes (bytes) and digest "
        "of their files."
    )


class TensorBoardLogger(BaseModel):
    """TensorBoard event files in the run folder as well."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["tensorboard"]


class MLflowLogger(BaseModel):
    """MLflow as well; the experiment there has the name of the run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["mlflow"]
    tracking_uri: str = Field(
        min_length=1,
        description="A folder, or the address of a server; name and password for it belong into "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
    )


LoggerConfig = Annotated[
    CsvLogger | WandbLogger | TensorBoardLogger | MLflowLogger, Field(discriminator="kind")
]
