"""Memory: the most that was used, what a training needs, and which keys make it need less.

The estimate serves the error alone; nothing is decided by it.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from cem_lightning.errors import UserError
from cem_lightning.training.config import TrainerConfig

_MOMENTS = 2  # of AdamW, each as large as the weights
_HALVES = 0.5  # what half precision takes of single


def peak_memory_bytes() -> int:
    """Highest resident memory so far of this process and its finished children, in bytes."""
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return unit * sum(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


@dataclass(frozen=True)
class TrainingMemory:
    """What training takes, in bytes.

    Attributes:
        weights: of the model, trained or not.
        trained: of those that are trained; gradients take the same, AdamW's moments twice that.
        activations: of one token of a pack, kept for the backward pass.
        recomputed: of one token, where they are computed again instead.
    """

    weights: int
    trained: int
    activations: float
    recomputed: float

    @classmethod
    def of(cls, network: Any) -> Self:
        """An estimate for a decoder: each layer keeps about twice what its linear layers give.

        Of a gated layer with h hidden and i inner features, and k of keys or values, these are
        7h + 2k + 4i numbers (normalised and plain inputs, queries, keys, values, and four of the
        inner ones), where its linear layers give 3h + 2k + 2i.
        """
        import torch

        settings = network.config.get_text_config()
        given = sum(
            module.out_features
            for module in network.modules()
            if isinstance(module, torch.nn.Linear) and module is not network.get_output_embeddings()
        )
        layers, hidden = int(settings.num_hidden_layers), int(settings.hidden_size)
        size = network.dtype.itemsize
        kept = size * (2 * given + layers * hidden)
        return cls(
            weights=sum(each.nbytes for each in network.parameters()),
            trained=sum(each.nbytes for each in network.parameters() if each.requires_grad),
            activations=kept,
            recomputed=size * layers * hidden + kept / layers,
        )


@contextmanager
def explained_shortage(network: Any, config: TrainerConfig, longest: int) -> Iterator[None]:
    """Turn running out of memory into an error that names the keys to turn, and by how much.

    Args:
        longest: tokens of the longest example, below which no pack can be.

    Raises:
        UserError: if the device or the machine has no room for what was asked of it.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_shortage(error):
            raise
        raise UserError(_shortage(network, config, longest)) from error


def _is_shortage(error: Exception) -> bool:
    import torch

    told = str(error)
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "can't allocate memory" in told  # of the CPU
        or "out of memory" in told
    )


def _shortage(network: Any, config: TrainerConfig, longest: int) -> str:
    need = TrainingMemory.of(network)
    again = config.activation_checkpointing
    each = need.recomputed if again else need.activations
    tokens = config.pack_tokens
    ways = {}
    if (fewer := max(tokens // 2, longest)) < tokens:
        ways[f"trainer.pack_tokens={fewer}"] = (tokens - fewer) * each
    if not again:
        ways["trainer.activation_checkpointing=true"] = tokens * (each - need.recomputed)
    if config.lora is None:
        ways["trainer=lora"] = (1 + _MOMENTS) * need.trained
    whole = need.weights + (1 + _MOMENTS) * need.trained + tokens * each
    if network.dtype.itemsize > 2 and network.device.type != "cpu":
        ways["model.dtype=bfloat16"] = _HALVES * whole
    best = sorted(ways.items(), key=lambda way: -way[1])
    listed = ", ".join(f"{key} (about {_gigabytes(saved)} less)" for key, saved in best)
    return (
        f"training: out of memory on {network.device}{_room(network)}. By estimate the weights "
        f"take {_gigabytes(need.weights)}, gradients and moments "
        f"{_gigabytes((1 + _MOMENTS) * need.trained)}, and the activations of a pack of {tokens:,} "
        f"tokens {_gigabytes(tokens * each)}. What helps: {listed or 'a smaller model'}."
    )


def _room(network: Any) -> str:
    import torch

    if network.device.type != "cuda":
        return ""
    total = torch.cuda.get_device_properties(network.device).total_memory
    return f", which has {_gigabytes(total)}"


def _gigabytes(size: float) -> str:
    return f"{size / 2**30:.3g} GiB"
