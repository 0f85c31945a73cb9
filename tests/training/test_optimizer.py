"""Settings, the course of the learning rate, what decays, what a checkpoint would hold."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from cem_lightning.training.config import ObjectiveConfig
from cem_lightning.training.module import MixedObjective
from cem_lightning.training.optimizer import adamw, rate_factor
from tests.tiny import tiny_model
from tests.training.cases import LORA, OBJECTIVE, settings


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_the_rate_rises_to_its_peak_and_never_is_zero(schedule: str, steps: int) -> None:
    factor = rate_factor(settings(schedule=schedule, warmup_fraction=0.2), steps)
    rates = [factor(step) for step in range(steps)]
    peak = rates.index(1.0)
    assert peak == round(0.2 * steps)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert min(rates) > 0
    if schedule != "constant":
        assert factor(steps) == pytest.approx(0)


def test_vectors_do_not_decay_and_frozen_weights_are_left_out() -> None:
    network = tiny_model("qwen2", vocabulary=64)
    network.model.embed_tokens.weight.requires_grad_(False)
    groups = adamw(network, settings(weight_decay=0.1)).param_groups
    for group in groups:
        assert {weight.dim() >= 2 for weight in group["params"]} == {group["weight_decay"] > 0}
    optimised = sum(weight.numel() for group in groups for weight in group["params"])
    assert optimised == sum(w.numel() for w in network.parameters() if w.requires_grad)


@pytest.mark.parametrize(
    "changes", [{"batch": 0}, {"lora": {"rank": 0}}, {"schedule": "step"}, {"epochs": 3}]
)
def test_wrong_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**changes)


def test_weights_of_kinds_default_to_one() -> None:
    objective = ObjectiveConfig(weights={"passage": 0.5})
    assert (objective.weight("passage"), objective.weight("review")) == (0.5, 1.0)
    with pytest.raises(ValidationError):
        ObjectiveConfig.model_validate({"weights": {"passages": 1.0}})


def test_settings_can_be_checked_without_torch() -> None:
    program = (
        "import sys, cem_lightning.corpus.config, cem_lightning.training.config\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'datasets')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_hyperparameters_load_without_trusting_the_file() -> None:
    module = MixedObjective(tiny_model(vocabulary=64), OBJECTIVE, settings(lora=LORA), steps=3)
    file = io.BytesIO()
    torch.save(dict(module.hparams), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert loaded["trainer"]["lora"]["rank"] == 4
    assert loaded["steps"] == 3
