"""The processes that train one model together, each on a device of its own.

Divides the work of an optimizer step and sums what comes of it; whoever starts the processes and
their torch.distributed group does that elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from cem_lightning.ranks import Ranks


@dataclass(frozen=True)
class TrainingRanks(Ranks):
    """This process among those that train."""

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes; those that are shared out have it.

        A process that had no pack, or whose packs did not reach a weight, adds
        zeros; a weight that no process has reached keeps no gradient, as on one device.
        """
        trained = [
            each for each in parameters if each.requires_grad and not isinstance(each, DTensor)
        ]
        if self.world == 1 or not trained:
            return
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
