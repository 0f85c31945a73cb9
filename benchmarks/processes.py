"""Asking in two processes of one thread beside one process of one thread."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from benchmarks.models import random_model
from benchmarks.peers import BATCH_TOKENS
from benchmarks.rows import Row, Target, Timing, faster
from benchmarks.workloads import encode, items, questions
from cem_lightning.answering.scoring import log_likelihoods
from cem_lightning.answering.sharding import Shares


def processes(count: int, repeats: int, seed: int) -> Iterator[Row]:
    """Whether two processes give the same digits as one, and how much sooner."""
    with tempfile.TemporaryDirectory() as folder:
        spawn(_ask, (folder, count, repeats, seed), nprocs=2)  # type: ignore[no-untyped-call]
        found: dict[str, Any] = json.loads((Path(folder) / "found.json").read_text())
    title = f"{count} questions, 5-shot cloze, two processes of one thread to one"
    yield Row(
        f"{title}: answers that differ in any digit",
        "questions",
        found["different"],
        Target("at most", 0),
        repeats=repeats,
    )
    both, alone = (
        Timing(tuple(found[kind]), tuple(found[f"{kind} cpu"])) for kind in ("both", "alone")
    )
    each = {
        "cpu_seconds_of_each_process": found["each cpu"],
        # what the machine has to give: 2 on two cores of their own, 1 where they share one
        "ratio_for_matrix_products_alone": round(found["ceiling"], 2),
    }
    yield faster(title, count, both, alone, Target("at least", 1.7), each)


def _ask(rank: int, folder: str, count: int, repeats: int, seed: int) -> None:
    """One of the two: first the first alone, then both together, in turn."""
    torch.set_num_threads(1)
    meeting = (Path(folder) / "meeting").as_uri()
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    model = random_model(256, 6, 49_152, seed=seed)
    made = questions(5 + count, seed)
    encoded = encode(items(made[5:], "cloze", made[:5]), model.encoder.tokenizer)

    def asked(shares: Shares) -> Any:
        return log_likelihoods(
            model,
            encoded.prompts,
            encoded.continuations,
            batch_tokens=BATCH_TOKENS,
            share=shares.part,
            total=shares.sum,
        )

    shares = Shares.here()
    kinds = ("alone", "both", "alone cpu", "both cpu", "each cpu")
    found: dict[str, Any] = {kind: [] for kind in kinds} | {"different": 0}
    for at in range(repeats + 1):  # the first is to warm up
        dist.barrier()
        started, started_cpu = time.perf_counter(), time.process_time()
        alone = asked(Shares(0, 1)) if shares.first else []
        between, between_cpu = time.perf_counter(), time.process_time()
        dist.barrier()
        restarted, restarted_cpu = time.perf_counter(), time.process_time()
        both = asked(shares)
        ended, spent = time.perf_counter(), time.process_time() - restarted_cpu
        cpu = shares.merged({rank: spent})
        if shares.first and at:
            found["alone"].append(between - started)
            found["alone cpu"].append(between_cpu - started_cpu)
            found["both"].append(ended - restarted)
            found["both cpu"].append(sum(cpu.values()))
            found["each cpu"].append([cpu[0], cpu[1]])
            unequal = sum(one != two for one, two in zip(alone, both, strict=True))
            found["different"] = max(found["different"], unequal)
    dist.barrier()
    alone_seconds = _products() if shares.first else 0.0
    dist.barrier()
    both_seconds = _products()
    slowest = max(shares.merged({rank: both_seconds}).values())
    found["ceiling"] = 2 * alone_seconds / slowest
    if shares.first:
        (Path(folder) / "found.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


def _products() -> float:
    """Seconds of plain matrix products, which nothing but the processor bounds."""
    square = torch.ones(1024, 1024)
    square @ square
    started = time.perf_counter()
    for _ in range(100):
        square @ square
    return time.perf_counter() - started
