"""The corpus on its way to the model: packing it, and going on in the middle of it."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import pyarrow
from datasets import Dataset
from torch.utils.data import DataLoader

from benchmarks.rows import Row, Target, Timing, in_turn
from benchmarks.trainers import without_words
from benchmarks.training_sets import recipe
from cem_lightning.corpus.arrow import save_examples
from cem_lightning.corpus.batches import Pack
from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.corpus.datamodule import CorpusDataModule
from cem_lightning.corpus.examples import Example
from cem_lightning.corpus.packing import best_fit

CAPACITY = 2048
BATCH = 4
EPOCHS = 3


def packing(count: int, repeats: int, seed: int) -> Iterator[Row]:
    """Best-fit packing of lognormal lengths, none longer than a pack.

    Ours decides where each sequence goes, TRL's `pack_dataset` also moves the tokens, in batches
    of 1,000 sequences by default; seconds of both are told, and no ratio.
    """
    from trl import pack_dataset  # type: ignore[import-not-found]

    draw = random.Random(f"{seed}:lengths")
    lengths = [min(max(round(draw.lognormvariate(5.5, 1.0)), 8), CAPACITY) for _ in range(count)]
    dataset = _of_lengths(lengths)
    found: dict[str, list[list[int]]] = {}  # lengths by pack

    def ours() -> None:
        found["ours"] = best_fit(lengths, CAPACITY)

    def peer() -> None:
        with without_words():
            packed = pack_dataset(dataset, CAPACITY, "bfd", {"load_from_cache_file": False})
        found["peer"] = packed["seq_lengths"]

    timed = in_turn(repeats, ours, peer)
    found["ours"] = [[lengths[at] for at in pack] for pack in found["ours"]]
    own, theirs = (statistics.median(each.wall) for each in timed)
    total = sum(lengths)
    kept = {side: sum(map(sum, packs)) for side, packs in found.items()}
    full = {side: kept[side] / (len(packs) * CAPACITY) for side, packs in found.items()}
    details = {
        "tokens": total,
        "packs": {side: len(packs) for side, packs in found.items()},
        "wall_seconds": {"ours": timed[0].wall, "peer": timed[1].wall},
    }
    title = f"packing {count:,} sequences into {CAPACITY:,} tokens; TRL's best fit"
    for what, unit, values, target in (
        ("how full", "share", full, Target("at least", 0.99)),
        ("time", "s", {"ours": own, "peer": theirs}, Target("at most", 1)),
        (
            "tokens lost",
            "tokens",
            {side: total - kept[side] for side in kept},
            Target("at most", 0),
        ),
    ):
        yield Row(
            f"{title}: {what}",
            unit,
            values["ours"],
            target,
            values["peer"],
            repeats=repeats,
            details=details,
        )


def resume(sample: int, unique: int, repeats: int, seed: int) -> Row:
    """Until the first step from a sample on: our data module made anew, streaming with skip.

    The examples are read again and again, in random order by ours, in their own by the peer. Ours
    finds its plan where the run that is continued has left it.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "examples"
        examples = numbered(unique)
        save_examples(examples, folder)
        wanted = recipe("resume", (sample + 8 * BATCH) * len(examples[0].ids))
        streamed = Dataset.load_from_disk(str(folder)).to_iterable_dataset().repeat(None)
        kept = Path(name) / "kept"
        began = time.perf_counter()
        _data(folder, wanted, seed, 0, kept=kept)
        planned = time.perf_counter() - began

        def ours() -> None:
            data = _data(folder, wanted, seed, sample // BATCH, kept=kept)
            next(iter(data.train_dataloader()))

        def peer() -> None:
            next(iter(streamed.skip(sample)))

        own, theirs = in_turn(repeats, ours, peer)
    return Row(
        f"resume at sample {sample:,} of {unique:,} examples: our data module; skip of a datasets "
        "stream",
        "ms",
        _milliseconds(own),
        Target("at most", 50),
        _milliseconds(theirs),
        repeats=repeats,
        details={
            "plan_made_once_s": planned,
            "ours_ms": [1000 * each for each in own.wall],
        },
    )


def cuts(count: int, seed: int) -> Iterator[Row]:
    """What is read after a run was cut, beside the uninterrupted one, without and with workers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "examples"
        examples = numbered(-(-(count + 1) * BATCH // EPOCHS))
        save_examples(examples, folder)
        wanted = recipe("cuts", EPOCHS * sum(len(each.ids) for each in examples))
        whole = [_numbers(step) for step in _module(folder, wanted, seed, 0)]
        draw = random.Random(f"{seed}:cuts")
        points = sorted(draw.sample(range(1, len(whole)), count))
        read = [number for step in whole for number in step]
        epochs = [read[at : at + len(examples)] for at in range(0, len(read), len(examples))]
        wrong = {
            "epochs_that_lose_or_repeat": sum(
                sorted(epoch) != list(range(len(examples))) for epoch in epochs
            )
        }
        for workers in (0, 2):
            differing = 0
            for cut in points:
                rest = [_numbers(step) for step in _module(folder, wanted, seed, cut, workers)]
                differing += rest != whole[cut:]
            wrong[f"cuts_that_differ_with_{workers}_workers"] = differing
    yield Row(
        f"{count} cut points x workers 0, 2 x {EPOCHS} epochs: orders that differ from the "
        "uninterrupted one, and epochs in which a sample is lost or read twice",
        "orders",
        sum(wrong.values()),
        Target("at most", 0),
        details={"samples": len(read), "steps": len(whole), "epochs": len(epochs), **wrong},
    )


def numbered(count: int) -> list[Example]:
    """Examples that are told apart by their first token."""
    return [Example("normative", (at, 1), (False, True)) for at in range(count)]


def _data(
    folder: Path, wanted: RecipeConfig, seed: int, start: int, **more: Any
) -> CorpusDataModule:
    return CorpusDataModule(
        folder, wanted, seed=seed, batch=BATCH, pack_tokens=CAPACITY, start=start, **more
    )


def _module(
    folder: Path, wanted: RecipeConfig, seed: int, start: int, workers: int = 0
) -> DataLoader[list[Pack]]:
    """The steps that are left, as a new process would read them."""
    return _data(folder, wanted, seed, start, workers=workers).train_dataloader()


def _numbers(step: Sequence[Pack]) -> list[int]:
    """The examples of a step."""
    found = []
    for pack in step:
        starts = [sum(pack.lengths[:at]) for at in range(len(pack.lengths))]
        found += pack.input_ids[starts].tolist()
    return found


def _milliseconds(timing: Timing) -> float:
    return 1000 * statistics.median(timing.wall)


def _of_lengths(lengths: Sequence[int]) -> Dataset:
    """Sequences of zeros."""
    offsets = numpy.concatenate(([0], numpy.cumsum(lengths))).astype(numpy.int32)
    tokens = pyarrow.array(numpy.zeros(offsets[-1], dtype=numpy.int32))
    column = pyarrow.ListArray.from_arrays(pyarrow.array(offsets), tokens)
    return Dataset(pyarrow.table({"input_ids": column}))
