"""What is told of a run while it goes: the curves, and how far it is.

Draws nothing itself; progress is handed in.
"""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.types import STEP_OUTPUT

from cem_lightning.progress import Task


class Curves(pl.Callback):
    """Logs one row per optimizer step, with the tokens and seconds so far, and tells the task."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.tokens = 0
        self.began = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        assert isinstance(outputs, dict)
        row: dict[str, float] = {
            key: float(value) for key, value in outputs.items() if not key.startswith("tokens/")
        }
        read = int(sum(value for key, value in outputs.items() if key.startswith("tokens/")))
        self.tokens += read
        row |= {"tokens": self.tokens, "seconds": time.monotonic() - self.began}
        for logger in trainer.loggers:
            logger.log_metrics(row, step=trainer.global_step)
        self.task.measure(row)
        self.task.advance(read, note=f"loss {row['loss']:.2f}")
