"""Examples as a `datasets` Arrow folder, one row per unique example.

A user can open the folder with ``datasets.load_from_disk``; repetitions are not stored.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import datasets
import numpy
import pyarrow.compute
from datasets import Dataset, Features, List, Value

from cem_lightning.corpus.config import Kind
from cem_lightning.corpus.examples import Example

FEATURES = Features(
    {
        "kind": Value("string"),
        "ids": List(Value("int32")),
        "supervised": List(Value("bool")),
        "question_ids": List(Value("string")),
        "passage_ids": List(Value("string")),
    }
)


def save_examples(examples: Sequence[Example], folder: Path) -> None:
    """Write examples as an Arrow folder; the same examples give the same bytes."""
    columns = {name: [getattr(each, name) for each in examples] for name in FEATURES}
    dataset = Dataset.from_dict(columns, features=FEATURES)
    with _without_progress_bars():
        dataset.save_to_disk(folder)


def open_examples(folder: Path) -> Dataset:
    """The examples as a memory-mapped dataset of plain Python rows."""
    return Dataset.load_from_disk(folder, keep_in_memory=False)


def load_examples(folder: Path) -> tuple[Example, ...]:
    """All examples as records."""
    return tuple(
        Example(
            row["kind"],
            tuple(row["ids"]),
            tuple(row["supervised"]),
            tuple(row["question_ids"]),
            tuple(row["passage_ids"]),
        )
        for row in open_examples(folder)
    )


def kinds_and_lengths(dataset: Dataset) -> tuple[list[Kind], array[int]]:
    """Kind and length in tokens of every example, read without touching the tokens."""
    coded = dataset.data.column("kind").combine_chunks().dictionary_encode()
    names: list[Kind] = coded.dictionary.to_pylist()
    kinds = [names[code] for code in coded.indices.to_numpy()]
    lengths = pyarrow.compute.list_value_length(dataset.data.column("ids")).to_numpy()
    return kinds, array("i", lengths.astype(numpy.int32).tobytes())


def longest(dataset: Dataset) -> tuple[int, int]:
    """Position and length in tokens of the longest example; the first of equals."""
    lengths = pyarrow.compute.list_value_length(dataset.data.column("ids")).to_numpy()
    at = int(lengths.argmax())
    return at, int(lengths[at])


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """One line per stage is ours to draw."""
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
