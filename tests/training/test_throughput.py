"""Model FLOPs, against a count by PyTorch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cem_lightning.corpus.batches import packs
from cem_lightning.corpus.config import KINDS
from cem_lightning.models.documents import within_documents
from cem_lightning.training.adapters import add_adapter
from cem_lightning.training.objective import token_losses
from cem_lightning.training.throughput import TrainingFlops, peak_flops
from tests.tiny import tiny_model
from tests.training.cases import LORA, VOCABULARY


@pytest.mark.parametrize("adapter", [False, True])
def test_operations_are_those_that_pytorch_counts(adapter: bool) -> None:
    network = tiny_model("llama", vocabulary=VOCABULARY)
    network.set_attn_implementation("eager")  # its products are counted one by one
    if adapter:
        network = add_adapter(network, LORA, seed=1)
    lengths = (30, 50)
    rows = [
        {"kind": "passage", "ids": [1] * n, "supervised": [at % 2 == 1 for at in range(n)]}
        for n in lengths
    ]
    (pack,) = packs(rows, 100)
    ones = torch.ones(len(KINDS), dtype=torch.float64)
    with within_documents(network), FlopCounterMode(display=False) as counter:
        token_losses(network, pack, ones)[0].backward()
    expected = TrainingFlops.of(network).total(80, 40, sum(n * n for n in lengths))
    # the first layer needs no gradient of its inputs, and an adapter's weights are few
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.12)


def test_a_frozen_weight_costs_four_a_token() -> None:
    network = tiny_model("llama", vocabulary=VOCABULARY)
    trained = TrainingFlops.of(network)
    for weight in network.parameters():
        weight.requires_grad_(False)
    frozen = TrainingFlops.of(network)
    assert frozen.token == trained.token * 4 / 6
    assert frozen.target == 4 * network.lm_head.weight.numel()
    assert frozen.pair == trained.pair


def test_peaks_are_found_by_the_name_of_the_device() -> None:
    assert peak_flops("NVIDIA H200") == peak_flops("NVIDIA H100 80GB HBM3") == 989.4e12
    assert peak_flops("NVIDIA H100 PCIe") == 756.4e12
    assert peak_flops("NVIDIA A10G") == 70e12 and peak_flops("NVIDIA A10") == 125e12
    assert peak_flops("NVIDIA L40S") == 362.1e12 and peak_flops("NVIDIA L4") == 121e12
    assert peak_flops("a calculator") is None
