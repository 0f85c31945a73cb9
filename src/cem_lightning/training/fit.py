"""Trains a model on the examples of a round and writes down its weights and curves.

Neither loads the model nor decides what a round starts from.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.strategies import ModelParallelStrategy

from cem_lightning.corpus.arrow import longest
from cem_lightning.corpus.config import KINDS, Kind, RecipeConfig
from cem_lightning.corpus.datamodule import CorpusDataModule
from cem_lightning.models.documents import isolates_documents
from cem_lightning.models.head import refuse_unknown_head
from cem_lightning.progress import SilentTask, Task
from cem_lightning.training.adapters import save_weights
from cem_lightning.training.callbacks import Checkpoints, Continued, Curves
from cem_lightning.training.checkpoints import CheckpointFolder
from cem_lightning.training.config import ObjectiveConfig, TrainerConfig
from cem_lightning.training.guards import Anchor, Way, frozen_layers
from cem_lightning.training.memory import explained_shortage
from cem_lightning.training.modes import deterministic, in_training, quiet
from cem_lightning.training.module import MixedObjective
from cem_lightning.training.ranks import TrainingRanks
from cem_lightning.training.resuming import (
    continued_from,
    environment,
    made_for,
    refuse_too_little_disk,
    restore_weights,
)
from cem_lightning.training.sharding import gather
from cem_lightning.training.throughput import Gauge

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """What a round of training was.

    Attributes:
        tokens: tokens read by kind, repetitions included and padding excluded.
        steps: optimizer steps.
        curves: CSV file with one row per optimizer step.
        weights: folder of the adapter or the full weights.
        seconds: wall time of the training itself.
        earlier: of these, what was spent before the checkpoint that was continued.
        part: of the way from the start to the trained weights that was gone; 1.0 is all of it.
        gate: right answers of the gate by part; empty if only the whole way was tried.
    """

    tokens: dict[Kind, int]
    steps: int
    curves: Path
    weights: Path
    seconds: float
    earlier: float
    part: float
    gate: Mapping[float, int]


def train(
    network: Any,
    examples: Path,
    recipe: RecipeConfig,
    objective: ObjectiveConfig,
    config: TrainerConfig,
    *,
    seed: int,
    folder: Path,
    resume: Path | None = None,
    evaluate: Callable[[], Mapping[str, float]] | None = None,
    right: Callable[[], int] | None = None,
    task: Task | None = None,
    say: Callable[[str], None] = _LOG.warning,
) -> TrainResult:
    """Train `network` in place until the recipe's token budget is read.

    In a torch.distributed group every process calls this with the same arguments, and the first
    alone writes.

    Args:
        network: a transformers causal language model on its device, or one with an adapter from
            `adapters.add_adapter`, of which only the adapter is trained.
        examples: the Arrow folder of the round's examples.
        seed: decides order and dropout; the same seed gives the same bits on the same machine.
        folder: where ``weights/`` and ``curves.csv`` appear; nothing does if training fails.
        resume: folder of the checkpoints of this very training: the newest whole one is continued,
            and others are written as ``trainer.checkpoint_minutes`` says. None writes none.
        evaluate: asks the network after the steps of ``trainer.evaluate_at``; what it returns
            joins the curves.
        right: how many questions of the gate the network answers right, by which the part of the
            way is chosen (``trainer.interpolation``). None goes the whole way.
        task: told the tokens read at every step, those before a checkpoint at once.
        say: told what a step is, or of a checkpoint that is damaged or continued from.

    Raises:
        UserError: if a step has no supervised tokens, loss or gradient are not finite, there is too
            little disk, or `resume` is of another training.
        KeyboardInterrupt: at Ctrl-C, after a checkpoint was written.
        SystemExit: with 128 + its number at SIGTERM or SIGUSR1, after one was written too.
    """
    ranks = TrainingRanks.here()
    device = torch.device(network.device).type
    with torch.autocast(device, torch.bfloat16, enabled=config.mixed_precision):  # as it trains
        refuse_unknown_head(network)
        packed = isolates_documents(network)
    folder.mkdir(parents=True, exist_ok=True)
    part, gate = 1.0, dict[float, int]()
    with deterministic(), frozen_layers(network, config.freeze_layers):
        checkpoints = found = None
        known = {"environment": environment(network, ranks.world)}
        if resume is not None:
            known["made_for"] = made_for(network, examples, recipe, objective, config, seed)
            checkpoints = CheckpointFolder(resume)
            found = continued_from(checkpoints, known, ranks, say)
        writes = checkpoints is not None and config.checkpoint_minutes > 0
        refuse_too_little_disk(network, folder, resume if writes else None)
        data = CorpusDataModule(
            examples,
            recipe,
            seed=seed,
            batch=config.batch,
            batch_tokens=config.batch_tokens,
            pack_tokens=config.pack_tokens if packed else None,
            processes=ranks.world,
            workers=config.workers,
            start=0 if found is None else found.step,
            kept=resume if writes else None,
        )
        steps = data.plan.steps
        if ranks.first and found is None:
            say(data.arithmetic())
            if late := [each for each in config.evaluate_at if each > steps]:
                say(f"trainer.evaluate_at: there are {steps} steps, so nothing is asked at {late}")
        way = Way(network) if right is not None else None
        module = MixedObjective(
            network,
            objective,
            config,
            steps=steps,
            seed=seed,
            start=data.start,
            named=data.named,
            anchor=Anchor.of(network, packed=packed) if objective.kl else None,
            evaluate=evaluate,
        )
        gauge = Gauge(network, ranks.world)
        curves = Curves(task or SilentTask(), gauge, () if found is None else found.rows)
        callbacks: list[pl.Callback] = [curves]
        if found is not None:
            callbacks.append(Continued(found))
        if checkpoints is not None and writes:
            minutes = config.checkpoint_minutes
            callbacks.append(
                Checkpoints(checkpoints, curves, minutes=minutes, known=known, say=say)
            )
        with (
            quiet(),
            in_training(network, config, packed=packed),
            explained_shortage(network, config, longest(data.examples)[1], packed=packed),
        ):
            if found is not None:
                restore_weights(network, found)
                module.totals.restore(found.values["totals"])
            if data.start < steps:
                sharded = config.sharded and ranks.world > 1
                _fit(_trainer(network, callbacks, folder, config, sharded), module, data)
                gather(network)
        module.refuse_wrecked(steps)
        seconds = time.monotonic() - curves.began
        if way is not None and right is not None:
            part, gate = way.choose(config.interpolation.parts, right)
            if ranks.first:
                scores = ", ".join(f"{each:.0%} {count}" for each, count in gate.items())
                say(f"goes {part:.0%} of the way (right answers of the gate: {scores})")
    if ranks.first:
        curves.write(folder / "curves.csv")
        with quiet():
            save_weights(network, folder / "weights")
    return TrainResult(
        tokens=dict(zip(KINDS, map(int, module.totals.tokens.tolist()), strict=True)),
        steps=steps,
        curves=folder / "curves.csv",
        weights=folder / "weights",
        seconds=seconds,
        earlier=curves.earlier,
        part=part,
        gate=gate,
    )


def _trainer(
    network: Any, callbacks: list[pl.Callback], folder: Path, config: TrainerConfig, sharded: bool
) -> pl.Trainer:
    """Lightning's trainer, without what it would write and say by itself."""
    device = torch.device(network.device)
    # Every rank is to Lightning a process alone with its device: the module sums over ranks itself,
    # since DDP would average, at every backward pass. So it must neither start processes nor look
    # for those of torchrun or SLURM.
    together: dict[str, Any] = {
        "devices": [device.index or 0] if device.type == "cuda" else 1,
        "plugins": [LightningEnvironment()],
    }
    if sharded:  # here it must know all of them, and that they are there already
        world, here = dist.get_world_size(), int(os.environ["LOCAL_WORLD_SIZE"])
        together = {
            "devices": here,
            "num_nodes": world // here,
            "plugins": [TorchElasticEnvironment()],
            "strategy": ModelParallelStrategy(world, 1),
        }
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else device.type,
        precision="bf16-mixed" if config.mixed_precision else None,
        **together,
        max_epochs=1,
        logger=False,
        callbacks=callbacks,
        deterministic=True,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )


def _fit(trainer: pl.Trainer, module: pl.LightningModule, data: pl.LightningDataModule) -> None:
    """Lightning ends the whole process when interrupted; whoever called decides that here."""
    try:
        trainer.fit(module, datamodule=data)
    except SystemExit as stopped:
        if isinstance(stopped.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
