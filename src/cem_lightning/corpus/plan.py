"""Which examples every optimizer step reads.

A pure function of the examples, the recipe, the seed and the size of a step: it knows nothing of
processes, packs or workers. Kept in files, it is not worked out again when a run is continued.
"""

from __future__ import annotations

import io
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from datasets import Dataset
from numpy.typing import NDArray

from cem_lightning.corpus.arrow import kinds_and_lengths
from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.corpus.schedule import schedule
from cem_lightning.storage.atomic import write_bytes
from cem_lightning.storage.digests import digest_value


@dataclass(frozen=True)
class Plan:
    """The optimizer steps of a whole run.

    Attributes:
        order: (examples read,) positions of the examples, repetitions included.
        bounds: (2, steps + 1) how many examples, and how many tokens, are read before each step;
            the last column is all.
    """

    order: NDArray[numpy.int32]
    bounds: NDArray[numpy.int64]

    @property
    def steps(self) -> int:
        return len(self.bounds[0]) - 1

    @property
    def tokens(self) -> int:
        """That the whole run reads."""
        return int(self.bounds[1, -1])

    def step(self, number: int) -> list[int]:
        """Positions of the examples of a step, counted from 0."""
        begin, end = self.bounds[0, number : number + 2].tolist()
        positions: list[int] = self.order[begin:end].tolist()
        return positions


def make_plan(
    examples: Dataset,
    recipe: RecipeConfig,
    seed: int,
    *,
    batch: int,
    batch_tokens: int | None = None,
    kept: Path | None = None,
) -> Plan:
    """The plan of a run.

    Args:
        batch: examples of a step.
        batch_tokens: if given, a step takes as many whole examples as have at most so many tokens
            together (but at least one), however many they are.
        kept: folder from which the plan is taken, and into which it is put, as memory-mapped files.
    """
    if kept is None:
        return _made(examples, recipe, seed, batch, batch_tokens)
    size = batch if batch_tokens is None else {"tokens": batch_tokens}
    of = [examples._fingerprint, len(examples), recipe.model_dump(mode="json"), seed, size]
    files = [kept / f"{name}-{digest_value(of)[:16]}.npy" for name in ("order", "bounds")]
    try:
        return _read(files)
    except (OSError, ValueError, EOFError, IndexError):  # not there, or not as it was written
        plan = _made(examples, recipe, seed, batch, batch_tokens)
        _write(files[0], plan.order)
        _write(files[1], plan.bounds)
        return _read(files)


def _write(file: Path, values: NDArray[Any]) -> None:
    buffer = io.BytesIO()
    numpy.save(buffer, values)
    write_bytes(file, buffer.getvalue())


def _read(files: Sequence[Path]) -> Plan:
    order, bounds = (numpy.load(file, mmap_mode="r", allow_pickle=False) for file in files)
    if bounds[0, -1] != len(order):
        raise ValueError("they are not of one plan")
    return Plan(order, bounds)


def _made(
    examples: Dataset, recipe: RecipeConfig, seed: int, batch: int, batch_tokens: int | None
) -> Plan:
    kinds, lengths = kinds_and_lengths(examples)
    order = numpy.frombuffer(schedule(kinds, lengths, recipe, seed), dtype=numpy.int32)
    read = numpy.concatenate(([0], numpy.asarray(lengths)[order].cumsum(dtype=numpy.int64)))
    if batch_tokens is None:
        ends = numpy.append(numpy.arange(0, len(order), batch), len(order))
    else:
        ends = numpy.frombuffer(_filled(read, batch_tokens), dtype=numpy.int64)
    return Plan(order, numpy.stack([ends, read[ends]]))


def _filled(read: NDArray[numpy.int64], batch_tokens: int) -> array[int]:
    """Where steps begin and end that hold as many whole examples as fit."""
    ends = array("q", [0])
    while (begin := ends[-1]) < len(read) - 1:
        end = int(numpy.searchsorted(read, read[begin] + batch_tokens, side="right")) - 1
        ends.append(max(end, begin + 1))
    return ends
