"""Ways to train that are chosen together: each as alone, or refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from cem_lightning.errors import UserError
from cem_lightning.training.adapters import add_adapter
from cem_lightning.training.fit import TrainResult, train
from tests.tiny import tiny_model
from tests.training.cases import LORA, OBJECTIVE, RECIPE, VOCABULARY, examples_folder, settings
from tests.workspace import compose_config


def run(
    folder: Path, network: Any, *, kl: float = 0, more: Any = None, **changes: Any
) -> TrainResult:
    objective = OBJECTIVE.model_copy(update={"kl": kl})
    corpus = examples_folder(folder / "examples")
    (folder / "work").mkdir()
    return train(
        network, corpus, RECIPE, objective, settings(**changes),
        seed=1, folder=folder / "work", evaluate=more,
    )  # fmt: skip


def compiled_by(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler, so that only what is compiled shows."""
    compile_one = torch.nn.Module.compile
    torch._dynamo.reset()
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, **how: compile_one(self, backend=backend, **how)
    )


@pytest.mark.parametrize("lora", [None, LORA])
def test_in_mixed_precision_nothing_diverges_from_itself(tmp_path: Path, lora: Any) -> None:
    network = tiny_model("qwen2", vocabulary=VOCABULARY)
    if lora is not None:
        network = add_adapter(network, lora, seed=1)
    result = run(tmp_path, network, kl=0.5, mixed_precision=True, lora=lora)
    with result.curves.open(encoding="utf-8") as file:
        divergences = [float(row["kl"]) for row in csv.DictReader(file)]
    assert divergences[0] == 0
    assert divergences[-1] > 0


@pytest.mark.slow
def test_while_training_a_model_is_asked_as_it_will_be_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither compiled nor in bfloat16."""
    runs, heard = 0, dict[str, Any]()

    def backend(graph: Any, inputs: Any) -> Any:
        def counted(*given: Any) -> Any:
            nonlocal runs
            runs += 1
            return graph(*given)

        return counted

    def evaluate() -> dict[str, float]:
        before = runs
        with torch.no_grad():
            logits = network(torch.arange(1, 9)[None], use_cache=True).logits
        heard.update(compiled=before, asked=runs - before, dtype=logits.dtype)
        return {}

    compiled_by(backend, monkeypatch)
    network = tiny_model("qwen2", vocabulary=VOCABULARY)
    run(tmp_path, network, more=evaluate, evaluate_at=[2], compile=True, mixed_precision=True)
    assert heard.pop("compiled") > 0
    assert heard == {"asked": 0, "dtype": torch.float32}


def test_where_nothing_can_be_compiled_the_key_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def backend(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("No C++ compiler found")

    compiled_by(backend, monkeypatch)
    network = tiny_model("qwen2", vocabulary=VOCABULARY)
    with pytest.raises(UserError, match=r"trainer\.compile: .*No C\+\+ compiler found"):
        run(tmp_path, network, compile=True)
    assert not list((tmp_path / "work").iterdir())
    assert all(layer._compiled_call_impl is None for layer in network.model.layers)


@pytest.mark.parametrize(
    "other", [{"activation_checkpointing": True}, {"sharded": True, "devices": 2}]
)
def test_what_would_not_be_compiled_is_refused(other: dict[str, Any]) -> None:
    assert settings(compile=True).compile and settings(**other)
    with pytest.raises(ValidationError, match=f"compile: not with {next(iter(other))}=true"):
        settings(compile=True, **other)


def test_half_precision_leaves_nothing_to_mix() -> None:
    mixed = ["+experiment=quickstart", "trainer.mixed_precision=true"]
    assert compose_config(*mixed).trainer.mixed_precision
    with pytest.raises(UserError, match=r"mixed_precision=true .*set model\.dtype=float32"):
        compose_config(*mixed, "model.dtype=bfloat16")
