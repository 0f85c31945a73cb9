"""A model and its tokenizer, ready to be asked or trained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
EARLIER = "merged"  # folder, in an adapter's, of the adapter that it was trained on top of
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

    def with_shots(self, shots: Sequence[tuple[str, str]]) -> LanguageModel:
        """The same model, asked behind solved examples; see `Encoder.with_shots`."""
        return replace(self, encoder=self.encoder.with_shots(shots))


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
        UserError: if the folder is no transformers model with a tokenizer, its weights are
            quantised, or the tokenizer cannot be asked in `model.style`.
    """
    if not (folder / "config.json").is_file():
        if (folder / _ADAPTER).is_file():
            raise UserError(_adapter_alone(folder, config))
        raise UserError(
            f"model.path: {config.path} is no transformers model: it has no config.json. {_REMEDY}"
        )
    with quiet_loading(), _reading(config.path):
        settings = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        context = int(settings.get_text_config().max_position_embeddings)
    if quantisation := getattr(settings, "quantization_config", None):
        method = dict(quantisation).get("quant_method", "an unnamed method")
        raise UserError(
            f"model.path: the weights of {config.path} are quantised ({method}), and quantised "
            "weights cannot be trained here. Give the model they were made from, or a GGUF, which "
            "is dequantised."
        )
    with quiet_loading(), _reading(f"the tokenizer of {config.path}"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        if len(tokenizer) <= len(tokenizer.all_special_tokens):  # made up for want of files
            raise ValueError("it has no vocabulary, so its files are missing or empty")
    return Encoder(tokenizer, config.style), context


def count_layers(folder: Path) -> int:
    """Decoder layers of the model in a folder that `load_encoder` takes."""
    settings = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    return int(settings.get_text_config().num_hidden_layers)


def _adapter_alone(folder: Path, config: ModelConfig) -> str:
    """What to say of an adapter without its model."""
    try:
        base = json.loads((folder / _ADAPTER).read_text(encoding="utf-8"))
        name = base.get("base_model_name_or_path") or "a model that it does not name"
    except (ValueError, AttributeError):
        name = "a model that it does not name"
    return (
        f"model.path: {config.path} is an adapter for {name}, not a model. Merge it first: an "
        "adapter trained here with action=export, another with peft "
        "(PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(FOLDER), "
        "and the tokenizer saved there too). Then set model.path=FOLDER."
    )


def load_model(folder: Path, config: ModelConfig, weights: Path | None = None) -> LanguageModel:
    """The model in `folder`, with the `weights` that a training round left behind, if given.

    Args:
        weights: a folder with either a peft adapter, which is merged into the model (behind the
            one that it was trained on top of, if that lies in it), or a whole model, which stands
            in its place.

    Raises:
        UserError: if the weights cannot be read or some are missing.
    """
    encoder, context = load_encoder(folder, config)
    adapter = weights if weights is not None and (weights / _ADAPTER).is_file() else None
    whole = folder if weights is None or adapter else weights
    with quiet_loading(), _reading(config.path if whole == folder else str(whole)):
        network, report = AutoModelForCausalLM.from_pretrained(
            whole,
            dtype=getattr(torch, config.dtype),
            attn_implementation=config.attention,
            output_loading_info=True,
            trust_remote_code=False,
        )
        if missing := sorted(report["missing_keys"]):  # else they would be random numbers
            raise ValueError(f"its files lack {len(missing)} weights, for instance {missing[0]}")
    if adapter is not None:
        with quiet_loading(), _reading(str(adapter)):
            network = _merged(network, adapter)
    _refuse_other_vocabulary(network, encoder, config)
    return LanguageModel(network.to(device_kind(config)).eval(), encoder, context)


def _refuse_other_vocabulary(network: Any, encoder: Encoder, config: ModelConfig) -> None:
    """Ids beyond the embeddings would end in an error far from here; unused rows do no harm."""
    rows = len(network.get_input_embeddings().weight)
    largest, token = encoder.largest_id()
    if largest >= rows:
        raise UserError(
            f"model.path: the tokenizer of {config.path} has ids up to {largest} ({token!r}), but "
            f"the model has embeddings for 0 to {rows - 1}: they do not belong together. Give the "
            "folder the tokenizer's files that the model was trained with."
        )


def _merged(network: Any, adapter: Path) -> Any:
    from peft import PeftModel

    if (adapter / EARLIER).is_dir():
        network = _merged(network, adapter / EARLIER)
    return PeftModel.from_pretrained(network, adapter).merge_and_unload()


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Whatever goes wrong in reading the user's files is the user's to mend.

    The libraries raise what they like here, tokenizers even a bare Exception.
    """
    try:
        yield
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise UserError(
                f"model.path: {what} runs only with program code of its own (trust_remote_code), "
                "and code that comes with a model is never run here. Use a model of an "
                "architecture that transformers has itself, such as Qwen, Llama, Gemma or SmolLM."
            ) from error
        if "attn_implementation" in str(error):
            raise UserError(
                f"model.attention: {what} does not run with this attention implementation "
                f"({str(error).split(' ')[0]}); set model.attention=eager."
            ) from error
        reason = shorten(str(error) or type(error).__name__, 240, placeholder=" ...").rstrip(".")
        raise UserError(
            f"model.path: {what} cannot be read by transformers: {reason}. {_REMEDY}"
        ) from error
