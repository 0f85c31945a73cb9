"""Writes a trained model as a folder that plain transformers loads, and proves that it is the same.

What is said about the model, and where its folder goes, is the business of the caller.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from cem_lightning.errors import UserError
from cem_lightning.models.config import ModelConfig
from cem_lightning.models.encoding import Encoder
from cem_lightning.models.loading import EARLIER, LanguageModel, device_kind, load_model
from cem_lightning.models.source import quiet_loading

_ADAPTER = "adapter_config.json"
# Units of roundoff by which a merge may move the logits. Merging rounds every weight once more and
# each layer passes that on; 60 to 100 were measured on SmolLM2-135M (30 layers) in float32. Deeper
# models get room; half of what the adapter itself changes is the other bound.
_ROUNDOFFS = 1024

Logits = list[torch.Tensor]


@dataclass(frozen=True)
class Verification:
    """How the written model was compared with what was trained.

    Attributes:
        prompts: prompts whose logits were compared.
        encoded: prompts whose token ids were compared, and were equal.
        error: root mean square of the differences of the logits over that of the logits, both
            about the mean of their position; 0.0 if they are equal to the bit.
        limit: the largest error let through.
        change: the same measure for what the adapter itself changes; None without an adapter.
    """

    prompts: int
    encoded: int
    error: float
    limit: float
    change: float | None


def write_model(
    base: Path, weights: Path, config: ModelConfig, prompts: Sequence[str], folder: Path
) -> Verification:
    """Write the model of a round with its tokenizer and chat template into an empty folder.

    An adapter is merged in the configured dtype, exactly as for scoring. Then the folder is read
    back by transformers alone. Its logits must be those of the merged model to the bit, and lie
    within the rounding of the dtype of those of base plus adapter; whole weights must be equal to
    the bit, tensor by tensor. The tokenizer must give the same ids.

    Args:
        base: the untouched model.
        weights: an adapter, or whole weights.
        prompts: wording of questions; all are encoded, up to eight evenly drawn go through the
            models.
        folder: receives safetensors weights, configuration, tokenizer and template.

    Raises:
        UserError: if the merged model is not base plus adapter within the limit.
        RuntimeError: if what was written is not what is in memory.
    """
    adapter = (weights / _ADAPTER).is_file()
    shown = prompts[:: max(1, len(prompts) // 8)][:8]
    change, expected = None, None
    with quiet_loading():
        if adapter:
            earlier = weights / EARLIER
            model = load_model(base, config, earlier if earlier.is_dir() else None)
            model, before, expected = _merge(model, weights, shown)
            change = relative_error(before, expected)
        else:
            model = load_model(base, config, weights)
        ours = _logits(model.network, model.encoder, shown)
        encoder = model.encoder
        model.network.save_pretrained(folder)
        encoder.tokenizer.save_pretrained(folder)
        _forget_paths(folder)
        del model  # one model at a time
        fresh = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=config.attention)
        theirs = _logits(fresh.to(device_kind(config)).eval(), encoder, shown)
        written = Encoder(AutoTokenizer.from_pretrained(folder), config.style)
    if fresh.dtype != getattr(torch, config.dtype):
        raise RuntimeError(f"{folder} is loaded as {fresh.dtype}, not as {config.dtype}")
    if not all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True)):
        raise RuntimeError(f"the model read back from {folder} gives other logits")
    if any(written.prompt(each) != encoder.prompt(each) for each in prompts):
        raise RuntimeError(f"the tokenizer read back from {folder} gives other ids")
    error, limit = 0.0, 0.0
    if expected is None:
        _compare_files(weights, folder)
    else:
        error = relative_error(theirs, expected)
        limit = torch.finfo(fresh.dtype).eps / 2 * _ROUNDOFFS
        if change:  # else a merge that does nothing could pass
            limit = min(limit, change / 2)
        if not error <= limit:
            raise UserError(
                f"model.dtype: merged in {config.dtype}, the logits differ from base plus adapter "
                f"by {error:.2g} of their size, and {limit:.2g} is let through (the adapter itself "
                f"changes them by {change:.2g}): what was learned would be lost in rounding. Train "
                "with model.dtype=float32."
            )
    return Verification(len(shown), len(prompts), error, limit, change)


def relative_error(found: Logits, expected: Logits) -> float:
    """Root mean square of found - expected over that of expected about its mean by position.

    Args:
        found: for each prompt logits of shape (positions, vocabulary).
        expected: the same.
    """
    differences = sum(float((a - b).square().sum()) for a, b in zip(found, expected, strict=True))
    size = sum(float((b - b.mean(-1, keepdim=True)).square().sum()) for b in expected)
    return (differences / size) ** 0.5 if size else float(differences > 0)


def _merge(
    model: LanguageModel, weights: Path, prompts: Sequence[str]
) -> tuple[LanguageModel, Logits, Logits]:
    """The merged model, and the logits of the base and of base plus adapter."""
    from peft import PeftModel

    adapted = PeftModel.from_pretrained(model.network, weights).eval()
    with adapted.disable_adapter():
        before = _logits(adapted, model.encoder, prompts)
    after = _logits(adapted, model.encoder, prompts)
    merged = adapted.merge_and_unload().eval()
    return LanguageModel(merged, model.encoder, model.context), before, after


@torch.inference_mode()
def _logits(network: Any, encoder: Encoder, prompts: Sequence[str]) -> Logits:
    """For each prompt its logits of shape (positions, vocabulary), float32 on the CPU."""
    return [
        network(torch.tensor([encoder.prompt(each)], device=network.device)).logits[0].float().cpu()
        for each in prompts
    ]


def _compare_files(weights: Path, folder: Path) -> None:
    """Whether two folders hold the same tensors to the bit, however they are split into files."""
    trained, written = _tensors(weights), _tensors(folder)
    if trained.keys() != written.keys():
        differing = sorted(trained.keys() ^ written.keys())
        raise RuntimeError(
            f"{folder} holds other weights than were trained, such as {differing[0]}"
        )
    for name, file in trained.items():
        with safe_open(file, "pt") as one, safe_open(written[name], "pt") as other:
            if not torch.equal(one.get_tensor(name), other.get_tensor(name)):
                raise RuntimeError(f"{folder}: the weights {name} are not those that were trained")


def _tensors(folder: Path) -> dict[str, Path]:
    """The names of all tensors in a folder, with their files."""
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            found |= dict.fromkeys(tensors.keys(), file)
    return found


def _forget_paths(folder: Path) -> None:
    """Drop where a model was once loaded from: it says something of the machine, not the model."""
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        path = folder / name
        if path.is_file():
            values = json.loads(path.read_text(encoding="utf-8"))
            kept = {key: each for key, each in values.items() if not key.endswith("name_or_path")}
            if kept != values:
                text = json.dumps(kept, indent=2, ensure_ascii=False)
                path.write_text(text + "\n", encoding="utf-8")
