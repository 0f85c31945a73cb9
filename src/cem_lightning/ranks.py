"""This process among those that ask or train one model together, each on a device of its own.

Whoever starts the processes and their torch.distributed group does that elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import torch.distributed as dist
from torch import Tensor

Item = TypeVar("Item")


@dataclass(frozen=True)
class Ranks:
    """A process of a group; the only one if there is no group.

    Attributes:
        number: of this process, from 0.
        world: how many there are.
    """

    number: int
    world: int

    @classmethod
    def here(cls) -> Self:
        """As torch.distributed has it."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls(0, 1)

    @property
    def first(self) -> bool:
        """Whether it is this process that writes files and tells how far the work is."""
        return self.number == 0

    def own(self, items: Sequence[Item]) -> Sequence[Item]:
        """What this process takes of `items`: every `world`-th."""
        return items[self.number :: self.world]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, on the device of `values`, which it may overwrite."""
        if self.world == 1:
            return values
        there = values.cuda() if dist.get_backend() == "nccl" else values
        dist.all_reduce(there)
        return there.to(values.device)
