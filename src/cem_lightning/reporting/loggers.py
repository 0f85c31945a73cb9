"""TensorBoard and MLflow, by Lightning's own loggers.

Both hold numbers only; tables and lineage are what the run folder and W&B are for.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

from cem_lightning.errors import UserError
from cem_lightning.reporting.config import MLflowLogger
from cem_lightning.reporting.run_folder import RunRecord
from cem_lightning.reporting.tracking import RoundFiles, RunIdentity, numbers

_SEPARATOR = "."  # in a folder, MLflow keeps a/b as a file b in a folder a, and a as a file


class LightningSink:
    """Logs to one of Lightning's loggers.

    Args:
        steps: optimizer steps that it holds already.
        rounds: rounds that it holds already.
        separator: between the parts of a metric's name.
    """

    def __init__(
        self, logger: Any, steps: int = 0, rounds: int = 0, *, separator: str = "/"
    ) -> None:
        self._logger = logger
        self._separator = separator
        self.steps = steps
        self.rounds = rounds

    def log_step(self, step: int, row: Mapping[str, float]) -> None:
        self._log(step, {"step": step, **numbers(row, "steps")})

    def log_round(self, record: RunRecord, made: RoundFiles) -> None:
        number = record.last_round
        self._log(number, {"round": number, **numbers(record.rounds[-1], "rounds")})

    def _log(self, at: int, values: Mapping[str, float]) -> None:
        named = {key.replace("/", self._separator): value for key, value in values.items()}
        self._logger.log_metrics(named, step=at)

    def close(self, *, failed: bool) -> None:
        self._logger.finalize("failed" if failed else "success")


def tensorboard_sink(identity: RunIdentity) -> LightningSink:
    """Event files below ``tensorboard/`` in the run folder, in place of those of an earlier start.

    Raises:
        UserError: if tensorboard is not installed.
    """
    from pytorch_lightning.loggers import TensorBoardLogger

    folder = identity.folder / "tensorboard"
    try:
        logger = TensorBoardLogger(folder, name=None, version="")
    except ModuleNotFoundError:
        raise _not_installed("tensorboard") from None
    shutil.rmtree(folder, ignore_errors=True)
    logger.log_hyperparams(identity.config)
    return LightningSink(logger)


def mlflow_sink(config: MLflowLogger, identity: RunIdentity) -> LightningSink:
    """The MLflow run with the evolution's id, continued if there is one.

    Raises:
        UserError: if mlflow is not installed, or `tracking_uri` cannot be used.
    """
    from pytorch_lightning.loggers import MLFlowLogger

    # from version 3.7 on MLflow keeps runs in a folder only if it is told so
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ModuleNotFoundError:
        raise _not_installed("mlflow") from None
    settings: dict[str, Any] = {
        "experiment_name": identity.name,
        "tracking_uri": config.tracking_uri,
        "run_name": identity.title,
        "tags": {"evolution": identity.id, "arm": identity.arm, "sweep": identity.sweep or ""},
    }
    try:
        client = MlflowClient(config.tracking_uri)
        with _one_short_try():
            experiment = client.get_experiment_by_name(identity.name)
        earlier = experiment and client.search_runs(
            [experiment.experiment_id], f"tags.evolution = '{identity.id}'"
        )
        if not earlier:
            logger = MLFlowLogger(**settings)
            logger.log_hyperparams(identity.config)
            return LightningSink(logger, separator=_SEPARATOR)
        (run,) = earlier
        client.update_run(run.info.run_id, status="RUNNING")
        held = run.data.metrics
        return LightningSink(
            MLFlowLogger(**settings, run_id=run.info.run_id),
            steps=int(held.get("step", 0)),
            rounds=int(held.get("round", -1)) + 1,
            separator=_SEPARATOR,
        )
    except (MlflowException, OSError) as error:
        raise UserError(
            f"logger.tracking_uri: MLflow cannot use {config.tracking_uri} "
            f"({shorten(str(error), 300, placeholder=' ...')}). Give a "
            "folder or the address of a server that runs, or take logger=csv."
        ) from None


@contextmanager
def _one_short_try() -> Iterator[None]:
    """Whether a server answers at all is soon told; later on MLflow waits for it as it likes."""
    hasty = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    before = dict(os.environ)
    os.environ.update(hasty)
    try:
        yield
    finally:
        for name in hasty:
            os.environ.pop(name)
            os.environ.update({name: before[name]} if name in before else {})


def _not_installed(extra: str) -> UserError:
    return UserError(
        f"logger={extra} needs a package that is not installed: "
        f"pip install 'cem-lightning[{extra}]', or take logger=csv."
    )
