"""The workloads and measurements of training, on tiny models; the peers where installed."""

from __future__ import annotations

import os
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.models import random_network
from benchmarks.trainers import Work
from benchmarks.training_sets import PADDING, SUPERVISED, instruction_set, quickstart_set
from transformers import AttentionInterface

from benchmarks import (
    trainers,
    training_exactness,
    training_memory,
    training_speed,
    training_stream,
)
from cem_lightning.corpus.datamodule import CorpusDataModule
from cem_lightning.models.encoding import Encoder
from tests.tiny import tiny_model, tiny_tokenizer

VOCABULARY = 259

needs_hf_trainer = pytest.mark.skipif(find_spec("accelerate") is None, reason="no accelerate")
needs_trl = pytest.mark.skipif(find_spec("trl") is None, reason="TRL is not installed")


def _leaking(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
) -> tuple[torch.Tensor, None]:
    """Every token sees all that come before it in the row, whatever document they are of."""
    seen = value.cumsum(2).repeat_interleave(query.shape[1] // value.shape[1], 1)
    return seen.transpose(1, 2), None


AttentionInterface.register("leaking", _leaking)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    data = instruction_set(12, 1, vocabulary=VOCABULARY, batch=4, mean=20)
    network = random_network(64, 1, VOCABULARY)
    return Work(network, data, tmp_path / "examples", tiny_tokenizer())


@pytest.mark.parametrize("count", [16, 48])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_instructions_are_as_padded_and_supervised_as_told(count: int, seed: int) -> None:
    data = instruction_set(count, seed)
    assert data.padding == pytest.approx(PADDING, abs=0.01)
    assert data.supervised / data.tokens == pytest.approx(SUPERVISED, abs=0.01)
    assert sorted(data.order) == list(range(count))
    assert data.tokens / count == pytest.approx(135, rel=0.1)
    assert data == instruction_set(count, seed)


def test_the_quickstart_set_is_the_beginning_of_its_round() -> None:
    encoder = Encoder(tiny_tokenizer(), "chat")
    one, three = (quickstart_set(encoder, 4096, steps, 1) for steps in (1, 3))
    assert [len(one.steps), len(three.steps)] == [1, 3]
    assert three.examples == one.examples
    kinds = {each.kind for each in three.read}
    assert {"passage", "normative"} <= kinds


def test_the_peers_read_the_steps_that_ours_reads(work: Work) -> None:
    data = CorpusDataModule(
        work.folder, work.data.recipe, seed=1, batch=work.data.batch, pack_tokens=None
    )
    ours = [
        sorted(tuple(pack.input_ids.tolist()) for pack in step) for step in data.train_dataloader()
    ]
    assert ours == [sorted(each.ids for each in step) for step in work.data.steps]


def test_padding_keeps_tokens_and_labels(work: Work) -> None:
    rows = trainers.labelled(work.data.examples)
    batch = trainers.padded(rows)
    for at, (row, example) in enumerate(zip(rows, work.data.examples, strict=True)):
        kept = batch["attention_mask"][at].bool()
        assert batch["input_ids"][at][kept].tolist() == row["input_ids"]
        assert int((batch["labels"][at] != trainers.IGNORED).sum()) == sum(example.supervised)


def _trained(work: Work, name: str, side: Any) -> tuple[float, torch.Tensor]:
    side(work)()
    return work.losses[name], work.network.get_output_embeddings().weight.detach().clone()


def test_our_trainer_and_both_raw_loops_do_the_same(work: Work) -> None:
    loss, weights = _trained(work, "ours", trainers.ours)
    same, alike = (
        _trained(work, name, side)
        for name, side in (("raw packed", trainers.raw_packed), ("raw padded", trainers.raw_padded))
    )
    assert same[0] == pytest.approx(loss, rel=1e-9)
    assert torch.equal(same[1], weights)
    assert alike[0] == pytest.approx(loss, rel=1e-5)
    assert (alike[1] - weights).abs().max() < trainers.RATE / 10


@needs_hf_trainer
def test_hf_trainer_does_the_same(work: Work) -> None:
    loss, weights = _trained(work, "ours", trainers.ours)
    theirs = _trained(work, "hf", trainers.hf_trainer)
    assert theirs[0] == pytest.approx(loss, rel=1e-5)
    assert (theirs[1] - weights).abs().max() < trainers.RATE / 10


@needs_trl
def test_trl_does_the_same_and_packs_as_many_steps(work: Work) -> None:
    loss, weights = _trained(work, "ours", trainers.ours)
    theirs = _trained(work, "trl", trainers.trl)
    assert theirs[0] == pytest.approx(loss, rel=1e-5)
    assert (theirs[1] - weights).abs().max() < trainers.RATE / 10
    packed = trainers.sft_trainer(
        work,
        packing=True,
        per_device_train_batch_size=1,
        max_length=trainers.trl_pack_tokens(work.data),
    )
    assert len(packed.train_dataset) == len(work.data.steps)
    assert sum(map(len, packed.train_dataset["input_ids"])) == work.data.tokens
    assert trainers.leak(packed) == 0
    packed.model.set_attn_implementation("leaking")
    assert trainers.leak(packed) > 0


def test_packs_are_exact_and_isolated() -> None:
    rows = list(training_exactness.exactness(random_network(64, 1, VOCABULARY), 4, 1))
    assert [row.holds for row in rows] == [True, True]
    assert all(row.ours > 0 for row in rows)
    row = training_exactness.leak(1, 1)
    assert row.ours == 0 and row.holds
    assert len(row.details["largest_change"]) == 8


def test_a_leak_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_model("llama", vocabulary=VOCABULARY)
    network.set_attn_implementation("leaking")
    monkeypatch.setattr(
        training_exactness, "row", lambda net, ids, lengths: {"input_ids": ids[None]}
    )
    with torch.no_grad():
        found = [training_exactness._moved(network, random.Random(str(at))) for at in range(8)]
    assert max(found) > 0


def test_the_overhead_is_that_of_every_step_but_the_first() -> None:
    (row,) = training_speed.overhead(random_network(64, 1, VOCABULARY), 1, 1, 3)
    assert row.ratio is not None and row.ratio > 1  # of steps this short
    assert row.spread == (row.ratio, row.ratio)
    assert row.unit == "ms/step" and row.ours > 0
    assert row.record()["target"] == "at most 1.03"


@needs_trl
def test_rows_of_the_speed_name_every_peer() -> None:
    network = random_network(64, 1, VOCABULARY)
    rows = training_speed.instructions(network, tiny_tokenizer(), 1, 1, 16)
    assert [str(row.target) for row in rows] == [
        "at least 2.5",
        "at least 2.5",
        "at least 4",
        "at least 1.3",
    ]
    losses = list(rows[0].details["mean_loss"].values())
    assert losses[:4] == pytest.approx([losses[0]] * 4, rel=1e-5)
    assert rows[0].unit == "useful tokens/s"


@needs_trl
def test_packing_that_isolates_takes_part_in_the_choice_of_the_fastest() -> None:
    network = random_network(64, 1, VOCABULARY)
    data, warm = (
        instruction_set(count, 1, vocabulary=VOCABULARY, batch=4, mean=20) for count in (12, 4)
    )
    packed, isolating = training_speed.quickstart(network, tiny_tokenizer(), data, warm, 1)
    assert packed.details["leak_of_trl_packing"] == 0
    assert "does not leak" in packed.measure
    seconds = packed.details["trl_seconds"]
    assert isolating.measure.endswith(f": {min(seconds, key=seconds.__getitem__)}")
    assert (str(packed.target), str(isolating.target)) == ("at least 1.1", "at least 1.5")


def test_the_memory_of_the_loaded_model_is_subtracted(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = {"ours": 5 * 2**30, "peer": 9 * 2**30}
    monkeypatch.setattr(
        training_memory,
        "_alone",
        lambda side: {"loaded": 3 * 2**30, "peak": peaks[side], "weights": 2**29},
    )
    row = training_memory.memory(2)
    assert (row.ours, row.peer, row.repeats) == (2, 6, 2)
    assert row.ratio == pytest.approx(1 / 3) and row.holds
    assert row.details["ratio_of_whole_processes"] == pytest.approx(5 / 9)
    assert row.details["gradients_and_optimizer_gib"] == 1.5


def test_a_cut_order_is_the_uninterrupted_one(monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = training_stream.cuts(3, 1)
    assert row.ours == 0 and row.holds
    assert row.details["epochs"] == training_stream.EPOCHS
    honest = training_stream._data
    monkeypatch.setattr(
        training_stream,
        "_data",
        lambda folder, wanted, seed, start, **more: honest(
            folder, wanted, seed + (start > 0), start, **more
        ),
    )
    (row,) = training_stream.cuts(3, 1)
    assert row.ours == 6 and not row.holds


def test_resuming_is_timed_at_the_sample() -> None:
    row = training_stream.resume(400, 50, 1, 1)
    assert row.unit == "ms" and row.peer is not None and row.peer > 0
    assert str(row.target) == "at most 50"


@needs_trl
def test_packing_is_beside_trls() -> None:
    full, seconds, lost = training_stream.packing(3000, 1, 1)
    assert full.ours >= 0.98 and full.peer is not None and full.peer <= 1
    assert seconds.unit == "s"
    assert (lost.ours, lost.peer) == (0, 0)


@pytest.mark.skipif(os.name != "posix" or not Path("/proc/self/status").exists(), reason="no /proc")
def test_the_peak_is_above_what_is_resident() -> None:
    held = torch.ones(2**22)
    now = training_memory._resident("VmRSS")
    assert training_memory._resident("VmHWM") >= now > held.nbytes
