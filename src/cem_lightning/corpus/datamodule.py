"""Streams the optimizer steps of a run from the Arrow folder of its examples.

Holds no tokens itself: rows are read from the memory-mapped folder as the steps need them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from cem_lightning.corpus.arrow import kinds_and_lengths, open_examples
from cem_lightning.corpus.batches import Pack, StepSampler, packs
from cem_lightning.corpus.config import Kind, RecipeConfig
from cem_lightning.corpus.schedule import schedule
from cem_lightning.errors import UserError


class CorpusDataModule(pl.LightningDataModule):
    """One batch is one optimizer step, as a list of packs.

    Args:
        folder: what `arrow.save_examples` wrote.
        batch: examples per optimizer step.
        pack_tokens: most tokens that go through the model at once; None sends each example alone.
        processes: how many share every step.
        start: step to begin with.

    Attributes:
        order: positions of the examples of the whole run, in order.
        tokens: tokens that the whole run reads.

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
        pack_tokens: int | None,
        processes: int = 1,
        start: int = 0,
    ) -> None:
        super().__init__()
        self.examples = open_examples(folder)
        kinds, lengths = kinds_and_lengths(self.examples)
        _refuse_longer(kinds, lengths, pack_tokens)
        self.order = schedule(kinds, lengths, recipe, seed)
        self.tokens = sum(lengths[example] for example in self.order)
        self.batch = batch
        self.pack_tokens = pack_tokens
        self.processes = processes
        self.start = start

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return len(StepSampler(self.order, self.batch))

    def train_dataloader(self) -> DataLoader[list[Pack]]:
        """The steps from `start` on."""
        return DataLoader(
            self.examples,
            batch_sampler=StepSampler(self.order, self.batch, self.start),
            collate_fn=partial(packs, pack_tokens=self.pack_tokens, processes=self.processes),
        )


def _refuse_longer(kinds: Sequence[Kind], lengths: Sequence[int], pack_tokens: int | None) -> None:
    """No example is cut: half an answer would teach to break off."""
    if pack_tokens is None or max(lengths, default=0) <= pack_tokens:
        return
    at = max(range(len(lengths)), key=lengths.__getitem__)
    raise UserError(
        f"trainer.pack_tokens is {pack_tokens}, but training example {at} ({kinds[at]}) has "
        f"{lengths[at]} tokens. Raise it to that, or shorten what examples are made of: "
        "knowledge.passage_tokens, or the longest questions."
    )
