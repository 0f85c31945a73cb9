"""The options of `model` that are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cem_lightning.cli import config_folder
from cem_lightning.models.config import ModelConfig
from tests.workspace import compose_config

OPTIONS = sorted((config_folder() / "model").glob("*.yaml"))


def test_the_options_the_experiments_name_are_shipped() -> None:
    names = {option.stem for option in OPTIONS}
    assert names >= {"smollm2", "tiny", "qwen1_5_7b_chat", "llama3_8b_instruct", "qwen3_1_7b"}


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.stem)
def test_an_option_sets_every_key_and_says_what_it_is(option: Path) -> None:
    """So that an experiment may set any key whatever option is chosen."""
    text = option.read_text(encoding="utf-8")
    assert set(yaml.safe_load(text)) == set(ModelConfig.model_fields)
    assert compose_config(f"model={option.stem}").model.path == yaml.safe_load(text)["path"]
    header = " ".join(line for line in text.splitlines() if line.startswith("#"))
    assert any(word in header for word in ("licence", "License", "Apache-2.0", "no download"))
