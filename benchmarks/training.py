"""Training, measured against HF Trainer and TRL: `python benchmarks/training.py [--quick]`.

Writes the JSON that a table of docs/benchmarks.md is made of. What is trained on stands in
`training_sets`, who trains in `trainers`, how it is measured in `training_speed`,
`training_exactness`, `training_memory` and `training_stream`.

Both sides train the same weights on the same token ids, with the same examples in each optimizer
step, by AdamW at the same constant rate with gradients clipped at 1.0, in float32 on as many
threads, without evaluation and without saving. What differs: ours is all of `train` (the checks of
the architecture, opening the corpus, the order, Lightning, the curves) with PyTorch told to be
deterministic; of transformers' trainers `train()` alone is on the clock, not the making of the
trainer and its data set, and TRL logs every 10 steps. With length grouping and with TRL's packing
the steps hold other examples, though of the same set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # in place of this script's folder
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks import models, training_exactness, training_speed, training_stream  # noqa: E402
from benchmarks.command import SEED, Measurement, Plan, run  # noqa: E402
from benchmarks.rows import Row  # noqa: E402
from benchmarks.training_memory import memory  # noqa: E402
from benchmarks.training_sets import quickstart_set  # noqa: E402
from cem_lightning.models.random_models import byte_tokenizer  # noqa: E402

VOCABULARY = 32_000


def _instructions(plan: Plan) -> Iterator[Row]:
    network = models.random_network(256, 4, VOCABULARY, seed=SEED)
    samples = 16 if plan.quick else 48
    yield from training_speed.instructions(network, byte_tokenizer(), plan.repeats, SEED, samples)


def _smollm2(plan: Plan) -> Iterator[Row]:
    model = models.smollm2(style="chat")
    data, warm = (
        quickstart_set(model.encoder, model.context, steps, SEED)
        for steps in (1 if plan.quick else 4, 1)
    )
    tokenizer = model.encoder.tokenizer
    yield from training_speed.quickstart(model.network, tokenizer, data, warm, plan.repeats)


def _lightning(plan: Plan) -> Iterator[Row]:
    network = models.random_network(256, 4, VOCABULARY, seed=SEED)
    yield from training_speed.overhead(network, plan.repeats, SEED, 12 if plan.quick else 40)


def _exactness(plan: Plan) -> Iterator[Row]:
    network = models.random_network(256, 4, VOCABULARY, seed=SEED)
    yield from training_exactness.exactness(network, 8, SEED)


def _leak(plan: Plan) -> Iterator[Row]:
    yield training_exactness.leak(10 if plan.quick else 100, SEED)


def _memory(plan: Plan) -> Iterator[Row]:
    yield memory(plan.repeats)


def _packing(plan: Plan) -> Iterator[Row]:
    yield from training_stream.packing(100_000, plan.repeats, SEED)


def _resume(plan: Plan) -> Iterator[Row]:
    sample = 10**5 if plan.quick else 10**7
    yield training_stream.resume(sample, 10_000, plan.repeats, SEED)


def _cuts(plan: Plan) -> Iterator[Row]:
    yield from training_stream.cuts(20 if plan.quick else 200, SEED)


def _gpu(plan: Plan) -> Iterator[Row]:
    from benchmarks.training_gpu import gpu

    yield from gpu(plan.repeats, SEED, 2 if plan.quick else 8)


MEASUREMENTS: dict[str, Measurement] = {
    "instructions": _instructions,
    "smollm2": _smollm2,
    "lightning": _lightning,
    "exactness": _exactness,
    "leak": _leak,
    "memory": _memory,
    "packing": _packing,
    "resume": _resume,
    "cuts": _cuts,
    "gpu": _gpu,
}

PEERS = {
    "trl": "trl",
    "accelerate": "accelerate",
    "datasets": "datasets",
    "lightning": "pytorch-lightning",
}

if __name__ == "__main__":
    run("training", __doc__.splitlines()[0], MEASUREMENTS, PEERS)
