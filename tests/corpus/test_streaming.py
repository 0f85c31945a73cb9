"""The Arrow folder and the optimizer steps that are streamed from it."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
import torch

from cem_lightning.corpus.arrow import load_examples, save_examples
from cem_lightning.corpus.batches import StepSampler, packs
from cem_lightning.corpus.config import KINDS, Kind, RecipeConfig
from cem_lightning.corpus.datamodule import CorpusDataModule
from cem_lightning.corpus.examples import Example
from cem_lightning.storage.digests import digest_path

EXAMPLES = tuple(
    Example(
        KINDS[at % 5],
        tuple(range(1, 4 + at % 7)),
        tuple(position > 1 for position in range(3 + at % 7)),
        (f"q{at}",),
        () if at % 2 else (f"p{at}",),
    )
    for at in range(40)
)
RECIPE = RecipeConfig(
    name="cem",
    tokens=300,
    shares=dict.fromkeys(KINDS, 0.2),
    order="mixed",
    passages="retrieved",
    review_late=False,
)


def data(folder: Path, *, batch: int = 4, start: int = 0) -> CorpusDataModule:
    return CorpusDataModule(folder, RECIPE, seed=1, batch=batch, pack_tokens=20, start=start)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_examples(EXAMPLES, tmp_path / "examples")
    return tmp_path / "examples"


def test_examples_survive_the_folder(folder: Path, tmp_path: Path) -> None:
    assert load_examples(folder) == EXAMPLES
    assert datasets.load_from_disk(folder).column_names == [
        "kind", "ids", "supervised", "question_ids", "passage_ids",
    ]  # fmt: skip
    save_examples(EXAMPLES, tmp_path / "again")
    assert digest_path(tmp_path / "again") == digest_path(folder)


def test_a_batch_is_one_optimizer_step_and_the_last_one_is_what_is_left(folder: Path) -> None:
    module = data(folder)
    steps = [sum(len(pack.lengths) for pack in step) for step in module.train_dataloader()]
    assert len(steps) == module.steps
    assert set(steps[:-1]) == {4}
    assert sum(steps) == len(module.order)
    assert steps[-1] == (len(module.order) % 4 or 4)


def test_the_tokens_of_the_steps_are_the_tokens_of_the_run(folder: Path) -> None:
    module = data(folder)
    read = sum(len(pack.input_ids) for step in module.train_dataloader() for pack in step)
    assert read == module.tokens
    assert abs(read - RECIPE.tokens) <= 5


@pytest.mark.invariant
def test_starting_at_a_step_gives_the_steps_from_there(folder: Path) -> None:
    whole = [step[0].input_ids for step in data(folder).train_dataloader()]
    rest = [step[0].input_ids for step in data(folder, start=5).train_dataloader()]
    assert len(rest) == len(whole) - 5 > 0
    assert all(torch.equal(left, right) for left, right in zip(whole[5:], rest, strict=True))


def test_steps_left() -> None:
    assert [len(StepSampler(range(10), 4, start)) for start in (0, 1, 3)] == [3, 2, 0]


def row(kind: Kind, ids: list[int]) -> dict[str, object]:
    return {"kind": kind, "ids": ids, "supervised": [True] * len(ids)}


def test_examples_lie_one_behind_another_in_packs_of_bounded_length() -> None:
    first, second = packs(
        [row("passage", [7]), row("general", [4, 5, 6]), row("review", [8, 9])], 4
    )
    assert first.input_ids.tolist() == [4, 5, 6, 7]
    assert first.lengths == (3, 1)
    assert [KINDS[at] for at in first.kinds] == ["general"] * 3 + ["passage"]
    assert first.supervised.tolist() == [False, True, True, False], "nothing predicts a beginning"
    assert second.input_ids.tolist() == [8, 9]


def test_without_packing_every_example_is_alone_the_longest_first() -> None:
    made = packs([row("passage", [7]), row("general", [4, 5, 6])], None)
    assert [pack.input_ids.tolist() for pack in made] == [[4, 5, 6], [7]]


def test_processes_share_a_step_in_packs_of_like_length() -> None:
    made = packs([row("passage", [1] * 5) for _ in range(4)], 100, processes=2)
    assert [len(pack.input_ids) for pack in made] == [10, 10]
