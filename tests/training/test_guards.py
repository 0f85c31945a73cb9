"""Guards against forgetting: each does what it says, alone and with an adapter."""

from __future__ import annotations

import csv
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.errors import UserError
from cem_lightning.models.head import Head
from cem_lightning.training.adapters import ADAPTER_WEIGHTS, add_adapter
from cem_lightning.training.config import LoraSettings, ObjectiveConfig, TrainerConfig
from cem_lightning.training.fit import TrainResult, train
from cem_lightning.training.head_loss import Reference, head_loss
from tests.tiny import tiny_model
from tests.training.cases import LORA, RECIPE, VOCABULARY, examples_folder, settings


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return examples_folder(tmp_path / "examples")


def run(
    folder: Path,
    corpus: Path,
    *,
    network: Any = None,
    kl: float = 0.0,
    lora: LoraSettings | None = None,
    recipe: RecipeConfig = RECIPE,
    more: dict[str, Any] | None = None,
    **changes: Any,
) -> tuple[Any, TrainResult]:
    network = network or tiny_model("qwen2", vocabulary=VOCABULARY)
    if lora is not None:
        network = add_adapter(network, lora, seed=1)
    config = settings(lora=lora, learning_rate=3e-3, **changes)
    objective = ObjectiveConfig(kl=kl)
    result = train(network, corpus, recipe, objective, config, seed=1, folder=folder, **more or {})
    return network, result


def rows(result: TrainResult) -> list[dict[str, str]]:
    with result.curves.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.invariant
@pytest.mark.parametrize("cap", [None, 4.0])
def test_the_divergence_in_chunks_is_torch_s_own(
    cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cem_lightning.training.head_loss.CELLS", 97 * 7)
    draw = torch.Generator().manual_seed(1)
    states, held, weight, of_start, scales = (
        torch.randn(*shape, generator=draw, dtype=torch.float64)
        for shape in ((50, 16), (50, 16), (97, 16), (97, 16), (50,))
    )
    targets = torch.randint(97, (50,), generator=draw)
    leaves = [states.requires_grad_(), weight.requires_grad_()]
    head, start = Head(weight, None, cap), Head(of_start, None, cap)

    found = torch.log_softmax(head.logits(states), -1)
    wanted = torch.log_softmax(start.logits(held), -1)
    plain = torch.nn.functional.kl_div(found, wanted, log_target=True, reduction="none").sum(-1)
    crossed = torch.nn.functional.nll_loss(found, targets, reduction="none")
    expected = (crossed * scales).sum() + 0.3 * plain.sum()

    total, losses, divergences = head_loss(
        states, head, targets, scales, Reference(held, start, 0.3)
    )
    assert torch.allclose(total, expected)
    assert torch.allclose(losses, crossed.detach())
    assert torch.allclose(divergences, plain.detach())
    for one, other in zip(
        torch.autograd.grad(total, leaves), torch.autograd.grad(expected, leaves), strict=True
    ):
        assert torch.allclose(one, other)


@pytest.mark.parametrize("lora", [None, LORA])
def test_predictions_held_near_the_start_stay_nearer(
    tmp_path: Path, corpus: Path, lora: LoraSettings | None
) -> None:
    start = tiny_model("qwen2", vocabulary=VOCABULARY)
    longer = RECIPE.model_copy(update={"tokens": 3000})
    free, held = (
        rows(run(tmp_path / str(kl), corpus, network=deepcopy(start), kl=kl, lora=lora,
                 recipe=longer)[1])
        for kl in (1e-9, 10.0)
    )  # fmt: skip
    assert abs(float(held[0]["kl"])) < 1e-6, "it begins at the start itself"
    assert 0 < float(held[-1]["kl"]) < float(free[-1]["kl"]) / 2


@pytest.mark.invariant
def test_held_near_the_start_in_packs_of_any_size(tmp_path: Path, corpus: Path) -> None:
    start = tiny_model("qwen2", vocabulary=VOCABULARY).double()
    whole, single = (
        run(tmp_path / str(size), corpus, network=deepcopy(start), kl=0.5, pack_tokens=size)[0]
        for size in (400, 40)
    )
    for one, other in zip(whole.parameters(), single.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("lora", [None, LORA])
def test_the_lowest_layers_stay_as_they_are(
    tmp_path: Path, corpus: Path, lora: LoraSettings | None
) -> None:
    start = tiny_model("qwen2", vocabulary=VOCABULARY)
    reference = deepcopy(start) if lora is None else add_adapter(deepcopy(start), lora, seed=1)
    trained, _ = run(tmp_path / "run", corpus, network=start, lora=lora, freeze_layers=1)
    before = dict(reference.named_parameters())
    moved = {
        name for name, weight in trained.named_parameters() if not torch.equal(weight, before[name])
    }
    assert moved
    assert not any(".0." in name or "embed" in name for name in moved), moved
    assert [each.requires_grad for each in trained.parameters()] == [
        each.requires_grad for each in reference.parameters()
    ], "only while it is trained"


def test_freezing_all_layers_is_refused(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.freeze_layers: 2, but the model has 2 layers"):
        run(tmp_path / "run", corpus, freeze_layers=2)


@pytest.mark.parametrize("lora", [None, LORA])
def test_the_part_of_the_way_that_answers_most(
    tmp_path: Path, corpus: Path, lora: LoraSettings | None
) -> None:
    """Half of the way is half of the change to every weight; of equals the smallest is taken."""
    start = tiny_model("qwen2", vocabulary=VOCABULARY)
    whole, _ = run(tmp_path / "whole", corpus, network=deepcopy(start), lora=lora)
    answers = iter([3, 5, 5, 4])
    interpolation = {"gate": 5, "parts": (0.75, 0.25, 0.5)}
    settled, result = run(
        tmp_path / "part",
        corpus,
        network=deepcopy(start),
        lora=lora and lora.model_copy(update={"earlier": "merge"}),
        interpolation=interpolation,
        more={"right": lambda: next(answers)},
    )
    assert result.part == 0.5
    assert result.gate == {0.25: 3, 0.5: 5, 0.75: 5, 1.0: 4}
    if lora is not None:
        saved = load_file(result.weights / ADAPTER_WEIGHTS)
        for name, each in settled.named_parameters():
            assert "lora_" not in name or torch.equal(saved[name.replace(".default", "")], each)
    ends = [each.merge_and_unload() if lora else each for each in (whole, settled)]
    before, end, half = (dict(each.named_parameters()) for each in (start, *ends))
    assert any(not torch.equal(end[name], before[name]) for name in before)
    for name, weight in half.items():
        assert torch.allclose(weight, (before[name] + end[name]) / 2, atol=1e-6), name


def test_what_is_not_linear_is_not_interpolated() -> None:
    gate = {"interpolation": {"gate": 5}}
    for lora in (LORA, LORA.model_copy(update={"dora": True, "earlier": "merge"})):
        with pytest.raises(ValueError, match=r"interpolation\.gate: .* set lora\."):
            TrainerConfig.model_validate(settings(lora=lora).model_dump() | gate)
    TrainerConfig.model_validate(settings(lora=LORA, start="base").model_dump() | gate)


def test_the_model_is_asked_after_the_steps_wanted(tmp_path: Path, corpus: Path) -> None:
    modes: list[bool] = []
    network = tiny_model("qwen2", vocabulary=VOCABULARY)

    def evaluate() -> dict[str, float]:
        modes.append(network.training)
        return {"accuracy/ood": len(modes) / 10}

    plain, _ = run(tmp_path / "plain", corpus)
    asked, result = run(
        tmp_path / "asked", corpus, network=network, evaluate_at=(1, 3), more={"evaluate": evaluate}
    )
    assert [row["accuracy/ood"] for row in rows(result)][:4] == ["0.1", "", "0.2", ""]
    assert modes == [False, False]
    for one, other in zip(plain.parameters(), asked.parameters(), strict=True):
        assert torch.equal(one, other), "asking changes nothing"


def test_what_is_asked_takes_no_part_in_the_speed(tmp_path: Path, corpus: Path) -> None:
    def evaluate() -> dict[str, float]:
        time.sleep(1)
        return {}

    _, result = run(tmp_path / "run", corpus, evaluate_at=(2,), more={"evaluate": evaluate})
    before, asked, *_ = rows(result)
    read = float(asked["tokens"]) - float(before["tokens"])
    assert float(asked["seconds"]) - float(before["seconds"]) > 1
    assert read / float(asked["tokens_per_second"]) < 0.9


def test_what_guards_do_is_said(tmp_path: Path, corpus: Path) -> None:
    said: list[str] = []
    scores = iter((2, 3, 3))
    more = {
        "evaluate": dict,
        "right": lambda: next(scores),
        "say": said.append,
    }
    interpolation = {"gate": 5, "parts": (0.25, 0.5)}
    _, result = run(
        tmp_path / "run", corpus, evaluate_at=(1, 99), interpolation=interpolation, more=more
    )
    assert result.part == 0.5
    assert said[1:] == [
        f"trainer.evaluate_at: there are {result.steps} steps, so nothing is asked at [99]",
        "goes 50% of the way (right answers of the gate: 25% 2, 50% 3, 100% 3)",
    ]
