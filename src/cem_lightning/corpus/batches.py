"""Cuts the order of examples into optimizer steps, and a step into padded micro-batches.

One batch that Lightning sees is one whole optimizer step, so its loss can be normalised exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler

from cem_lightning.corpus.config import KINDS


@dataclass(frozen=True)
class MicroBatch:
    """Sequences that go through the model at once.

    Attributes:
        input_ids: (B, T) token ids, padded on the right.
        attention_mask: (B, T), 1 for a token and 0 for padding.
        supervised: (B, T), True where the prediction of this token is trained; never at position
            0, which nothing predicts.
        kinds: (B,) position of each sequence's kind in `KINDS`.
        padded: whether there is any padding; known here so that no device must be asked.
    """

    input_ids: Tensor
    attention_mask: Tensor
    supervised: Tensor
    kinds: Tensor
    padded: bool

    def to(self, device: torch.device | str, non_blocking: bool = False) -> MicroBatch:
        """The same on another device; Lightning calls this."""
        return MicroBatch(
            self.input_ids.to(device, non_blocking=non_blocking),
            self.attention_mask.to(device, non_blocking=non_blocking),
            self.supervised.to(device, non_blocking=non_blocking),
            self.kinds.to(device, non_blocking=non_blocking),
            self.padded,
        )


class StepSampler(Sampler[list[int]]):
    """Yields the positions of the examples of one optimizer step after another.

    Args:
        order: positions of the examples of the whole run.
        batch: examples per step; the last step takes what is left.
        start: step to begin with. A run continues at any step at once, since the order is known.
    """

    def __init__(self, order: Sequence[int], batch: int, start: int = 0) -> None:
        self.order = order
        self.batch = batch
        self.start = start

    def __len__(self) -> int:
        """Steps left from `start` on."""
        return -(-len(self.order) // self.batch) - self.start

    def __iter__(self) -> Iterator[list[int]]:
        for begin in range(self.start * self.batch, len(self.order), self.batch):
            yield list(self.order[begin : begin + self.batch])


def micro_batches(rows: Sequence[Mapping[str, Any]], size: int) -> list[MicroBatch]:
    """One optimizer step as micro-batches of at most `size` examples.

    Examples of like length share a micro-batch, the longest first: little padding, and memory
    peaks at once rather than late in the run. The loss does not depend on the cut.

    Args:
        rows: rows of the examples folder, with the columns kind, ids and supervised.
    """
    ordered = sorted(rows, key=lambda row: -len(row["ids"]))
    return [_pad(ordered[start : start + size]) for start in range(0, len(ordered), size)]


def _pad(rows: Sequence[Mapping[str, Any]]) -> MicroBatch:
    lengths = [len(row["ids"]) for row in rows]
    shape = (len(rows), max(lengths))
    input_ids = torch.zeros(shape, dtype=torch.long)
    attention_mask = torch.zeros(shape, dtype=torch.long)
    supervised = torch.zeros(shape, dtype=torch.bool)
    for at, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        input_ids[at, :length] = torch.as_tensor(row["ids"])
        attention_mask[at, :length] = 1
        supervised[at, :length] = torch.as_tensor(row["supervised"])
    supervised[:, 0] = False
    kinds = torch.tensor([KINDS.index(row["kind"]) for row in rows])
    return MicroBatch(input_ids, attention_mask, supervised, kinds, min(lengths) < max(lengths))
