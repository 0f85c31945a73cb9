"""Memory: the estimate against what autograd keeps, and the error where there is none left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import profile

from cem_lightning.corpus.batches import packs
from cem_lightning.corpus.config import KINDS
from cem_lightning.errors import UserError
from cem_lightning.models.documents import within_documents
from cem_lightning.training.adapters import add_adapter
from cem_lightning.training.config import LoraSettings
from cem_lightning.training.fit import train
from cem_lightning.training.memory import TrainingMemory
from cem_lightning.training.objective import token_losses
from cem_lightning.training.optimizer import adamw
from tests.tiny import Architecture, tiny_model
from tests.training.cases import (
    LORA,
    OBJECTIVE,
    RECIPE,
    VOCABULARY,
    examples,
    examples_folder,
    settings,
)


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_activations_are_about_those_that_are_kept(architecture: Architecture) -> None:
    network = tiny_model(architecture, vocabulary=VOCABULARY)
    (pack,) = packs([{"kind": "passage", "ids": [1] * 200, "supervised": [True] * 200}], 200)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    for weight in network.parameters():
        keep(weight)
    weights = sum(kept.values())
    with (
        within_documents(network),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        loss = token_losses(network, pack, torch.ones(len(KINDS)))
    assert loss.total.requires_grad
    expected = TrainingMemory.of(network, settings(pack_tokens=200)).activations
    assert sum(kept.values()) - weights == pytest.approx(expected, rel=0.4)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("lora", [None, LORA])
@pytest.mark.parametrize(("tokens", "vocabulary"), [(50, 512), (400, 64), (400, 4096)])
def test_a_step_takes_about_what_is_estimated(
    tokens: int, vocabulary: int, lora: LoraSettings | None, again: bool
) -> None:
    """What is allocated at most within a step, within a factor of 1.5."""
    network = tiny_model("llama", vocabulary=vocabulary)
    if lora is not None:
        network = add_adapter(network, lora, seed=1)
    config = settings(pack_tokens=tokens, activation_checkpointing=again, lora=lora)
    rows = [{"kind": "passage", "ids": [1] * tokens, "supervised": [True] * tokens}]
    (pack,) = packs(rows, tokens)
    optimizer = adamw(network, config)
    network.train()
    if again:
        network.activation_checkpointing_enable({"use_reentrant": False})
    with within_documents(network), profile(profile_memory=True) as profiler:
        for _ in range(2):  # the second has the moments already
            token_losses(network, pack, torch.ones(len(KINDS))).total.backward()
            optimizer.step()
            optimizer.zero_grad()
    held = peak = 0
    assert profiler.profiler is not None and profiler.profiler.kineto_results is not None
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    estimate = TrainingMemory.of(network, config)
    assert 1 / 1.5 < (peak + estimate.weights) / estimate.total < 1.5


def test_an_adapter_has_few_gradients() -> None:
    network = tiny_model(vocabulary=VOCABULARY)
    whole = TrainingMemory.of(network, settings())
    adapted = TrainingMemory.of(add_adapter(network, LORA, seed=1), settings(lora=LORA))
    assert whole.trained == whole.weights < adapted.weights
    assert adapted.trained < whole.trained / 2


def test_devices_share_the_layers_and_half_precision_its_activations() -> None:
    network = tiny_model(vocabulary=VOCABULARY)
    alone = TrainingMemory.of(network, settings(devices=2))
    shared = TrainingMemory.of(network, settings(devices=2, sharded=True))
    layers = sum(each.nbytes for each in network.model.layers.parameters())
    assert alone.weights - shared.weights == alone.trained - shared.trained == layers / 2
    mixed = TrainingMemory.of(network, settings(mixed_precision=True))
    assert mixed.activations == alone.activations / 2 and mixed.trained == alone.trained
    assert mixed.weights == 1.5 * alone.weights, "with copies in half precision"


SHORTAGES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


def told(folder: Path, shortage: Exception, **changes: Any) -> str:
    """What a training says in which this happens."""
    network = tiny_model("qwen2", vocabulary=VOCABULARY)

    def fail(layer: torch.nn.Module, _: Any) -> None:
        if layer.training:
            raise shortage

    network.model.layers[1].register_forward_pre_hook(fail)
    if lora := changes.get("lora"):
        network = add_adapter(network, lora, seed=1)
    corpus = examples_folder(folder / "examples")
    with pytest.raises(UserError) as error:
        train(
            network, corpus, RECIPE, OBJECTIVE, settings(**changes), seed=1, folder=folder / "run"
        )
    assert not (folder / "run" / "weights").exists()
    return str(error.value)


@pytest.mark.parametrize("shortage", SHORTAGES)
def test_out_of_memory_names_the_keys_and_what_they_save(tmp_path: Path, shortage: Any) -> None:
    text = told(tmp_path, shortage)
    assert "out of memory on cpu" in text and "a pack of 400 tokens" in text
    for way in ("trainer.pack_tokens=200", "activation_checkpointing=true", "trainer=lora"):
        assert f"{way} (about " in text


def test_nothing_that_is_done_already_or_cannot_be_is_proposed(tmp_path: Path) -> None:
    longest = max(len(each.ids) for each in examples())
    text = told(
        tmp_path, MemoryError(), lora=LORA, activation_checkpointing=True, pack_tokens=longest
    )
    assert text.endswith("What helps: a smaller model.")


def test_another_error_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        told(tmp_path, ZeroDivisionError())
