"""How much of a device's speed training uses: model FLOPs utilisation (MFU).

Counts what the model needs, not what was computed again: recomputed activations do not count, nor
does padding, of which there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

from cem_lightning.corpus.batches import Pack
from cem_lightning.models.head import Head, body
from cem_lightning.training.memory import peak_memory_bytes

# Dense bfloat16 with float32 accumulation, in TFLOP/s, by what a device calls itself; from the
# makers' data sheets. The first name that is part of the device's is taken.
_PEAKS = {
    "B200": 2250.0,
    "H200": 989.4,
    "H100 NVL": 835.5,
    "H100 PCIe": 756.4,
    "H100": 989.4,
    "A100": 311.9,
    "A800": 311.9,
    "L40S": 362.1,
    "L4": 121.0,
    "A10G": 70.0,
    "A10": 125.0,
    "RTX 4090": 165.2,
    "RTX 3090": 71.0,
    "MI300X": 1307.4,
}


def peak_flops(device: str) -> float | None:
    """Peak FLOP/s of a GPU in bfloat16 by its name, None for one that is not known."""
    return next((peak * 1e12 for name, peak in _PEAKS.items() if name in device), None)


@dataclass(frozen=True)
class TrainingFlops:
    """Floating-point operations of training on a token, forward and backward.

    After PaLM (Chowdhery et al. 2022, arXiv 2204.02311, appendix B), but with the head for the
    supervised tokens alone, and attention within documents. A weight costs 6 a token, a frozen one
    4, since it needs no gradient of its own.

    Attributes:
        token: per token, in the layers.
        target: per supervised token, in the output head.
        pair: per token and token of its document, in attention (not halved for causality).
    """

    token: float
    target: float
    pair: float

    @classmethod
    def of(cls, network: Any) -> Self:
        """The counts of a network as it is trained, adapter included."""
        head = Head.of(network).weight
        lookups = {id(each) for each in _lookups(network)}
        layers = sum(
            (6 if each.requires_grad else 4) * each.numel()
            for each in body(network).parameters()
            if each.dim() >= 2 and id(each) not in lookups
        )
        settings = network.config.get_text_config()
        heads = int(settings.num_attention_heads)
        size = int(getattr(settings, "head_dim", None) or settings.hidden_size // heads)
        return cls(
            float(layers),
            float((6 if head.requires_grad else 4) * head.numel()),
            float(12 * int(settings.num_hidden_layers) * heads * size),
        )

    def total(self, tokens: int, targets: int, pairs: int) -> float:
        """Operations of training on some documents.

        Args:
            tokens: of all of them.
            targets: supervised tokens.
            pairs: sum over the documents of their squared lengths.
        """
        return tokens * self.token + targets * self.target + pairs * self.pair


class Gauge:
    """What a training makes of its device: speed, memory, and use of its peak where that is known.

    Args:
        devices: that train together, all of one kind.
    """

    def __init__(self, network: Any, devices: int) -> None:
        device = torch.device(network.device)
        self._device = device
        self._on_gpu = device.type == "cuda"
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats(device)  # of what was done before
        peak = peak_flops(torch.cuda.get_device_name(device)) if self._on_gpu else None
        self._peak = None if peak is None else peak * devices
        self._flops = None if peak is None else TrainingFlops.of(network)

    def read(self, step: Sequence[Pack], seconds: float) -> dict[str, float]:
        """Of an optimizer step that took so long: ``tokens_per_second``, ``memory_bytes``, ``mfu``.

        The tokens are those of all devices. The memory is the most so far: what training had
        allocated on this GPU, or on a CPU what this process had resident. Model FLOPs utilisation
        is a share of 1, and left out where there is no peak.
        """
        lengths = [length for pack in step for length in pack.lengths]
        tokens = sum(lengths)
        read = {"tokens_per_second": tokens / seconds if seconds else 0.0}
        read["memory_bytes"] = float(
            torch.cuda.max_memory_allocated(self._device)
            if self._on_gpu
            else peak_memory_bytes(children=False)
        )
        if self._flops is not None and self._peak is not None and seconds:
            targets = sum(int(pack.supervised.sum()) for pack in step)
            done = self._flops.total(tokens, targets, sum(each * each for each in lengths))
            read["mfu"] = done / seconds / self._peak
        return read


def _lookups(network: Any) -> list[torch.nn.Parameter]:
    """Weights that are looked up, not multiplied with."""
    return [
        weight
        for module in body(network).modules()
        if isinstance(module, torch.nn.Embedding)
        for weight in module.parameters()
    ]
