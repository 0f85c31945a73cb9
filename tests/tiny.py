"""Tiny random models with a byte-level tokenizer, loaded through the same doors as real ones.

They know nothing; tests of what a model learns need more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

Architecture = Literal["llama", "qwen2", "gemma2"]

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def tiny_tokenizer(*, template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """One token a byte, and three control tokens as SmolLM2 has them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([*SPECIALS, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token="<|im_end|>",
    )
    fast.chat_template = template
    return fast


def tiny_model(
    architecture: Architecture = "llama", *, vocabulary: int, context: int = 512, seed: int = 0
) -> Any:
    """A random model of two layers and about 30,000 weights, in evaluation mode, float32."""
    settings: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": context,
        "tie_word_embeddings": architecture != "qwen2",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "initializer_range": 0.1,
    }
    config = {
        "llama": lambda: LlamaConfig(**settings),
        "qwen2": lambda: Qwen2Config(**settings),
        "gemma2": lambda: Gemma2Config(**settings, head_dim=8, final_logit_softcapping=2.0),
    }[architecture]()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def tiny_model_folder(
    folder: Path,
    architecture: Architecture = "llama",
    *,
    context: int = 512,
    template: str | None = CHATML,
    seed: int = 0,
) -> Path:
    """A model with its tokenizer, saved for `AutoModelForCausalLM` and `AutoTokenizer`."""
    tokenizer = tiny_tokenizer(template=template)
    tokenizer.save_pretrained(folder)
    model = tiny_model(architecture, vocabulary=len(tokenizer), context=context, seed=seed)
    model.save_pretrained(folder)
    return folder
