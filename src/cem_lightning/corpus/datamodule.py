"""Streams the optimizer steps of a run from the Arrow folder of its examples.

Holds no tokens itself: rows are read from the memory-mapped folder as the steps need them.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from datasets import Dataset
from torch.utils.data import DataLoader

from cem_lightning.corpus.arrow import longest, open_examples
from cem_lightning.corpus.batches import Pack, StepSampler, packs
from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.corpus.plan import make_plan
from cem_lightning.errors import UserError


class CorpusDataModule(pl.LightningDataModule):
    """One batch is one optimizer step, as a list of packs.

    Args:
        folder: what `arrow.save_examples` wrote.
        batch: examples per optimizer step.
        batch_tokens: tokens per optimizer step instead; see `plan.make_plan`.
        pack_tokens: most tokens that go through the model at once; None sends each example alone.
        processes: how many share every step.
        workers: processes that prepare steps ahead of time; 0 prepares them as they are needed.
        start: step to begin with.
        kept: folder that keeps the plan for a run that is continued.

    Attributes:
        plan: the steps of the whole run.

    Raises:
        UserError: if an example is longer than a pack.
    """

    def __init__(
        self,
        folder: Path,
        recipe: RecipeConfig,
        *,
        seed: int,
        batch: int,
        batch_tokens: int | None = None,
        pack_tokens: int | None,
        processes: int = 1,
        workers: int = 0,
        start: int = 0,
        kept: Path | None = None,
    ) -> None:
        super().__init__()
        self.examples = open_examples(folder)
        _refuse_longer(self.examples, pack_tokens)
        self.plan = make_plan(
            self.examples, recipe, seed, batch=batch, batch_tokens=batch_tokens, kept=kept
        )
        self.pack_tokens = pack_tokens
        self.processes = processes
        self.workers = workers
        self.start = start

    def train_dataloader(self) -> DataLoader[list[Pack]]:
        """The steps from `start` on."""
        return DataLoader(
            self.examples,
            batch_sampler=StepSampler(self.plan, self.start),
            collate_fn=partial(packs, pack_tokens=self.pack_tokens, processes=self.processes),
            num_workers=self.workers,
            worker_init_fn=_ignore_signals,
        )

    def named(self, step: int) -> list[str]:
        """The examples of a step as an error names them, such as "7 (normative, question q3)"."""
        rows = self.examples.select_columns(["kind", "question_ids", "passage_ids"])
        return [_named(at, rows[at]) for at in self.plan.step(step)]

    def arithmetic(self) -> str:
        """What a step is on average, such as "4 packs x 2,000 tokens x 2 devices = 16,000 tokens".

        Packs are told as full as they are; unpacked, every example is one.
        """
        share = self.plan.tokens / self.plan.steps / self.processes
        if self.pack_tokens is None:
            count = ceil(len(self.plan.order) / self.plan.steps / self.processes)
        else:
            count = ceil(share / self.pack_tokens)
        size = round(share / count)
        steps = f"{self.plan.steps:,} optimizer step{'s' * (self.plan.steps > 1)}"
        devices = f" x {self.processes} devices" if self.processes > 1 else ""
        return (
            f"{steps} of about {count} pack{'s' * (count > 1)} x {size:,} tokens{devices} = "
            f"{count * size * self.processes:,} tokens"
        )


def _ignore_signals(worker: int) -> None:
    """A signal to all processes of a run is for the trainer, which still needs its workers.

    It reads the step to its end and saves; the workers end with it, as its loader sees to.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def _named(at: int, row: Mapping[str, Any]) -> str:
    """By its row in the examples folder, and the question or else passage it was made of."""
    told = [str(row["kind"])]
    for what in ("question", "passage"):
        if len(told) == 1 and (ids := row[f"{what}_ids"]):
            told.append(f"{what} {ids[0]}")
    return f"{at} ({', '.join(told)})"


def _refuse_longer(examples: Dataset, pack_tokens: int | None) -> None:
    """No example is cut: half an answer would teach to break off."""
    at, length = longest(examples)
    if pack_tokens is None or length <= pack_tokens:
        return
    raise UserError(
        f"trainer.pack_tokens is {pack_tokens}, but training example {at} "
        f"({examples[at]['kind']}) has {length} tokens. Raise it to that, or shorten what examples "
        "are made of: knowledge.passage_tokens, or the longest questions."
    )
