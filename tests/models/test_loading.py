"""Loading a model, its trained successors, and folders that hold no whole model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from cem_lightning.errors import UserError
from cem_lightning.models.config import ModelConfig
from cem_lightning.models.loading import device_kind, load_encoder, load_model
from tests.tiny import tiny_model_folder

IDS = torch.tensor([[5, 9, 200, 33, 7, 7, 120]])


def config(path: Path | str, **changes: str) -> ModelConfig:
    values = {
        "path": str(path),
        "style": "chat",
        "dtype": "float32",
        "attention": "sdpa",
        "device": "cpu",
    }
    return ModelConfig.model_validate(values | changes)


def logits(network: Any) -> torch.Tensor:
    with torch.inference_mode():
        return torch.as_tensor(network(IDS).logits)


def test_a_model_comes_with_its_encoder_and_context(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path / "model", context=77)
    model = load_model(folder, config(folder))
    assert model.context == 77
    assert model.device == torch.device("cpu")
    assert not model.network.training
    assert model.network.dtype == torch.float32
    assert torch.equal(logits(model.network), logits(AutoModelForCausalLM.from_pretrained(folder)))
    encoder, context = load_encoder(folder, config(folder))
    assert context == 77
    assert encoder.prompt("Which sea?") == model.encoder.prompt("Which sea?")


def test_the_settings_reach_the_model(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path / "model")
    model = load_model(folder, config(folder, dtype="float16", attention="eager", style="plain"))
    assert model.network.dtype == torch.float16
    assert model.network.config._attn_implementation == "eager"
    assert model.encoder.style == "plain"


def test_a_model_that_cannot_run_with_sdpa_names_the_setting(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path / "model", "gemma2")
    with pytest.raises(UserError, match=r"Gemma2.*set model\.attention=eager"):
        load_model(folder, config(folder))
    load_model(folder, config(folder, attention="eager"))


def test_whole_weights_stand_in_the_place_of_the_models(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path / "base")
    other = AutoModelForCausalLM.from_pretrained(tiny_model_folder(tmp_path / "other", seed=1))
    other.save_pretrained(tmp_path / "weights")  # weights alone, no tokenizer
    model = load_model(folder, config(folder), tmp_path / "weights")
    assert torch.equal(logits(model.network), logits(other))
    assert not torch.allclose(
        logits(model.network), logits(load_model(folder, config(folder)).network)
    )


def test_an_adapter_is_merged_into_the_model(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(folder)
    before = logits(base)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"])
    adapted = get_peft_model(base, lora).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.2)
    adapted.save_pretrained(tmp_path / "weights")
    model = load_model(folder, config(folder), tmp_path / "weights")
    torch.testing.assert_close(logits(model.network), logits(adapted), atol=1e-5, rtol=1e-5)
    assert (logits(model.network) - before).abs().max() > 0.1
    assert not any("lora" in name for name, _ in model.network.named_parameters())


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def holding(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def setting(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no config": (without("config.json"), "no config.json"),
    "config that is no JSON": (holding("config.json", b"{ not json"), "config.json"),
    "config that is a list": (holding("config.json", b"[]"), "model_type"),
    "config of something else": (holding("config.json", b'{"a": 1}'), "model_type"),
    "unknown kind of model": (holding("config.json", b'{"model_type": "foo"}'), "foo"),
    "no language model": (holding("config.json", b'{"model_type": "t5"}'), "T5Config"),
    "no tokenizer": (without("tokenizer.json"), "the tokenizer"),
    "tokenizer that is no JSON": (holding("tokenizer.json", b"{"), "the tokenizer"),
    "tokenizer of something else": (holding("tokenizer.json", b'{"a": 1}'), "the tokenizer"),
    "no weights": (without("model.safetensors"), "model.safetensors"),
    "empty weights": (holding("model.safetensors", b""), "header"),
    "weights of something else": (holding("model.safetensors", b"nonsense" * 99), "header"),
    "truncated weights": (truncated, "incomplete"),
    "weights of fewer layers": (setting(num_hidden_layers=3, layer_types=None), "lack 9 weights"),
    "weights of another width": (setting(intermediate_size=64), "mismatch"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_folder_without_a_whole_model_is_the_users_to_mend(tmp_path: Path, name: str) -> None:
    change, named = BROKEN[name]
    folder = tiny_model_folder(tmp_path / "model")
    change(folder)
    with pytest.raises(UserError) as caught:
        load_model(folder, config("my/model"))
    message = str(caught.value)
    assert message.startswith("model.path: ")
    assert "my/model" in message
    assert named in message
    assert "Give a folder with" in message
    assert "\n" not in message
    if "weights" not in name:  # told before anything is computed
        with pytest.raises(UserError, match=r"Give a folder with"):
            load_encoder(folder, config("my/model"))


@pytest.mark.parametrize(
    ("content", "base"),
    [
        ('{"base_model_name_or_path": "Qwen/Qwen3-1.7B"}', "Qwen/Qwen3-1.7B"),
        ('{"base_model_name_or_path": null}', "a model that it does not name"),
        ("[", "a model that it does not name"),
    ],
)
def test_an_adapter_alone_is_called_one(tmp_path: Path, content: str, base: str) -> None:
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(UserError) as caught:
        load_encoder(tmp_path, config("my/adapter"))
    message = str(caught.value)
    assert message.startswith(f"model.path: my/adapter is an adapter for {base}, not a model.")
    for step in ("action=export", "merge_and_unload()", "model.path=FOLDER"):
        assert step in message


def code_of_its_own(name: str, key: str, value: object, **values: object) -> Callable[[Path], None]:
    """A folder that would leave its mark if its code were run."""

    def change(folder: Path) -> None:
        path = folder / name
        values_there = json.loads(path.read_text())
        path.write_text(json.dumps(values_there | {"auto_map": {key: value}} | values))
        (folder / "own.py").write_text(f"open({str(folder / 'was_run')!r}, 'w').close()\n")

    return change


@pytest.mark.parametrize(
    "change",
    [
        code_of_its_own("config.json", "AutoConfig", "own.Config", model_type="own"),
        code_of_its_own(
            "tokenizer_config.json", "AutoTokenizer", [None, "own.Own"], tokenizer_class="Own"
        ),
    ],
    ids=["model", "tokenizer"],
)
def test_code_that_comes_with_a_model_is_never_run(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = tiny_model_folder(tmp_path / "model")
    change(folder)
    with pytest.raises(UserError) as caught:
        load_encoder(folder, config("my/model"))
    message = str(caught.value)
    assert "my/model runs only with program code of its own" in message
    assert "never run here" in message
    assert not (folder / "was_run").exists()


@pytest.mark.parametrize("method", ["gptq", "bitsandbytes", "awq", "compressed-tensors"])
def test_quantised_weights_are_refused_before_anything_is_computed(
    tmp_path: Path, method: str
) -> None:
    folder = tiny_model_folder(tmp_path / "model")
    setting(quantization_config={"quant_method": method, "bits": 4})(folder)
    with pytest.raises(UserError) as caught:
        load_encoder(folder, config("my/model"))
    message = str(caught.value)
    assert message.startswith(f"model.path: the weights of my/model are quantised ({method})")
    assert "Give the model they were made from" in message


@pytest.mark.parametrize("name", ["model.safetensors", "adapter_model.safetensors"])
def test_broken_weights_of_a_round_are_named(tmp_path: Path, name: str) -> None:
    folder = tiny_model_folder(tmp_path / "base")
    weights = tmp_path / "round-1"
    base = AutoModelForCausalLM.from_pretrained(folder)
    if name.startswith("adapter"):
        base = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"]))
    base.save_pretrained(weights)
    (weights / name).write_bytes(b"nonsense" * 99)
    with pytest.raises(UserError, match=r"model\.path: .*round-1 cannot be read"):
        load_model(folder, config(folder), weights)


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gpt2"])
def test_a_tokenizer_that_transformers_makes_up_is_refused(tmp_path: Path, family: str) -> None:
    folder = tiny_model_folder(tmp_path / "model", family)
    for path in [*folder.glob("token*"), *folder.glob("vocab*"), *folder.glob("merges*")]:
        path.unlink()
    with pytest.raises(UserError, match=r"it has no vocabulary, .* and the tokenizer's files"):
        load_encoder(folder, config(folder, style="plain"))


def test_a_tokenizer_without_template_is_told_before_weights_are_read(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path / "model", template=None)
    shutil.move(folder / "model.safetensors", tmp_path)
    with pytest.raises(UserError, match=r"model\.style=plain"):
        load_model(folder, config(folder))


def test_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_kind(config("x", device="auto")) == "cpu"
    with pytest.raises(UserError, match=r"model\.device=auto"):
        device_kind(config("x", device="cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_kind(config("x", device="auto")) == "cuda"
    assert device_kind(config("x", device="cpu")) == "cpu"


def test_a_control_token_that_is_never_written_needs_no_embedding(tmp_path: Path) -> None:
    """As in Gemma 3's small models, whose tokenizer has a token for images."""
    folder = tiny_model_folder(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    tokenizer.save_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder)
    network.resize_token_embeddings(tokenizer.convert_tokens_to_ids("<image>"))
    network.save_pretrained(folder)
    model = load_model(folder, config(folder))
    for ids in (model.encoder.text("<image>").ids, model.encoder.prompt("<image>")):
        assert max(ids) < len(model.network.get_input_embeddings().weight)
    tokenizer.chat_template = tokenizer.chat_template.replace("user", "user<image>") + "<image>"
    tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match=r"ids up to \d+ \('<image>'\)"):
        load_model(folder, config(folder))


def test_a_tokenizer_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<one more>"])
    tokenizer.save_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder)
    largest = max(tokenizer.get_vocab().values())
    network.resize_token_embeddings(largest + 8)
    network.save_pretrained(folder)
    load_model(folder, config(folder))  # unused rows do no harm
    network.resize_token_embeddings(largest)
    network.save_pretrained(folder)
    with pytest.raises(
        UserError, match=rf"ids up to {largest} .*embeddings for 0 to {largest - 1}"
    ):
        load_model(folder, config(folder))
