"""Asking, measured against lm-evaluation-harness: `python benchmarks/answering.py [--quick]`.

Writes the JSON that the table of docs/benchmarks.md is made of. What is asked stands in
`workloads`, who is asked in `models`, how it is measured in `measurements`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # in place of this script's folder
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks import measurements, models, peers  # noqa: E402
from benchmarks.command import SEED, Measurement, Plan, run  # noqa: E402
from benchmarks.processes import processes  # noqa: E402
from benchmarks.rows import Row  # noqa: E402
from benchmarks.workloads import Method  # noqa: E402

# method, shots, questions of a quick and of the full run, target
SpeedCase = tuple[Method, int, int, int, float]
RANDOM_CASES: tuple[SpeedCase, ...] = (
    ("cloze", 5, 6, 12, 10),
    ("letters", 5, 12, 16, 4),
    ("cloze", 0, 16, 32, 4),
    ("letters", 0, 32, 64, 2),
)
SMOLLM2_CASES: tuple[SpeedCase, ...] = (
    ("cloze", 5, 8, 12, 10),
    ("letters", 5, 8, 12, 4),
    ("cloze", 0, 8, 16, 3),
    ("letters", 0, 16, 32, 1.2),
)
GPU_CASES: tuple[SpeedCase, ...] = (
    ("cloze", 5, 128, 256, 8),
    ("letters", 5, 256, 512, 4),
)


def _speed_random(plan: Plan) -> Iterator[Row]:
    model = models.random_model(256, 6, 152_064, seed=SEED)
    yield from _speed(plan, model, "hidden 256, 6 layers, vocabulary 152k", RANDOM_CASES)


def _speed_smollm2(plan: Plan) -> Iterator[Row]:
    yield from _speed(plan, models.smollm2(), "SmolLM2-135M", SMOLLM2_CASES)


def _gpu(plan: Plan) -> Iterator[Row]:
    random = models.random_model(256, 6, 152_064, seed=SEED, device="cuda", dtype="bfloat16")
    for name, model in (
        ("hidden 256, 6 layers, vocabulary 152k", random),
        ("SmolLM2-135M", models.smollm2("cuda", "bfloat16")),
    ):
        yield from _speed(plan, model, f"GPU, bfloat16, {name}", GPU_CASES, (32_768, 64))


def _speed(
    plan: Plan,
    model: Any,
    name: str,
    cases: tuple[SpeedCase, ...],
    batches: tuple[int, int] = (peers.BATCH_TOKENS, peers.BATCH_SIZE),
) -> Iterator[Row]:
    for method, shots, quick, full, least in cases:
        count = quick if plan.quick else full
        yield measurements.speed(
            model, name, method, shots, count, plan.repeats, least, SEED, batches
        )


def _agreement(plan: Plan) -> Iterator[Row]:
    yield from measurements.agreement(_small(), 1800, 240, SEED)


def _batching(plan: Plan) -> Iterator[Row]:
    yield from measurements.batching(_small(), 64, SEED)


def _permutations(plan: Plan) -> Iterator[Row]:
    model = models.random_model(256, 6, 49_152, seed=SEED)
    for count in (1, 16, 64):
        yield measurements.permutations(model, count, plan.repeats, SEED)


def _memory(plan: Plan) -> Iterator[Row]:
    yield measurements.memory(models.random_model(64, 2, 150_000, seed=SEED), 64, SEED)


def _processes(plan: Plan) -> Iterator[Row]:
    yield from processes(96 if plan.quick else 192, plan.repeats, SEED)


@cache
def _small() -> Any:
    return models.random_model(64, 2, 49_152, seed=SEED)


MEASUREMENTS: dict[str, Measurement] = {
    "speed-random": _speed_random,
    "speed-smollm2": _speed_smollm2,
    "agreement": _agreement,
    "batching": _batching,
    "permutations": _permutations,
    "memory": _memory,
    "processes": _processes,
    "gpu": _gpu,
}

if __name__ == "__main__":
    run("answering", __doc__.splitlines()[0], MEASUREMENTS, {"lm_eval": "lm-eval"})
