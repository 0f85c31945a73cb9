"""Low-rank adapters: made, continued and written down; and full weights, written down.

An adapter folder never holds a weight of the frozen base.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from pytorch_lightning.utilities.seed import isolate_rng

from cem_lightning.errors import UserError
from cem_lightning.models.source import quiet_loading
from cem_lightning.training.config import LoraSettings

ADAPTER_WEIGHTS = "adapter_model.safetensors"


def add_adapter(
    network: Any, lora: LoraSettings, *, seed: int, previous: Path | None = None
) -> Any:
    """The network with a trainable adapter: a new one, or a continued earlier one.

    Args:
        network: the base model; its weights are frozen in place.
        seed: decides the first weights of a new adapter, whatever ran before.
        previous: folder of the adapter to continue.

    Raises:
        UserError: if the earlier adapter has another rank, scale or form than configured, or there
            are no modules of the configured names.
    """
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        use_dora=lora.dora,
    )
    with isolate_rng(), quiet_loading():
        torch.manual_seed(seed)
        if previous is not None:
            _refuse_another_shape(previous, lora)
            return PeftModel.from_pretrained(network, previous, config=config, is_trainable=True)
        try:
            return get_peft_model(network, config)
        except ValueError as error:
            raise UserError(
                f"trainer.lora.target_modules: {lora.target_modules} fits no module of "
                f"{type(network).__name__} ({error}); use all-linear or the names of its layers."
            ) from error


def save_weights(network: Any, folder: Path) -> None:
    """Write an adapter, or the full weights, with their configuration, as safetensors."""
    if isinstance(network, PeftModel):
        # "auto" would ask the hub whether the vocabulary has grown; ours never does
        network.save_pretrained(str(folder), save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # peft's unfilled template of a model card
        _make_reproducible(folder / "adapter_config.json")
    else:
        network.save_pretrained(folder)


def _refuse_another_shape(previous: Path, lora: LoraSettings) -> None:
    earlier = LoraConfig.from_pretrained(str(previous))
    pairs = {
        "rank": (earlier.r, lora.rank),
        "alpha": (earlier.lora_alpha, lora.alpha),
        "dora": (earlier.use_dora, lora.dora),
    }
    wrong = [
        f"trainer.lora.{name} is {now}, the adapter of the round before has {before}"
        for name, (before, now) in pairs.items()
        if before != now
    ]
    if wrong:
        raise UserError(
            f"{'; '.join(wrong)}. Keep the value over the rounds, or set trainer.start=base."
        )


def _make_reproducible(path: Path) -> None:
    """Keep from an adapter's configuration what differs between equal runs.

    peft writes its sets in the order of their hashes, which change from process to process, and
    the folder the base model was loaded from, which changes from machine to machine.
    """
    values = json.loads(path.read_text(encoding="utf-8"))
    for key in ("target_modules", "exclude_modules", "modules_to_save"):
        if isinstance(values.get(key), list):
            values[key] = sorted(values[key])
    values["base_model_name_or_path"] = None
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
