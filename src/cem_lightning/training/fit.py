"""Trains a model on the examples of a round and writes down its weights and curves.

Neither loads the model nor decides what a round starts from.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytorch_lightning as pl
import torch
import transformers
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities.seed import isolate_rng

from cem_lightning.corpus.config import KINDS, Kind, RecipeConfig
from cem_lightning.corpus.datamodule import CorpusDataModule
from cem_lightning.errors import UserError
from cem_lightning.progress import SilentTask, Task
from cem_lightning.training.adapters import save_weights
from cem_lightning.training.callbacks import Curves
from cem_lightning.training.config import ObjectiveConfig, TrainerConfig
from cem_lightning.training.module import MixedObjective
from cem_lightning.training.ranks import TrainingRanks


@dataclass(frozen=True)
class TrainResult:
    """What a round of training was.

    Attributes:
        tokens: tokens read by kind, repetitions included and padding excluded.
        steps: optimizer steps.
        curves: CSV file with one row per optimizer step.
        weights: folder of the adapter or the full weights.
        seconds: wall time of the training itself.
    """

    tokens: dict[Kind, int]
    steps: int
    curves: Path
    weights: Path
    seconds: float


def train(
    network: Any,
    examples: Path,
    recipe: RecipeConfig,
    objective: ObjectiveConfig,
    config: TrainerConfig,
    *,
    seed: int,
    folder: Path,
    task: Task | None = None,
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
        task: told the tokens read at every step.

    Raises:
        UserError: if a step has no supervised tokens, or loss or gradient are not finite.
    """
    ranks = TrainingRanks.here()
    share = -(-config.batch // ranks.world)  # so that no process is left without a micro-batch
    data = CorpusDataModule(
        examples, recipe, seed=seed, batch=config.batch, micro_batch=min(config.micro_batch, share)
    )
    module = MixedObjective(network, objective, config, steps=data.steps)
    device = torch.device(network.device)
    network.train()  # from_pretrained leaves dropout off
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".log-") as log:
        began = time.monotonic()
        try:
            with isolate_rng(), _deterministic(), _quiet():
                torch.manual_seed(seed * ranks.world + ranks.number)  # dropout differs by rank
                trainer = pl.Trainer(
                    accelerator="gpu" if device.type == "cuda" else device.type,
                    devices=[device.index or 0] if device.type == "cuda" else 1,
                    # Every rank is to Lightning a process alone with its device: the module sums
                    # over ranks itself, since DDP would average, at every micro-batch. So it must
                    # neither start processes nor look for those of torchrun or SLURM.
                    strategy="auto",
                    plugins=[LightningEnvironment()],
                    max_epochs=1,
                    logger=CSVLogger(log, name=None, version="") if ranks.first else False,
                    log_every_n_steps=1,
                    callbacks=[Curves(task or SilentTask())],
                    deterministic=True,
                    enable_checkpointing=False,
                    enable_progress_bar=False,
                    enable_model_summary=False,
                    use_distributed_sampler=False,
                    default_root_dir=folder,
                )
                _fit(trainer, module, data)
        finally:
            network.eval()
            network.zero_grad(set_to_none=True)
        _refuse_wrecked(network, config)
        seconds = time.monotonic() - began
        curves, weights = folder / "curves.csv", folder / "weights"
        if ranks.first:
            (Path(log) / "metrics.csv").rename(curves)
    if ranks.first:
        with _quiet():
            save_weights(network, weights)
    tokens = module.totals.compute()["tokens"]
    return TrainResult(
        tokens={kind: int(tokens[at]) for at, kind in enumerate(KINDS)},
        steps=data.steps,
        curves=curves,
        weights=weights,
        seconds=seconds,
    )


def _fit(trainer: pl.Trainer, module: pl.LightningModule, data: pl.LightningDataModule) -> None:
    """Lightning ends the whole process when interrupted; whoever called decides that here."""
    try:
        trainer.fit(module, datamodule=data)
    except SystemExit as stopped:
        if isinstance(stopped.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


def _refuse_wrecked(network: Any, config: TrainerConfig) -> None:
    """The last step may spoil weights that no loss has seen any more."""
    for name, weight in network.named_parameters():
        if weight.requires_grad and not torch.isfinite(weight).all():
            raise UserError(
                f"training: the weights {name} are not finite after the last step, so none were "
                f"written. Lower trainer.learning_rate ({config.learning_rate:g})."
            )


@contextmanager
def _deterministic() -> Iterator[None]:
    """Put back what Lightning switches for the whole process: scores must not depend on it."""
    before = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's greetings and advice and transformers' bars: progress is handed in."""
    log = logging.getLogger("pytorch_lightning")
    level = log.level
    log.setLevel(logging.WARNING)
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # Lightning 2.6 and torch 2.13 disagree on the name of an internal type
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
            yield
    finally:
        log.setLevel(level)
        if bars:
            transformers.logging.enable_progress_bar()
