"""A model and its tokenizer, ready to be asked or trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from cem_lightning.errors import UserError
from cem_lightning.models.config import ModelConfig
from cem_lightning.models.encoding import Encoder
from cem_lightning.models.source import quiet_loading

_ADAPTER = "adapter_config.json"
_REMEDY = "Give a folder with config.json, whole .safetensors weights and the tokenizer's files."


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
    """The kind of device, "cuda" or "cpu", as `model.device` says or as the machine has it."""
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UserError("model.device is 'cuda', but PyTorch sees no GPU; set model.device=auto.")
    return config.device


def load_encoder(folder: Path, config: ModelConfig) -> tuple[Encoder, int]:
    """The encoder of the model in `folder`, and its context in tokens, without its weights.

    Raises:
        UserError: if the folder is no transformers model with a tokenizer, or the tokenizer
            cannot be asked in `model.style`.
    """
    if not (folder / "config.json").is_file():
        raise UserError(
            f"model.path: {config.path} is no transformers model: it has no config.json. {_REMEDY}"
        )
    with quiet_loading(), _reading(config.path):
        settings = AutoConfig.from_pretrained(folder)
        context = int(settings.max_position_embeddings)
    with quiet_loading(), _reading(f"the tokenizer of {config.path}"):
        tokenizer = AutoTokenizer.from_pretrained(folder)
    return Encoder(tokenizer, config.style), context


def load_model(folder: Path, config: ModelConfig, weights: Path | None = None) -> LanguageModel:
    """The model in `folder`, with the `weights` that a training round left behind, if given.

    Args:
        weights: a folder with either a peft adapter, which is merged into the model, or a whole
            model, which stands in its place.

    Raises:
        UserError: if the weights cannot be read or some are missing.
    """
    encoder, context = load_encoder(folder, config)
    adapter = weights is not None and (weights / _ADAPTER).is_file()
    whole = folder if adapter or weights is None else weights
    with quiet_loading(), _reading(config.path if whole == folder else str(whole)):
        network, report = AutoModelForCausalLM.from_pretrained(
            whole,
            dtype=getattr(torch, config.dtype),
            attn_implementation=config.attention,
            output_loading_info=True,
        )
        if missing := sorted(report["missing_keys"]):  # else they would be random numbers
            raise ValueError(f"its files lack {len(missing)} weights, for instance {missing[0]}")
    if adapter:
        from peft import PeftModel

        with quiet_loading(), _reading(str(weights)):
            network = PeftModel.from_pretrained(network, weights).merge_and_unload()
    return LanguageModel(network.to(device_kind(config)).eval(), encoder, context)


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Whatever goes wrong in reading the user's files is the user's to mend.

    The libraries raise what they like here, tokenizers even a bare Exception.
    """
    try:
        yield
    except Exception as error:
        if "attn_implementation" in str(error):
            raise UserError(
                f"model.attention: {what} does not run with this attention implementation "
                f"({str(error).split(' ')[0]}); set model.attention=eager."
            ) from error
        reason = shorten(str(error) or type(error).__name__, 240, placeholder=" ...").rstrip(".")
        raise UserError(
            f"model.path: {what} cannot be read by transformers: {reason}. {_REMEDY}"
        ) from error
