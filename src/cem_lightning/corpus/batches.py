"""Examples in steps, and a step in packs.

One batch that Lightning sees is one whole optimizer step, so its loss can be normalised exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler

from cem_lightning.corpus.config import KINDS
from cem_lightning.corpus.packing import best_fit
from cem_lightning.corpus.plan import Plan

Array = NDArray[Any]


@dataclass(frozen=True)
class Pack:
    """Examples one behind another, without padding, that go through the model at once.

    Attributes:
        input_ids: (tokens,) token ids.
        supervised: (tokens,), True where the prediction of this token is trained; never at the
            first of an example, which nothing predicts.
        kinds: (tokens,) position in `KINDS` of the kind of each token's example.
        lengths: tokens of each example.
        places: of each example among those of the step.
    """

    input_ids: Tensor
    supervised: Tensor
    kinds: Tensor
    lengths: tuple[int, ...]
    places: tuple[int, ...]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Pack:
        """The same on another device; Lightning calls this."""
        return Pack(
            self.input_ids.to(device, non_blocking=non_blocking),
            self.supervised.to(device, non_blocking=non_blocking),
            self.kinds.to(device, non_blocking=non_blocking),
            self.lengths,
            self.places,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """By value: every tensor that a worker sends would hold a file open."""
        tensors = (self.input_ids, self.supervised, self.kinds)
        arrays = [each.numpy(force=True) for each in tensors]
        return _unpickled, (arrays, self.lengths, self.places)


class StepSampler(Sampler[list[int]]):
    """Yields the positions of the examples of one optimizer step after another.

    Args:
        start: step to begin with. A run continues at any step at once, since the plan is known.
    """

    def __init__(self, plan: Plan, start: int = 0) -> None:
        self.plan = plan
        self.start = start

    def __len__(self) -> int:
        """Steps left from `start` on."""
        return self.plan.steps - self.start

    def __iter__(self) -> Iterator[list[int]]:
        return map(self.plan.step, range(self.start, self.plan.steps))


def _unpickled(arrays: Sequence[Array], lengths: tuple[int, ...], places: tuple[int, ...]) -> Pack:
    input_ids, supervised, kinds = map(torch.from_numpy, arrays)
    return Pack(input_ids, supervised, kinds, lengths, places)


def packs(
    rows: Sequence[Mapping[str, Any]], pack_tokens: int | None, processes: int = 1
) -> list[Pack]:
    """One optimizer step in packs; the loss does not depend on the cut.

    Args:
        rows: rows of the examples folder, with the columns kind, ids and supervised.
        pack_tokens: most tokens of a pack; None puts every example into one of its own.
        processes: how many share the step; packs get shorter for their sake.
    """
    lengths = [len(row["ids"]) for row in rows]
    if pack_tokens is None:
        return [_pack(rows, [at]) for at in sorted(range(len(rows)), key=lambda at: -lengths[at])]
    share = max(-(-sum(lengths) // processes), *lengths)
    return [_pack(rows, places) for places in best_fit(lengths, min(share, pack_tokens))]


def _pack(step: Sequence[Mapping[str, Any]], places: Sequence[int]) -> Pack:
    rows = [step[place] for place in places]
    lengths = tuple(len(row["ids"]) for row in rows)
    supervised = torch.tensor([*chain.from_iterable(row["supervised"] for row in rows)])
    supervised[torch.tensor((0, *lengths[:-1])).cumsum(0)] = False
    return Pack(
        torch.tensor([*chain.from_iterable(row["ids"] for row in rows)]),
        supervised,
        torch.tensor([KINDS.index(row["kind"]) for row in rows]).repeat_interleave(
            torch.tensor(lengths)
        ),
        lengths,
        tuple(places),
    )
