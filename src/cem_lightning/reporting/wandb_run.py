"""Logs a finished evolution to Weights & Biases: steps and rounds on axes of their own.

One run per evolution, written from its record, so that a restart makes no second one offline.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any, Literal

from cem_lightning.reporting.run_folder import RunRecord


def log_to_wandb(
    record: RunRecord, *, mode: Literal["offline", "online"], project: str, folder: Path
) -> str:
    """Log scores by round and curves by step, and return the run's id.

    Args:
        folder: the run folder; its path gives the id, and offline runs are written below it.
    """
    import wandb

    identity = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    for earlier in (folder / "wandb").glob(f"offline-run-*-{identity}"):
        shutil.rmtree(earlier)  # offline, W&B would begin a second run beside it
    run = wandb.init(
        project=project,
        id=identity,
        name=f"{record.arm} seed {record.seed}",
        group=record.name,
        job_type=record.arm,
        config=record.config,
        dir=folder,
        mode=mode,
        resume="allow" if mode == "online" else None,
        settings=wandb.Settings(console="off", silent=True),
    )
    with run:
        run.define_metric("round")
        run.define_metric("rounds/*", step_metric="round")
        run.define_metric("step")
        run.define_metric("steps/*", step_metric="step")
        for at, row in enumerate(record.curves):
            values = {f"steps/{key}": value for key, value in row.items() if key != "step"}
            run.log({"step": at, **values})
        for current in record.rounds:
            run.log({"round": current["round"], **_flat(current, "rounds")})
        run.summary.update(_flat(record.rounds[-1], "final"))
    return identity


def _flat(values: dict[str, Any], prefix: str) -> dict[str, float]:
    """The numbers of nested values, by their path."""
    flat: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}/{key}")
        elif isinstance(value, int | float):
            flat[f"{prefix}/{key}"] = value
    return flat
