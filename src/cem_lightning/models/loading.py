"""A model and its tokenizer, ready to be asked or trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from cem_lightning.errors import UserError
from cem_lightning.models.config import ModelConfig
from cem_lightning.models.encoding import Encoder
from cem_lightning.models.source import quiet_loading

_ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model with its encoder.

    Attributes:
        network: the transformers model (or one wrapped by peft), in evaluation mode.
        encoder: prompts and responses as token ids.
        context: the longest sequence it can read, in tokens.
    """

    network: Any
    encoder: Encoder
    context: int

    @property
    def device(self) -> torch.device:
        return torch.device(self.network.device)


def device_kind(config: ModelConfig) -> str:
    """ "cuda" or "cpu", as `model.device` says or as the machine has it."""
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UserError("model.device is 'cuda', but PyTorch sees no GPU; set model.device=auto.")
    return config.device


def load_encoder(folder: Path, config: ModelConfig) -> tuple[Encoder, int]:
    """The encoder of the model in `folder`, and its context in tokens, without its weights."""
    with quiet_loading():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            settings = AutoConfig.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise UserError(
                f"model.path: {config.path} cannot be read as a transformers model: "
                f"{str(error).splitlines()[0]}"
            ) from error
    return Encoder(tokenizer, config.style), int(settings.max_position_embeddings)


def load_model(folder: Path, config: ModelConfig, weights: Path | None = None) -> LanguageModel:
    """The model in `folder`, with the `weights` that a training round left behind, if given.

    Args:
        weights: a folder with either a peft adapter, which is merged into the model, or a whole
            model, which stands in its place.
    """
    encoder, context = load_encoder(folder, config)
    adapter = weights is not None and (weights / _ADAPTER).is_file()
    with quiet_loading():
        network = AutoModelForCausalLM.from_pretrained(
            folder if adapter or weights is None else weights,
            dtype=getattr(torch, config.dtype),
            attn_implementation=config.attention,
        )
        if adapter:
            from peft import PeftModel

            network = PeftModel.from_pretrained(network, weights).merge_and_unload()
    return LanguageModel(network.to(device_kind(config)).eval(), encoder, context)
