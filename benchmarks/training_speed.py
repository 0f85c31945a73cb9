"""How fast is trained: against other trainers, and against a loop of our own parts."""

from __future__ import annotations

import gc
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from benchmarks import trainers
from benchmarks.rows import Row, Target, faster, prepared_in_turn
from benchmarks.trainers import Action, Work
from benchmarks.training_sets import TrainingSet, instruction_set

Side = Callable[[Work], Action]

GROUPED = "group_by_length"  # of train_sampling_strategy, which was called group_by_length before


@dataclass(frozen=True)
class Peer:
    """A trainer compared with, and how many times faster ours is to be."""

    name: str
    side: Side
    least: float


INSTRUCTION_PEERS = (
    Peer("HF Trainer, padded", trainers.hf_trainer, 2.5),
    Peer("a raw loop, padded", trainers.raw_padded, 2.5),
    Peer("TRL's SFTTrainer by default without activation checkpointing", trainers.trl, 4.0),
    Peer(
        "HF Trainer with length grouping",
        partial(trainers.hf_trainer, train_sampling_strategy=GROUPED),
        1.3,
    ),
)


def instructions(network: Any, tokenizer: Any, repeats: int, seed: int, count: int) -> list[Row]:
    """Useful tokens a second on the synthetic instruction set.

    Length grouping has other samples in its steps than the others, sorted by length as far as it
    goes: with so few samples, all of them.
    """
    vocabulary = network.config.vocab_size
    data = instruction_set(count, seed, vocabulary=vocabulary)
    warm = instruction_set(8, seed + 1, vocabulary=vocabulary)
    sides: dict[str, Side] = {peer.name: peer.side for peer in INSTRUCTION_PEERS}
    timed, losses = _timed(network, tokenizer, data, warm, sides, repeats)
    details = {
        "samples": count,
        "steps": len(data.steps),
        "padding_of_padded_steps": data.padding,
        "supervised_share": data.supervised / data.tokens,
        "mean_loss": losses,
    }
    return [
        faster(
            f"hidden 256, 4 layers, vocabulary 32k, instruction-like lengths: {peer.name}",
            data.tokens,
            timed["ours"],
            timed[peer.name],
            Target("at least", peer.least),
            details,
            "useful tokens",
        )
        for peer in INSTRUCTION_PEERS
    ]


def quickstart(
    network: Any, tokenizer: Any, data: TrainingSet, warm: TrainingSet, repeats: int
) -> list[Row]:
    """The same on the quickstart's corpus, against TRL packed and TRL isolating documents.

    TRL's packs are as many as the optimizer steps, so each reads about as much as ours. Whether
    its packing isolates documents is measured, and which of its settings that do is the fastest.
    """
    packed = {"packing": True, "per_device_train_batch_size": 1}
    sides: dict[str, Side] = {
        "packing": lambda work: trainers.trl(
            work, **packed, max_length=trainers.trl_pack_tokens(work.data)
        ),
        "padding": trainers.trl,
        "padding and length grouping": partial(trainers.trl, train_sampling_strategy=GROUPED),
    }
    timed, losses = _timed(network, tokenizer, data, warm, sides, repeats)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(network, data, Path(folder) / "examples", tokenizer)
        size = trainers.trl_pack_tokens(data)
        leaked = trainers.leak(trainers.sft_trainer(work, **packed, max_length=size))
    isolating = {name: timed[name] for name in sides if name != "packing" or leaked == 0}
    fastest = min(isolating, key=lambda name: statistics.median(isolating[name].wall))
    details = {
        "steps": len(data.steps),
        "padding_of_padded_steps": data.padding,
        "supervised_share": data.supervised / data.tokens,
        "trl_pack_tokens": size,
        "leak_of_trl_packing": leaked,
        "trl_seconds": {name: statistics.median(timed[name].wall) for name in sides},
        "mean_loss": losses,
    }
    leaks = "leaks" if leaked else "does not leak here"
    title = "SmolLM2-135M, quickstart corpus: TRL"
    return [
        faster(
            f"{title} with packing, which {leaks}",
            data.tokens,
            timed["ours"],
            timed["packing"],
            Target("at least", 1.1),
            details,
            "useful tokens",
        ),
        faster(
            f"{title}'s fastest setting that isolates documents: {fastest}",
            data.tokens,
            timed["ours"],
            timed[fastest],
            Target("at least", 1.5),
            details,
            "useful tokens",
        ),
    ]


def _timed(
    network: Any,
    tokenizer: Any,
    data: TrainingSet,
    warm: TrainingSet,
    sides: Mapping[str, Side],
    repeats: int,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Seconds and mean losses of ours and of each side, after one run of each to warm up."""
    every: dict[str, Side] = {"ours": trainers.ours, **sides}
    losses: dict[str, float] = {}

    def loss_of(name: str, work: Work, action: Action) -> Action:
        gc.collect()
        gc.freeze()  # transformers collects garbage on the clock: not among all that is imported

        def run() -> None:
            work.losses.clear()
            action()
            losses[name] = next(iter(work.losses.values()))

        return run

    with tempfile.TemporaryDirectory() as folder:
        work = Work(network, warm, Path(folder) / "warm", tokenizer)
        for side in every.values():
            side(work)()
        work.reset()
        work = Work(network, data, Path(folder) / "examples", tokenizer)
        prepared = [
            (lambda name=name, side=side: loss_of(name, work, side(work)))
            for name, side in every.items()
        ]
        timings = prepared_in_turn(repeats, *prepared)
        gc.unfreeze()
        work.reset()
    return dict(zip(every, timings, strict=True)), losses


def overhead(network: Any, repeats: int, seed: int, steps: int) -> Iterator[Row]:
    """Milliseconds a step of our module under Lightning, and of a raw loop of the same parts.

    The median over the steps but the first, so neither what is prepared once counts, nor a moment
    in which something else ran.
    """
    data = instruction_set(2 * steps, seed, vocabulary=network.config.vocab_size, batch=2)
    sides = {"ours": trainers.ours, "peer": trainers.raw_packed}
    took: dict[str, dict[str, list[list[float]]]] = {
        side: {"wall": [], "cpu": []} for side in sides
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Work(network, data, Path(folder) / "examples", None)
        for at in range(repeats + 1):  # the first is to warm up
            for name, side in sides.items():
                told = trainers.Steps()
                side(work, told)()
                for clock, ends in (("wall", told.wall), ("cpu", told.cpu)):
                    if at:
                        took[name][clock].append([end - start for start, end in pairwise(ends)])

    def ratios(clock: str) -> list[float]:
        """Of each step to the same step of the peer, the median of every repeat."""
        pairs = zip(took["ours"][clock], took["peer"][clock], strict=True)
        return [
            statistics.median(own / theirs for own, theirs in zip(*pair, strict=True))
            for pair in pairs
        ]

    def milliseconds(name: str, clock: str) -> float:
        return 1000 * statistics.median(chain(*took[name][clock]))

    found = ratios("wall")
    yield Row(
        "our Lightning module: a raw loop with the same parts",
        "ms/step",
        milliseconds("ours", "wall"),
        Target("at most", 1.03),
        milliseconds("peer", "wall"),
        statistics.median(found),
        repeats,
        (min(found), max(found)),
        {
            "steps": steps,
            "cpu_ms": {name: milliseconds(name, "cpu") for name in sides},
            "cpu_ratio": statistics.median(ratios("cpu")),
            "mean_loss": work.losses,
        },
    )
