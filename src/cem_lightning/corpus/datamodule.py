"""Streams the optimizer steps of a run from the Arrow folder of its examples.

Holds no tokens itself: rows are read from the memory-mapped folder as the steps need them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from cem_lightning.corpus.arrow import kinds_and_lengths, open_examples
from cem_lightning.corpus.batches import MicroBatch, StepSampler, micro_batches
from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.corpus.schedule import schedule


class CorpusDataModule(pl.LightningDataModule):
    """One batch is one optimizer step, as a list of micro-batches.

    Args:
        folder: what `arrow.save_examples` wrote.
        batch: examples per optimizer step.
        micro_batch: examples that go through the model at once.
        start: step to begin with.

    Attributes:
        order: positions of the examples of the whole run, in order.
        tokens: tokens that the whole run reads, without padding.
    """

    def __init__(
        self,
        folder: Path,
        recipe: RecipeConfig,
        *,
        seed: int,
        batch: int,
        micro_batch: int,
        start: int = 0,
    ) -> None:
        super().__init__()
        self.examples = open_examples(folder)
        kinds, lengths = kinds_and_lengths(self.examples)
        self.order = schedule(kinds, lengths, recipe, seed)
        self.tokens = sum(lengths[example] for example in self.order)
        self.batch = batch
        self.micro_batch = micro_batch
        self.start = start

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return len(StepSampler(self.order, self.batch))

    def train_dataloader(self) -> DataLoader[list[MicroBatch]]:
        """The steps from `start` on."""
        return DataLoader(
            self.examples,
            batch_sampler=StepSampler(self.order, self.batch, self.start),
            collate_fn=partial(micro_batches, size=self.micro_batch),
        )
