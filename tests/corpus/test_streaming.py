"""The Arrow folder and the optimizer steps that are streamed from it."""

from __future__ import annotations

import tracemalloc
from itertools import accumulate
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from cem_lightning.corpus.arrow import load_examples, save_examples
from cem_lightning.corpus.batches import StepSampler, packs
from cem_lightning.corpus.config import KINDS, Kind, RecipeConfig
from cem_lightning.corpus.datamodule import CorpusDataModule
from cem_lightning.corpus.examples import Example
from cem_lightning.corpus.plan import Plan, make_plan
from cem_lightning.corpus.schedule import schedule
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
    assert len(steps) == module.plan.steps
    assert set(steps[:-1]) == {4}
    assert sum(steps) == len(module.plan.order)
    assert steps[-1] == (len(module.plan.order) % 4 or 4)


def test_the_tokens_of_the_steps_are_the_tokens_of_the_run(folder: Path) -> None:
    module = data(folder)
    read = sum(len(pack.input_ids) for step in module.train_dataloader() for pack in step)
    assert read == module.plan.tokens
    assert abs(read - RECIPE.tokens) <= 5


@pytest.mark.invariant
def test_starting_at_a_step_gives_the_steps_from_there(folder: Path) -> None:
    whole = [step[0].input_ids for step in data(folder).train_dataloader()]
    rest = [step[0].input_ids for step in data(folder, start=5).train_dataloader()]
    assert len(rest) == len(whole) - 5 > 0
    assert all(torch.equal(left, right) for left, right in zip(whole[5:], rest, strict=True))


def test_steps_left(folder: Path) -> None:
    plan = data(folder).plan
    assert [len(StepSampler(plan, start)) for start in (0, 1, plan.steps)] == [
        plan.steps, plan.steps - 1, 0,
    ]  # fmt: skip


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


def plan_of(folder: Path, **more: Any) -> Plan:
    return make_plan(datasets.load_from_disk(folder), RECIPE, 1, **{"batch": 4} | more)


@pytest.mark.parametrize("most", [1, 9, 25, 10_000])
def test_a_step_takes_as_many_whole_examples_as_fit(folder: Path, most: int) -> None:
    plan, usual = plan_of(folder, batch_tokens=most), plan_of(folder)
    assert plan.order.tolist() == usual.order.tolist()
    steps = [plan.step(number) for number in range(plan.steps)]
    assert [at for step in steps for at in step] == plan.order.tolist()
    sizes = [sum(len(EXAMPLES[at].ids) for at in step) for step in steps]
    assert plan.bounds[1].tolist() == [0, *accumulate(sizes)]
    for number, step in enumerate(steps):
        assert len(step) == 1 or sizes[number] <= most
        if number + 1 < len(steps):
            assert sizes[number] + len(EXAMPLES[steps[number + 1][0]].ids) > most


def test_a_kept_plan_is_read_and_one_that_is_damaged_made_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    first = plan_of(folder, kept=kept)
    asked = []
    monkeypatch.setattr(
        "cem_lightning.corpus.plan.schedule", lambda *given: asked.append(1) or schedule(*given)
    )
    again = plan_of(folder, kept=kept)
    assert not asked
    assert again.order.tolist() == first.order.tolist() == plan_of(folder).order.tolist()
    assert again.bounds.tolist() == first.bounds.tolist()
    files = sorted(kept.iterdir())
    others = [file.read_bytes() for file in files[::-1]]
    for file, other in zip(files, others, strict=True):
        for damaged in (file.read_bytes()[:-8], b"", b"\x93NUMPY", other):
            file.write_bytes(damaged)
            assert plan_of(folder, kept=kept).order.tolist() == first.order.tolist()
    plan_of(folder, kept=kept, batch_tokens=9)
    plan_of(folder, kept=kept, batch=5)
    assert len(list(kept.iterdir())) == 6, "another size of step is another plan"


@pytest.mark.invariant
def test_workers_prepare_the_same_steps(folder: Path) -> None:
    def steps(workers: int, start: int) -> list[list[list[int]]]:
        loader = CorpusDataModule(
            folder, RECIPE, seed=1, batch=4, pack_tokens=20, workers=workers, start=start
        ).train_dataloader()
        return [[pack.input_ids.tolist() for pack in step] for step in loader]

    alone = steps(0, 0)
    assert len(alone) > 6
    assert steps(2, 0) == alone
    assert steps(2, 3) == alone[3:]


def test_what_a_step_is_in_numbers(folder: Path) -> None:
    module = CorpusDataModule(
        folder, RECIPE, seed=1, batch=1, batch_tokens=80, pack_tokens=16, processes=2
    )
    mean = module.plan.tokens / module.plan.steps
    assert 70 < mean <= 80
    assert module.arithmetic() == (
        f"{module.plan.steps} optimizer steps of about 3 packs x 13 tokens x 2 devices = 78 tokens"
    )


def test_memory_does_not_grow_with_the_tokens(tmp_path: Path) -> None:
    """Opening, planning and reading a step of the same examples, once short and once long."""

    def peak(length: int) -> int:
        folder = tmp_path / str(length)
        save_examples(
            [Example("passage", (7,) * length, (True,) * length) for _ in range(200)], folder
        )
        wanted = RECIPE.model_copy(update={"tokens": 400 * length, "shares": {"passage": 1.0}})
        tracemalloc.start()
        module = CorpusDataModule(folder, wanted, seed=1, batch=1, pack_tokens=length)
        next(iter(module.train_dataloader()))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)  # what is imported and cached once
    assert peak(20_000) - peak(10) < 200 * 20_000 / 2, "a fraction of a byte a token"
