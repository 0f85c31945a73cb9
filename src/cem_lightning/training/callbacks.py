"""What goes along with a run: the curves, its checkpoints, and its end by a signal.

Draws nothing itself; progress is handed in.
"""

from __future__ import annotations

import csv
import io
import json
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch.optim.lr_scheduler import LambdaLR

from cem_lightning.progress import SAVING, Task
from cem_lightning.storage.atomic import write_text
from cem_lightning.training.checkpoints import Checkpoint, CheckpointFolder
from cem_lightning.training.module import MixedObjective
from cem_lightning.training.resuming import restore_optimizer, schedule_values, state_tensors
from cem_lightning.training.throughput import Gauge

MEASURED = ("seconds", "tokens_per_second", "memory_bytes", "mfu")  # differ from run to run
_SMOOTHED = 10  # steps over which the speed is shown


class Curves(pl.Callback):
    """Keeps one row per optimizer step, with the tokens and seconds so far, and tells the task.

    Args:
        gauge: reads speed and memory of every step.
        earlier: rows of a run that is continued, which the task is told at once.

    Attributes:
        rows: one line of JSON each.
        earlier: seconds that those took.
        began: when the run would have begun without interruptions, on the monotonic clock.
    """

    def __init__(self, task: Task, gauge: Gauge, earlier: Sequence[str] = ()) -> None:
        self.task = task
        self.gauge = gauge
        self.rows = list(earlier)
        self.tokens = 0
        self.earlier = float(json.loads(earlier[-1])["seconds"]) if earlier else 0.0
        self.began = time.monotonic() - self.earlier
        self._last = time.monotonic()
        self._recent: deque[tuple[int, float]] = deque(maxlen=_SMOOTHED)  # tokens and seconds
        for line in earlier:
            row = json.loads(line)
            del row["step"]
            self.task.measure(row)
            self.tokens = int(row["tokens"])
        if earlier:  # at once, so that nobody takes it for speed
            self.task.advance(self.tokens)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        assert isinstance(outputs, dict) and isinstance(pl_module, MixedObjective)
        row: dict[str, float] = {
            key: float(value) for key, value in outputs.items() if not key.startswith("tokens/")
        }
        read = int(sum(value for key, value in outputs.items() if key.startswith("tokens/")))
        now = time.monotonic()
        self.tokens += read
        row |= {"tokens": self.tokens, "seconds": now - self.began}
        took = now - self._last - pl_module.asking  # which is not training
        row |= self.gauge.read(batch, took)
        self._recent.append((read, took))
        self._last = now
        self.rows.append(json.dumps({"step": len(self.rows) + 1, **row}))
        self.task.measure(row)
        tokens, seconds = map(sum, zip(*self._recent, strict=True))
        self.task.advance(read, note=_note(row, tokens / seconds if seconds else 0.0))

    def write(self, path: Path) -> None:
        """Write them as a table; what a step has no value of stays empty."""
        rows = [json.loads(line) for line in self.rows]
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, sorted({*chain.from_iterable(rows)}))
        table.writeheader()
        table.writerows(rows)
        write_text(path, text.getvalue())


def _note(row: Mapping[str, float], speed: float) -> str:
    """A step in a few words: its loss, by kind too, and what the device makes of it.

    Args:
        speed: tokens a second, over more than this step.
    """
    kinds = {name.removeprefix("loss/"): row[name] for name in row if name.startswith("loss/")}
    loss = f"loss {row['loss']:.2f}"
    loss += f" ({', '.join(f'{kind} {value:.2f}' for kind, value in kinds.items())})"
    parts = [loss]
    if "kl" in row:
        parts.append(f"KL {row['kl']:.3f}")
    parts.append(f"{speed:,.0f} tokens/s")
    parts.append(f"{row['memory_bytes'] / 2**30:.1f} GiB")
    if "mfu" in row:
        parts.append(f"MFU {row['mfu']:.0%}")
    return " · ".join(parts)


class Continued(pl.Callback):
    """Puts the optimizer and the schedule as a checkpoint has them."""

    def __init__(self, found: Checkpoint) -> None:
        self._found = found

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        scheduler = trainer.lr_scheduler_configs[0].scheduler
        assert isinstance(pl_module, MixedObjective) and isinstance(scheduler, LambdaLR)
        restore_optimizer(pl_module.network, trainer.optimizers[0], scheduler, self._found)


class Checkpoints(pl.Callback):
    """Writes the state every few minutes, and before Ctrl-C, SIGTERM or SIGUSR1 ends the process.

    Of several processes the first writes, and all end after the same step, whichever of them was
    told to. A second signal ends the process at once.

    Args:
        minutes: between two states.
        known: plain values of every state: what it is a state of.
        say: told where a run that ends now will be continued.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        curves: Curves,
        *,
        minutes: float,
        known: Mapping[str, Any],
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._curves = curves
        self._seconds = 60 * minutes
        self._known = known
        self._say = say
        self._saved = time.monotonic()
        self._told: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._saved = time.monotonic()
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread may handle signals
        # Now, since Lightning has set a handler of its own, after which nothing could be written;
        # it puts back in the end what was there before.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            self._listen(number, signal.getsignal(number) or signal.SIG_DFL)

    def _listen(self, number: signal.Signals, before: Any) -> None:
        def hear(*_: object) -> None:
            self._told = number
            signal.signal(number, before)
            if number == signal.SIGINT:  # somebody is waiting
                self._say(SAVING)

        signal.signal(number, hear)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, MixedObjective)
        ranks, done = pl_module.ranks, pl_module.start + batch_idx + 1
        due = ranks.first and time.monotonic() - self._saved >= self._seconds
        told = torch.tensor([self._told is not None, due], dtype=torch.long)
        ends, due = (bool(count) for count in ranks.sum(told).tolist())
        if not ends and (not due or done == pl_module.steps):
            return
        pl_module.refuse_wrecked(done)
        self._save(trainer, pl_module, done)
        self._saved = time.monotonic()
        if ends:
            if ranks.first:
                where = f"after step {done} of {pl_module.steps}"
                self._say(f"stopped {where}; the same command continues there")
            if self._told == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(128 + (self._told or signal.SIGTERM))

    def _save(self, trainer: pl.Trainer, module: MixedObjective, done: int) -> None:
        optimizer, scheduler = trainer.optimizers[0], trainer.lr_scheduler_configs[0].scheduler
        assert isinstance(scheduler, LambdaLR)
        tensors = state_tensors(module.network, optimizer)
        if not module.ranks.first:
            deque(tensors, maxlen=0)  # what is shared out is gathered by all
            return
        values = {"totals": module.totals.values(), **schedule_values(optimizer, scheduler)}
        self._folder.save(
            done,
            tensors,
            self._curves.rows,
            {**self._known, **values},
        )
