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

_HALF = 2  # bytes of a number in half precision
_SINGLE = 4
_MOMENTS = 2  # of AdamW, each as large as the weights
_CHUNKS = 2  # logits and their softmax, in the output head


def peak_memory_bytes(*, children: bool = True) -> int:
    """Highest resident memory so far of this process, in bytes.

    Args:
        children: add that of its largest finished child.
    """
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    asked = [resource.RUSAGE_SELF, *[resource.RUSAGE_CHILDREN] * children]
    return unit * sum(resource.getrusage(who).ru_maxrss for who in asked)


@dataclass(frozen=True)
class TrainingMemory:
    """What training takes on each device, in bytes, by estimate.

    Attributes:
        weights: of the model, trained or not, and their copies in half precision.
        trained: of those that are trained; gradients take the same, AdamW's moments twice that.
        activations: of a full pack, kept for the backward pass.
        head: of the output head: some rows of logits, and the gradient of its weight.
    """

    weights: float
    trained: float
    activations: float
    head: float

    @property
    def gradients(self) -> float:
        """Gradients and moments."""
        return (1 + _MOMENTS) * self.trained

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.activations + self.head

    @classmethod
    def of(cls, network: Any, config: TrainerConfig, size: int | None = None) -> Self:
        """An estimate for a decoder: each layer keeps about twice what its linear layers give.

        Of a gated layer with h hidden and i inner features, and k of keys or values, these are
        7h + 2k + 4i numbers (normalised and plain inputs, queries, keys, values, and four of the
        inner ones), where its linear layers give 3h + 2k + 2i.

        Args:
            size: bytes of a number of the weights; as they are if not given.
        """
        import torch

        from cem_lightning.models.head import Head, decoder_layers
        from cem_lightning.training.head_loss import CELLS

        size = size or network.dtype.itemsize
        computed = _HALF if config.mixed_precision else size
        shares = config.devices if config.sharded else 1
        layers_of = decoder_layers(network).parameters() if shares > 1 else ()
        shared = {id(each) for each in layers_of}

        def count(only_trained: bool) -> float:
            return sum(
                (
                    each.numel() / (shares if id(each) in shared else 1)
                    for each in network.parameters()
                    if each.requires_grad or not only_trained
                ),
                0.0,
            )

        head = network.get_output_embeddings()
        given = sum(
            module.out_features
            for name, module in network.named_modules()
            if isinstance(module, torch.nn.Linear) and module is not head and "lora_" not in name
        )
        settings = network.config.get_text_config()
        layers, hidden = int(settings.num_hidden_layers), int(settings.hidden_size)
        kept = 2 * given + layers * hidden
        if config.activation_checkpointing:  # what enters each layer, and all of one of them
            kept = layers * hidden + kept // layers
        weight = Head.of(network).weight
        cells = min(CELLS, config.pack_tokens * len(weight))
        return cls(
            weights=count(False) * (size + (computed if computed < size else 0)),
            trained=count(True) * size,
            activations=float(config.pack_tokens * kept * computed),
            head=float(_SINGLE * (_CHUNKS * cells + weight.requires_grad * weight.numel())),
        )


@contextmanager
def explained_shortage(
    network: Any, config: TrainerConfig, longest: int, *, packed: bool = True
) -> Iterator[None]:
    """Turn running out of memory into an error that names the keys to turn, and by how much.

    Args:
        longest: tokens of the longest example, below which no pack can be.
        packed: examples share packs; else each goes through the model alone.

    Raises:
        UserError: if the device or the machine has no room for what was asked of it.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_shortage(error):
            raise
        if not packed:
            config = config.model_copy(update={"pack_tokens": longest})
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
    need = TrainingMemory.of(network, config)
    saved = _savings(network, config, longest, need)
    best = sorted(saved.items(), key=lambda way: -way[1])
    listed = ", ".join(f"{key} (about {_gigabytes(less)} less)" for key, less in best if less > 0)
    return (
        f"training: out of memory on {network.device}{_room(network)}. By estimate the weights "
        f"take {_gigabytes(need.weights)}, gradients and moments {_gigabytes(need.gradients)}, "
        f"the activations of a pack of {config.pack_tokens:,} tokens "
        f"{_gigabytes(need.activations)}, and the output head {_gigabytes(need.head)}. "
        f"What helps: {listed or 'a smaller model'}."
    )


def _savings(
    network: Any, config: TrainerConfig, longest: int, need: TrainingMemory
) -> dict[str, float]:
    """Bytes that each key would save, turned alone."""
    on_gpu, wide = network.device.type != "cpu", network.dtype.itemsize > _HALF
    changes: dict[str, Any] = {}
    if (fewer := max(config.pack_tokens // 2, longest)) < config.pack_tokens:
        changes["pack_tokens"] = fewer
    if not config.activation_checkpointing:
        changes["activation_checkpointing"] = True
    if config.devices > 1 and not config.sharded:
        changes["sharded"] = True
    if on_gpu and wide and not config.mixed_precision:
        changes["mixed_precision"] = True
    ways = {
        f"trainer.{key}={str(value).lower()}": config.model_copy(update={key: value})
        for key, value in changes.items()
    }
    saved = {
        way: need.total - TrainingMemory.of(network, changed).total for way, changed in ways.items()
    }
    if config.lora is None:
        saved["trainer=lora"] = need.gradients
    if on_gpu and wide:
        saved["model.dtype=bfloat16"] = (
            need.total - TrainingMemory.of(network, config, size=_HALF).total
        )
    return saved


def _room(network: Any) -> str:
    import torch

    if network.device.type != "cuda":
        return ""
    total = torch.cuda.get_device_properties(network.device).total_memory
    return f", which has {_gigabytes(total)}"


def _gigabytes(size: float) -> str:
    return f"{size / 2**30:.3g} GiB"
