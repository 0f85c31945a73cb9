"""A whole run: its invariants, what it leaves behind, and how it fails."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from cem_lightning.corpus.config import KINDS
from cem_lightning.corpus.datamodule import CorpusDataModule
from cem_lightning.corpus.examples import Example
from cem_lightning.errors import UserError
from cem_lightning.training.adapters import ADAPTER_WEIGHTS, add_adapter
from cem_lightning.training.config import LoraSettings
from cem_lightning.training.fit import TrainResult, train
from tests.tiny import tiny_model
from tests.training.cases import (
    LORA,
    OBJECTIVE,
    RECIPE,
    VOCABULARY,
    examples,
    examples_folder,
    settings,
)


class Listener:
    def __init__(self) -> None:
        self.tokens = 0
        self.notes: list[str] = []
        self.rows: list[Mapping[str, float]] = []

    def advance(self, amount: float = 1, *, note: str = "") -> None:
        self.tokens += int(amount)
        self.notes.append(note)

    def measure(self, row: Mapping[str, float]) -> None:
        self.rows.append(row)


def run(
    folder: Path,
    corpus: Path,
    *,
    lora: LoraSettings | None = None,
    task: Listener | None = None,
    network: Any = None,
    **changes: Any,
) -> tuple[Any, TrainResult]:
    """Train a tiny model, with the global random state deliberately in the way."""
    if network is None:
        network = tiny_model("qwen2", vocabulary=VOCABULARY)
    torch.manual_seed(len(str(folder)))
    if lora is not None:
        network = add_adapter(network, lora, seed=1)
    config = settings(lora=lora, **changes)
    result = train(network, corpus, RECIPE, OBJECTIVE, config, seed=1, folder=folder, task=task)
    return network, result


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return examples_folder(tmp_path / "examples")


def largest_difference(one: Any, other: Any) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((left - right).abs().max().detach()) for left, right in pairs)


@pytest.mark.invariant
@pytest.mark.parametrize("lora", [None, LORA])
def test_a_batch_of_eight_is_eight_batches_of_one(
    tmp_path: Path, corpus: Path, lora: LoraSettings | None
) -> None:
    data = CorpusDataModule(corpus, RECIPE, seed=1, batch=8, pack_tokens=400)
    assert data.plan.steps >= 3
    assert len(data.plan.order) % 8, "the last window must be partial"
    start = tiny_model("qwen2", vocabulary=VOCABULARY).double()
    whole, single, few = (
        run(tmp_path / str(size), corpus, lora=lora, network=deepcopy(start), pack_tokens=size)[0]
        for size in (400, 40, 90)
    )
    assert largest_difference(whole, single) <= 1e-6
    assert largest_difference(whole, few) <= 1e-6
    if lora is None:
        assert largest_difference(whole, start) > 1e-4, "it has trained"


@pytest.mark.invariant
def test_a_model_that_would_mix_documents_is_trained_on_one_at_a_time(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed is unpacked: refusing to pack gives the same weights."""
    start = tiny_model("qwen2", vocabulary=VOCABULARY).double()
    packed, _ = run(tmp_path / "packed", corpus, network=deepcopy(start))
    monkeypatch.setattr("cem_lightning.training.fit.isolates_documents", lambda _: False)
    unpacked, _ = run(tmp_path / "unpacked", corpus, network=deepcopy(start))
    assert largest_difference(packed, unpacked) <= 1e-6
    assert largest_difference(packed, start) > 1e-4, "it has trained"


@pytest.mark.invariant
@pytest.mark.parametrize("lora", [None, LORA.model_copy(update={"dropout": 0.3})])
def test_activations_computed_again_give_the_same_weights(
    tmp_path: Path, corpus: Path, lora: LoraSettings | None
) -> None:
    kept, again = (
        run(tmp_path / str(on), corpus, lora=lora, activation_checkpointing=on)[0]
        for on in (False, True)
    )
    assert largest_difference(kept, again) == 0
    assert not again.is_activation_checkpointing


def test_layers_are_passed_twice_where_activations_are_not_kept(
    tmp_path: Path, corpus: Path
) -> None:
    passes = []
    for on in (False, True):
        network = tiny_model("qwen2", vocabulary=VOCABULARY)
        calls: list[int] = []
        network.model.layers[0].self_attn.register_forward_hook(
            lambda *_, calls=calls: calls.append(1)
        )
        _, result = run(tmp_path / str(on), corpus, network=network, activation_checkpointing=on)
        passes.append(len(calls))
    assert passes[1] - passes[0] == result.steps


def test_dora_learns_sizes_apart_and_merges(tmp_path: Path, corpus: Path) -> None:
    dora = LORA.model_copy(update={"dora": True})
    trained, result = run(tmp_path / "run", corpus, lora=dora)
    saved = load_file(result.weights / ADAPTER_WEIGHTS)
    assert any("lora_magnitude_vector" in name for name in saved)
    base = tiny_model("qwen2", vocabulary=VOCABULARY)
    again = add_adapter(deepcopy(base), dora, seed=9, previous=result.weights)
    assert largest_difference(again, trained) == 0
    ids = torch.arange(12)[None]
    expected = trained(ids).logits
    assert torch.allclose(again.merge_and_unload()(ids).logits, expected, atol=1e-5)
    with pytest.raises(UserError, match=r"trainer\.lora\.dora is False, .* has True"):
        add_adapter(base, LORA, seed=1, previous=result.weights)


def test_an_example_longer_than_a_pack_is_refused_with_its_number(
    tmp_path: Path, corpus: Path
) -> None:
    longest = max(range(30), key=lambda at: len(examples()[at].ids))
    with pytest.raises(UserError, match=rf"trainer\.pack_tokens is 39, .* example {longest} \("):
        run(tmp_path / "run", corpus, pack_tokens=39)


@pytest.mark.invariant
@pytest.mark.parametrize("dropout", [None, 0.3])
def test_the_same_seed_gives_the_same_bits(
    tmp_path: Path, corpus: Path, dropout: float | None
) -> None:
    lora = None if dropout is None else LORA.model_copy(update={"dropout": dropout})
    one, first = run(tmp_path / "one", corpus, lora=lora)
    torch.rand(3)
    two, second = run(tmp_path / "another", corpus, lora=lora)
    assert largest_difference(one, two) == 0
    name = "model.safetensors" if lora is None else ADAPTER_WEIGHTS
    assert (first.weights / name).read_bytes() == (second.weights / name).read_bytes()


def test_training_leaves_the_random_state_and_flags_as_they_were(
    tmp_path: Path, corpus: Path
) -> None:
    network = tiny_model(vocabulary=VOCABULARY)
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    train(network, corpus, RECIPE, OBJECTIVE, settings(), seed=1, folder=tmp_path / "run")
    assert torch.equal(torch.rand(2), expected)
    assert not torch.are_deterministic_algorithms_enabled()
    assert not network.training
    assert all(weight.grad is None for weight in network.parameters())


def test_a_run_leaves_weights_curves_and_counts(tmp_path: Path, corpus: Path) -> None:
    task = Listener()
    network, result = run(tmp_path / "run", corpus, task=task)
    data = CorpusDataModule(corpus, RECIPE, seed=1, batch=8, pack_tokens=400)
    assert set(result.tokens) == set(KINDS)
    assert sum(result.tokens.values()) == data.plan.tokens == task.tokens
    assert result.tokens["extractive"] == 0
    assert result.steps == data.plan.steps == len(task.notes)
    note = r"loss \d\.\d\d \(passage \d\.\d\d, .*\) · [\d,]+ tokens/s · \d+\.\d GiB"
    assert all(re.fullmatch(note, each) for each in task.notes), "on a CPU without MFU"
    assert sorted(each.name for each in (tmp_path / "run").iterdir()) == ["curves.csv", "weights"]

    with result.curves.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, result.steps + 1))
    assert int(float(rows[-1]["tokens"])) == data.plan.tokens
    assert float(rows[-1]["seconds"]) <= result.seconds
    for row in rows:
        assert float(row["learning_rate"]) > 0
        assert float(row["tokens_per_second"]) > 0 and "mfu" not in row
        assert 2**26 < float(row["memory_bytes"]) < 2**40
        logged = [kind for kind in KINDS if row.get(f"loss/{kind}")]
        assert logged, "a kind that a step did not read has no loss there"
        for kind in logged:
            perplexity = float(row[f"perplexity/{kind}"])
            assert math.isclose(perplexity, math.exp(float(row[f"loss/{kind}"])), rel_tol=1e-6)
    loaded = AutoModelForCausalLM.from_pretrained(result.weights)
    assert largest_difference(loaded, network) == 0


def test_the_speed_that_is_shown_is_that_of_the_last_ten_steps(
    tmp_path: Path, corpus: Path
) -> None:
    task = Listener()
    run(tmp_path / "run", corpus, task=task, batch=1)
    assert len(task.rows) > 12
    totals = [0.0, *(row["tokens"] for row in task.rows)]
    read = [after - before for before, after in pairwise(totals)]
    took = [tokens / row["tokens_per_second"] for tokens, row in zip(read, task.rows, strict=True)]
    shown = f" {sum(read[-10:]) / sum(took[-10:]):,.0f} tokens/s"
    assert shown in task.notes[-1]
    assert f" {read[0] / took[0]:,.0f} tokens/s" in task.notes[0]


@pytest.mark.invariant
def test_the_logged_loss_is_the_weighted_sum_over_the_tokens_of_the_step(
    tmp_path: Path, corpus: Path
) -> None:
    """Against a plain computation over the whole first step, without any of the module's code."""
    network = tiny_model("qwen2", vocabulary=VOCABULARY)
    made = examples()
    data = CorpusDataModule(corpus, RECIPE, seed=1, batch=8, pack_tokens=400)
    total, count = 0.0, 0
    for at in data.plan.step(0):
        ids = torch.tensor([made[at].ids])
        scores = network(ids).logits[0].log_softmax(-1).detach()
        for place in range(1, len(made[at].ids)):
            if made[at].supervised[place]:
                weight = 0.5 if made[at].kind == "passage" else 1.0
                total -= weight * float(scores[place - 1, ids[0, place]])
                count += 1
    _, result = run(tmp_path / "run", corpus, pack_tokens=50)
    with result.curves.open() as file:
        logged = float(next(csv.DictReader(file))["loss"])
    assert math.isclose(logged, total / count, rel_tol=1e-5)


def test_an_adapter_is_saved_without_the_base_and_can_be_continued(
    tmp_path: Path, corpus: Path
) -> None:
    base = tiny_model("qwen2", vocabulary=VOCABULARY)
    first, result = run(tmp_path / "one", corpus, lora=LORA)
    saved = load_file(result.weights / ADAPTER_WEIGHTS)
    assert saved
    assert all("lora_" in name for name in saved)
    assert sorted(each.name for each in result.weights.iterdir()) == [
        "adapter_config.json", ADAPTER_WEIGHTS,
    ]  # fmt: skip
    config = json.loads((result.weights / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"])
    assert str(tmp_path) not in str(config)
    for name, weight in first.named_parameters():
        if "lora_" not in name:
            plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
            assert torch.equal(weight, base.get_parameter(plain)), f"{name} was frozen"

    again = add_adapter(base, LORA, seed=9, previous=result.weights)
    assert largest_difference(again, first) == 0
    train(again, corpus, RECIPE, OBJECTIVE, settings(lora=LORA), seed=2, folder=tmp_path / "two")
    assert largest_difference(again, first) > 1e-4


def test_another_rank_than_the_adapter_has_is_refused(tmp_path: Path, corpus: Path) -> None:
    _, result = run(tmp_path / "one", corpus, lora=LORA)
    other = LORA.model_copy(update={"rank": 8})
    with pytest.raises(UserError, match=r"trainer\.lora\.rank is 8, .* has 4"):
        add_adapter(tiny_model("qwen2", vocabulary=VOCABULARY), other, seed=1,
                    previous=result.weights)  # fmt: skip


def test_unknown_target_modules_are_refused() -> None:
    lora = LORA.model_copy(update={"target_modules": ["q_prj"]})
    with pytest.raises(UserError, match=r"trainer\.lora\.target_modules: \['q_prj'\]"):
        add_adapter(tiny_model(vocabulary=VOCABULARY), lora, seed=1)


def test_a_loss_that_is_not_a_number_stops_before_it_spoils_anything(
    tmp_path: Path, corpus: Path
) -> None:
    network = tiny_model(vocabulary=VOCABULARY)
    with torch.no_grad():
        network.model.norm.weight[3] = math.nan
    before = [weight.detach().clone() for weight in network.parameters()]
    with pytest.raises(UserError, match=r"loss is nan at step 1 of \d+.*trainer\.learning_rate"):
        run(tmp_path / "run", corpus, network=network)
    assert list((tmp_path / "run").iterdir()) == []
    for weight, kept in zip(network.parameters(), before, strict=True):
        assert torch.equal(weight.nan_to_num(7.0), kept.nan_to_num(7.0))


def test_a_diverging_run_is_stopped(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(UserError, match=r"is (nan|inf) at step \d+"):
        run(tmp_path / "run", corpus, learning_rate=1e30, batch=1, warmup_fraction=0.0)
    assert list((tmp_path / "run").iterdir()) == []


def test_zero_supervised_tokens_are_refused_with_counts(tmp_path: Path) -> None:
    blank = tuple(
        Example(kind, (1, 2, 3, 4), (True, False, False, False))
        for kind in ("passage", "normative", "review")
    )
    folder = examples_folder(tmp_path / "blank", blank)
    with pytest.raises(UserError, match=r"step 1: no supervised tokens \(passage: 0 of \d+ tokens"):
        run(tmp_path / "run", folder)
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("pack_tokens", [400, 40])
def test_a_loss_that_is_no_number_names_the_example_it_comes_from(
    tmp_path: Path, pack_tokens: int
) -> None:
    made = [
        Example(each.kind, tuple(min(id, 50) for id in each.ids), each.supervised)
        for each in examples()
    ]
    poisoned = 7
    made[poisoned] = replace(
        made[poisoned],
        ids=(60, *made[poisoned].ids[1:]),
        question_ids=("q7", "q8"),
        passage_ids=("p7",),
    )
    network = tiny_model("qwen2", vocabulary=VOCABULARY)
    with torch.no_grad():
        network.get_input_embeddings().weight[60] = math.nan
        network.lm_head.weight = torch.nn.Parameter(torch.randn(VOCABULARY, 32))
    corpus = examples_folder(tmp_path / "examples", tuple(made))
    with pytest.raises(UserError) as error:
        run(tmp_path / "run", corpus, network=network, pack_tokens=pack_tokens)
    named = f"by training example {poisoned} ({made[poisoned].kind}, question q7), so"
    assert named in str(error.value)


@pytest.mark.slow
@pytest.mark.invariant
def test_compiled_layers_give_the_same_weights_and_are_plain_afterwards(
    tmp_path: Path, corpus: Path
) -> None:
    plain, compiled = (
        run(tmp_path / str(on), corpus, compile=on, pack_tokens=60)[0] for on in (False, True)
    )
    assert largest_difference(plain, compiled) <= 1e-5
    assert largest_difference(plain, tiny_model("qwen2", vocabulary=VOCABULARY)) > 1e-4
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0, "something was compiled"
    assert all(layer._compiled_call_impl is None for layer in compiled.model.layers)


@pytest.mark.parametrize("lora", [None, LORA])
def test_mixed_precision_computes_in_bfloat16_and_keeps_float32(
    tmp_path: Path, corpus: Path, lora: LoraSettings | None
) -> None:
    seen: list[torch.dtype] = []
    network = tiny_model("qwen2", vocabulary=VOCABULARY)
    network.model.layers[0].mlp.down_proj.register_forward_hook(
        lambda *given: seen.append(given[2].dtype) if network.model.training else None
    )
    mixed, result = run(
        tmp_path / "mixed", corpus, lora=lora, network=network, mixed_precision=True
    )
    exact, _ = run(tmp_path / "exact", corpus, lora=lora)
    assert set(seen) == {torch.bfloat16}
    assert {each.dtype for each in mixed.parameters()} == {torch.float32}
    assert 0 < largest_difference(mixed, exact) < 2 * result.steps * 1e-3, "the rounding shows"
    with result.curves.open(encoding="utf-8") as file:
        assert all(math.isfinite(float(row["loss"])) for row in csv.DictReader(file))
