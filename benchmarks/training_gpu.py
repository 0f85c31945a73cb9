"""Training on a GPU: random weights of real configurations, in bfloat16.

Lengths as in the instruction set, longer; TRL gets the same ids in its default setting without
activation checkpointing, and packed with Liger's kernels where they are installed.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import trainers
from benchmarks.rows import Row, Target, Timing, faster, prepared_in_turn
from benchmarks.trainers import Action, Work
from benchmarks.training_sets import TrainingSet, instruction_set
from cem_lightning.models.random_models import byte_tokenizer
from cem_lightning.training.adapters import add_adapter
from cem_lightning.training.config import LoraSettings

MEAN, BATCH = 400, 64  # tokens of a sequence, sequences of an optimizer step
PACK_TOKENS = 16_384


@dataclass(frozen=True)
class Shape:
    """A published configuration of Qwen2.5, and the useful tokens/s to be reached."""

    name: str
    hidden: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    tied: bool
    lora: bool
    least: float

    def network(self, seed: int) -> Any:
        """Its architecture with random weights."""
        from transformers import AutoModelForCausalLM, Qwen2Config

        settings = Qwen2Config(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.key_heads,
            max_position_embeddings=32_768,
            tie_word_embeddings=self.tied,
        )
        torch.manual_seed(seed)
        with torch.device("cuda"):
            network = AutoModelForCausalLM.from_config(settings, dtype=torch.bfloat16)
        if not self.lora:
            return network
        adapter = LoraSettings(rank=16, alpha=32, dropout=0, target_modules="all-linear")
        return add_adapter(network, adapter, seed=seed)


SHAPES = (
    Shape("Qwen2.5-0.5B, full", 896, 4864, 24, 14, 2, 151_936, True, False, 99_000),
    Shape("Qwen2.5-1.5B, full", 1536, 8960, 28, 12, 2, 151_936, True, False, 38_000),
    Shape("Qwen2.5-7B, LoRA", 3584, 18_944, 28, 28, 4, 152_064, False, True, 12_800),
)


def gpu(repeats: int, seed: int, steps: int) -> Iterator[Row]:
    """Useful tokens a second of each model, and how many times as fast as TRL."""
    for shape in SHAPES:
        data = instruction_set(
            steps * BATCH, seed, vocabulary=shape.vocabulary, batch=BATCH, mean=MEAN
        )
        network = shape.network(seed)
        own, *peers = _timed(network, data, repeats)
        for (name, least), timed in zip(_peers().items(), peers, strict=True):
            title = f"GPU, bfloat16, {shape.name}: {name}"
            target = Target("at least", least)
            yield faster(title, data.tokens, own, timed, target, {}, "useful tokens")
        yield Row(
            f"GPU, bfloat16, {shape.name}",
            "useful tokens/s",
            data.tokens / statistics.median(own.wall),
            Target("at least", shape.least),
            repeats=repeats,
        )
        del network
        torch.cuda.empty_cache()


def _peers() -> dict[str, float]:
    """Those that can be compared with here, and how many times as fast ours is to be."""
    found = {"TRL by default": 2.5}
    if importlib.util.find_spec("liger_kernel") is not None:
        found["TRL with packing and Liger"] = 1.0
    return found


def _timed(network: Any, data: TrainingSet, repeats: int) -> tuple[Timing, ...]:
    padded = {"bf16": True, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 8}
    packed = {
        "bf16": True,
        "packing": True,
        "max_length": PACK_TOKENS,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 2,
        "use_liger_kernel": True,
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Work(
            network, data, Path(folder) / "examples", byte_tokenizer(), pack_tokens=PACK_TOKENS
        )
        sides = [lambda: _waited(trainers.ours(work))]
        for settings in (padded, packed)[: len(_peers())]:
            sides.append(lambda given=settings: _waited(trainers.trl(work, **given)))
        prepared_in_turn(1, *sides)  # to warm up
        return prepared_in_turn(repeats, *sides)


def _waited(action: Action) -> Action:
    """The clock must not stop before the device has."""

    def run() -> None:
        action()
        torch.cuda.synchronize()

    return run
