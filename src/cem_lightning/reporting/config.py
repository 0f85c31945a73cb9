"""Settings of where results are logged beside the run folder."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cem_lightning.settings import Settings


class CsvLogger(Settings):
    """Files in the run folder only."""

    kind: Literal["csv"]


class WandbLogger(Settings):
    """Weights & Biases as well."""

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


class TensorBoardLogger(Settings):
    """TensorBoard event files in the run folder as well."""

    kind: Literal["tensorboard"]


class MLflowLogger(Settings):
    """MLflow as well; the experiment there has the name of the run."""

    kind: Literal["mlflow"]
    tracking_uri: str = Field(
        min_length=1,
        description="A folder, or the address of a server; name and password for it belong into "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
    )


LoggerConfig = Annotated[
    CsvLogger | WandbLogger | TensorBoardLogger | MLflowLogger, Field(discriminator="kind")
]
