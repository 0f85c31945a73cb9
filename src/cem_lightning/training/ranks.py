"""The processes that train one model together, each on a device of its own.

Divides the work of an optimizer step and sums what comes of it; whoever starts the processes and
their torch.distributed group does that elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Item = TypeVar("Item")


@dataclass(frozen=True)
class Ranks:
    """This process among those of its group; the only one if there is no group.

    Attributes:
        number: of this process, from 0.
        world: how many there are.
    """

    number: int
    world: int

    @classmethod
    def here(cls) -> Ranks:
        """As torch.distributed has it."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls(0, 1)

    @property
    def first(self) -> bool:
        """Whether it is this process that writes files and tells how far the training is."""
        return self.number == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """What this process takes of the micro-batches of a step: every `world`-th."""
        return items[self.number :: self.world]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place and returned."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes.

        A process that had no micro-batch, or whose micro-batches did not reach a weight, adds
        zeros; a weight that no process has reached keeps no gradient, as on one device.
        """
        if self.world == 1:
            return
        trained = [each for each in parameters if each.requires_grad]
        reached = torch.tensor(
            [each.grad is not None for each in trained],
            dtype=torch.int32,
            device=trained[0].device,
        )
        dist.all_reduce(reached)
        waiting = []
        for parameter, count in zip(trained, reached.tolist(), strict=True):
            if not count:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            waiting.append(dist.all_reduce(parameter.grad, async_op=True))
        for each in waiting:
            each.wait()
