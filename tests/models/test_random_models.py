"""`random://ARCHITECTURE`: made the same every time, as a stage of its own, and run on."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from cem_lightning.errors import UserError
from cem_lightning.evolution.prepare import prepare
from cem_lightning.evolution.run import run
from cem_lightning.evolution.runner import Runner
from cem_lightning.models.config import ModelConfig
from cem_lightning.models.loading import load_model
from cem_lightning.models.random_models import (
    Architecture,
    random_architecture,
    write_random_model,
)
from cem_lightning.progress import SilentProgress
from cem_lightning.storage.digests import digest_path
from cem_lightning.storage.store import Store
from tests.workspace import Workspace


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_every_architecture_is_made_and_loaded(tmp_path: Path, architecture: Architecture) -> None:
    write_random_model(tmp_path, architecture)
    attention = "eager" if architecture == "gemma2" else "sdpa"
    config = ModelConfig.model_validate(
        {"path": f"random://{architecture}", "style": "chat", "dtype": "float32"}
        | {"attention": attention, "device": "cpu"}
    )
    model = load_model(tmp_path, config)
    assert model.network.config.model_type.startswith(architecture)
    assert 50_000 <= model.network.num_parameters() <= 200_000
    assert {str(each.dtype) for each in model.network.parameters()} == {"torch.float32"}
    assert model.context >= 2048
    shown = model.encoder.tokenizer.decode(list(model.encoder.prompt("Größe?")))
    assert shown == "<|im_start|>user\nGröße?<|im_end|>\n<|im_start|>assistant\n"


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_random_model(tmp_path / name, "qwen2")
    assert digest_path(tmp_path / "one") == digest_path(tmp_path / "two")
    write_random_model(tmp_path / "other", "qwen2", seed=1)
    one, other = (digest_path(tmp_path / each / "model.safetensors") for each in ("one", "other"))
    assert one != other


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("random://qwen", r"did you mean 'qwen\d'\?"),
        ("random://lama", r"did you mean 'llama'\?"),
        ("random://", r"made of\. There are random://llama, random://qwen2, "),
        ("random://xyz", r"made of\. There are random://llama"),
    ],
)
def test_a_misspelt_architecture_names_the_nearest(path: str, said: str) -> None:
    with pytest.raises(UserError, match=rf"model\.path: {path} names no architecture.*{said}"):
        random_architecture(path)


def test_it_is_written_without_bars(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_random_model(tmp_path, "llama")
    assert capfd.readouterr() == ("", "")


def test_only_its_own_prefix_means_a_random_model() -> None:
    assert random_architecture("random://gemma3") == "gemma3"
    for path in ("random/qwen2", "qwen2", "package://random/qwen2.gguf"):
        assert random_architecture(path) is None


def test_an_evolution_makes_it_once_and_runs_on_it(workspace: Workspace) -> None:
    path = "model.path=random://qwen2"
    config = workspace.config(path)
    run(config)
    (folder,) = (config.store_dir / "random_model").glob("*/model")
    made = folder.stat().st_mtime_ns
    runner = Runner(Store(config.store_dir), SilentProgress(), compute=False)
    prepared = prepare(workspace.config(path, "rounds=0"))
    assert prepared.source is None
    assert prepared.model(runner).path == folder, "no other run makes it again"
    assert folder.stat().st_mtime_ns == made
    with pytest.raises(UserError, match=r"did you mean 'qwen3'\?"):
        prepare(workspace.config("model.path=random://qwen-3"))
