"""Follows an evolution while it goes and hands every step and every round on exactly once.

Knows no logger: what is behind it says how much it holds already, so that a restart continues.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cem_lightning.reporting.config import LoggerConfig
from cem_lightning.reporting.run_folder import RunRecord
from cem_lightning.storage.store import Part


@dataclass(frozen=True)
class RunIdentity:
    """What an evolution is listed under.

    Attributes:
        folder: its run folder, which gives it its id.
        name: of the experiment.
        arm: the recipe's name, or "untrained".
        sweep: the sweep that it is a job of, if it is one.
    """

    folder: Path
    name: str
    arm: str
    seed: int
    config: dict[str, Any]
    sweep: str | None = None

    @property
    def id(self) -> str:
        """The same for every command on the same folder: 16 hexadecimal digits."""
        return folder_id(self.folder)

    @property
    def title(self) -> str:
        """As a reader sees it in a list of runs."""
        return f"{self.arm} seed {self.seed}"


@dataclass(frozen=True)
class RoundFiles:
    """What a round has made.

    Attributes:
        corpus: mistakes, passages and training examples by name; nothing in round 0.
        model: the weights after the round; in round 0 the untouched model.
    """

    corpus: Mapping[str, Part]
    model: Part


class Sink(Protocol):
    """Where an evolution is logged.

    Attributes:
        steps: optimizer steps that it holds already.
        rounds: rounds that it holds already, round 0 being the first.
    """

    steps: int
    rounds: int

    def log_step(self, step: int, row: Mapping[str, float]) -> None:
        """Log what one optimizer step gave; steps count from 1 over the whole evolution."""
        ...

    def log_round(self, record: RunRecord, made: RoundFiles) -> None:
        """Log the last round of `record`, which holds all rounds so far."""
        ...

    def close(self, *, failed: bool) -> None:
        """Nothing comes any more."""
        ...


class Tracker:
    """Hands the rows of an evolution on, in order and once each."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._round = 0
        self._before = 0  # steps of finished rounds
        self._seen = 0  # steps of the round under way

    def row(self, row: Mapping[str, float]) -> None:
        """Take what one optimizer step of the round under way gave."""
        self._seen += 1
        self._log_step(self._before + self._seen, {"round": self._round, **row})

    def round_finished(self, record: RunRecord, made: RoundFiles) -> None:
        """Take a finished round, with the steps of a training that was found in the store."""
        for step, row in enumerate(record.curves, start=1):
            self._log_step(step, {key: value for key, value in row.items() if key != "step"})
        self._before, self._seen = len(record.curves), 0
        self._round = record.last_round + 1
        if self._round > self._sink.rounds:
            self._sink.log_round(record, made)
            self._sink.rounds = self._round

    def _log_step(self, step: int, row: Mapping[str, float]) -> None:
        if step > self._sink.steps:
            self._sink.log_step(step, row)
            self._sink.steps = step


@contextmanager
def tracked(config: LoggerConfig, identity: RunIdentity) -> Iterator[Tracker]:
    """Follow an evolution until the context ends; left by any exception it is marked failed.

    Raises:
        UserError: if what the logger needs is not installed, or W&B cannot be reached.
    """
    sink = _open(config, identity)
    try:
        yield Tracker(sink)
    except BaseException:
        sink.close(failed=True)
        raise
    sink.close(failed=False)


def folder_id(folder: Path) -> str:
    """An id that a folder has under every name it can be given: 16 hexadecimal digits."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


def numbers(values: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """The numbers of nested values, by their path below `prefix`."""
    flat: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= numbers(value, f"{prefix}/{key}")
        elif isinstance(value, int | float):
            flat[f"{prefix}/{key}"] = value
    return flat


def _open(config: LoggerConfig, identity: RunIdentity) -> Sink:
    if config.kind == "wandb":
        from cem_lightning.reporting.wandb_run import WandbSink

        return WandbSink(config, identity)
    if config.kind == "tensorboard":
        from cem_lightning.reporting.loggers import tensorboard_sink

        return tensorboard_sink(identity)
    if config.kind == "mlflow":
        from cem_lightning.reporting.loggers import mlflow_sink

        return mlflow_sink(config, identity)
    return _FolderOnly()


class _FolderOnly:
    """The run folder is written in any case."""

    steps = 0
    rounds = 0

    def log_step(self, step: int, row: Mapping[str, float]) -> None:
        """Do nothing."""

    def log_round(self, record: RunRecord, made: RoundFiles) -> None:
        """Do nothing."""

    def close(self, *, failed: bool) -> None:
        """Do nothing."""
