"""AdamW and the course of the learning rate.

Nothing here steps; `module` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from cem_lightning.training.config import TrainerConfig


def adamw(network: torch.nn.Module, config: TrainerConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) over what is trainable, fused where there is a kernel.

    Only matrices decay: norms and biases are no weights that could grow for want of it.
    """
    trained = [each for each in network.parameters() if each.requires_grad]
    groups: list[dict[str, Any]] = []
    for shared in (False, True):  # one kernel takes only one sort
        some = [each for each in trained if isinstance(each, DTensor) == shared]
        groups += [
            {"params": [each for each in some if each.dim() >= 2]},
            {"params": [each for each in some if each.dim() < 2], "weight_decay": 0.0},
        ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=all(each.device.type in ("cpu", "cuda") for each in trained),
    )


def rate_factor(config: TrainerConfig, steps: int) -> Callable[[int], float]:
    """The learning rate of a step, counted from 0, as a part of its peak.

    Neither the first nor the last step has a rate of 0: both would be wasted.
    """
    warmup = round(config.warmup_fraction * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min((step - warmup) / max(steps - warmup, 1), 1.0)
        if config.schedule == "linear":
            return 1 - done
        if config.schedule == "cosine":
            return (1 + math.cos(math.pi * done)) / 2
        return 1.0

    return factor
