"""The benchmark's workloads and measurements on a tiny model, without the peers."""

from __future__ import annotations

import pytest
import torch
from benchmarks.measurements import difference, flips
from benchmarks.models import random_model
from benchmarks.workloads import awkward_items, encode, items, questions, short_items

from benchmarks import measurements, peers
from cem_lightning.models.loading import LanguageModel
from tests.tiny import tiny_tokenizer


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return random_model(32, 2, 512, words=tiny_tokenizer())


def test_the_same_seed_asks_the_same_questions() -> None:
    assert questions(5, 1) == questions(5, 1) != questions(5, 2)
    assert awkward_items(20, 1) == awkward_items(20, 1) != awkward_items(20, 2)
    assert all(len(set(each.choices)) > 1 for each in short_items(50, 1))


def test_a_rotation_keeps_the_right_choice() -> None:
    (question,) = questions(1, 1)
    for by in range(4):
        rotated = question.rotated(by)
        assert rotated.choices[rotated.answer] == question.choices[question.answer]
    assert len({question.rotated(by).choices for by in range(4)}) == 4


@pytest.mark.parametrize("method", ["cloze", "letters"])
def test_shots_stand_in_front_of_every_question(method: str) -> None:
    made = questions(4, 1)
    behind = items(made[2:], method, made[:2])  # type: ignore[arg-type]
    for plain, item in zip(items(made[2:], method), behind, strict=True):  # type: ignore[arg-type]
        assert item.context.endswith(plain.context)
        assert item.context.count("Question:") == 3
        assert item.choices == plain.choices


def test_our_scores_are_those_of_the_reference(model: LanguageModel) -> None:
    encoded = encode(awkward_items(12, 1), model.encoder.tokenizer)
    own, exact = peers.ours(model, encoded), peers.reference(model, encoded)
    assert difference(own, exact) < 1e-4
    assert flips(exact, own) == 0


def test_flips_are_counted_only_beyond_the_margin() -> None:
    assert flips([(0.0, -1.0)], [(-1.0, 0.0)]) == 1
    assert flips([(0.0, -1e-5)], [(-1.0, 0.0)]) == 0


def test_no_choice_changes_with_the_batch(model: LanguageModel) -> None:
    (row,) = measurements.batching(model, 4, 1)
    assert row.holds
    assert row.details["clear_margins"] > 0


def test_the_watch_sees_a_tensor_of_batch_by_length_by_vocabulary(model: LanguageModel) -> None:
    ids = torch.ones(2, 7, dtype=torch.long)
    with measurements._Largest(model) as watch, torch.inference_mode():
        model.network(ids)
    assert watch.share == 1.0
    assert watch.elements == 2 * 7 * 512
    encoded = encode(items(questions(2, 1), "cloze"), model.encoder.tokenizer)
    with measurements._Largest(model) as own:
        peers.ours(model, encoded)
    assert own.share < 1.0
