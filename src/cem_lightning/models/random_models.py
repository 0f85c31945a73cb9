"""Tiny random models with a byte-level tokenizer, made on the spot: `random://ARCHITECTURE`.

They are for trying a configuration and for tests. They know nothing, and no score of theirs means
anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from cem_lightning.errors import UserError, nearest
from cem_lightning.models.source import quiet_loading

Architecture = Literal["llama", "qwen2", "qwen3", "gemma2", "gemma3", "gpt2"]

PREFIX = "random://"
CONTEXT = 4096
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")  # as SmolLM2 has them


def random_architecture(path: str) -> Architecture | None:
    """The architecture that `model.path` asks for, or None if it means files.

    Raises:
        UserError: if it is none of those we can make.
    """
    if not path.startswith(PREFIX):
        return None
    name = path.removeprefix(PREFIX)
    known: tuple[Architecture, ...] = get_args(Architecture)
    for each in known:
        if each == name:
            return each
    raise UserError(
        f"model.path: {path} names no architecture that a random model can be made of"
        f"{nearest(name, known) or '.'} There are {', '.join(PREFIX + each for each in known)}."
    )


def write_random_model(
    folder: Path,
    architecture: Architecture,
    *,
    context: int = CONTEXT,
    template: str | None = CHATML,
    seed: int = 0,
) -> None:
    """Write a model with its tokenizer for `AutoModelForCausalLM` and `AutoTokenizer`.

    The same arguments give the same bytes.
    """
    tokenizer = byte_tokenizer(template)
    model = random_model(architecture, vocabulary=len(tokenizer), context=context, seed=seed)
    with quiet_loading():
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)


def byte_tokenizer(template: str | None = CHATML) -> Any:
    """A transformers tokenizer of one token a byte and three control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([*_CONTROLS, *alphabet])}
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


def random_model(
    architecture: Architecture, *, vocabulary: int, context: int = CONTEXT, seed: int = 0
) -> Any:
    """A random model of two layers and some 100,000 weights, in evaluation mode, float32.

    Args:
        vocabulary: number of tokens; 1 begins a text, 2 ends and pads it.
        context: longest sequence, in tokens.
    """
    import torch
    import transformers
    from transformers import AutoModelForCausalLM

    settings: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": context,
        "tie_word_embeddings": architecture not in ("qwen2", "qwen3"),
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "initializer_range": 0.1,
    }
    # the others do not divide the width by themselves
    if architecture not in ("llama", "qwen2", "gpt2"):
        settings["head_dim"] = 8
    if architecture == "gemma2":
        settings["final_logit_softcapping"] = 2.0  # so low that it shows in a tiny model
    if architecture == "gemma3":
        settings["layer_types"] = ["sliding_attention", "full_attention"]
    names = {"llama": "Llama", "gemma3": "Gemma3Text", "gpt2": "GPT2"}
    kind = names.get(architecture, architecture.capitalize())
    config = getattr(transformers, f"{kind}Config")(**settings)
    with torch.random.fork_rng(devices=[]):  # the weights are drawn on the CPU
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
