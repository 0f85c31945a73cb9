"""The trainers compared. Each prepares itself anew, and then trains when it is called.

All start from the same weights and take the same AdamW at a constant rate, clipped at 1.0, in
float32, without evaluation and without saving. What differs is said at each.
"""

from __future__ import annotations

import csv
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.training_sets import TrainingSet
from cem_lightning.corpus.batches import Pack, packs
from cem_lightning.corpus.config import KINDS
from cem_lightning.corpus.examples import Example
from cem_lightning.models.documents import within_documents
from cem_lightning.progress import Task
from cem_lightning.training.config import ObjectiveConfig, TrainerConfig
from cem_lightning.training.fit import train
from cem_lightning.training.objective import sum_by_kind, token_losses
from cem_lightning.training.optimizer import adamw

RATE = 1e-4
PACK_TOKENS = 2048  # as conf/trainer has it
IGNORED = -100

Action = Callable[[], object]


@dataclass
class Work:
    """A network, what it is trained on, and what came of it.

    Attributes:
        folder: of the examples, as our data module reads them.
        tokenizer: TRL will not start without one, though it is handed ids.
        pack_tokens: of ours.
        keep: a copy of the weights, to begin every training with the same.
        losses: by trainer, the mean loss of the optimizer steps of its last run.
    """

    network: Any
    data: TrainingSet
    folder: Path
    tokenizer: Any
    pack_tokens: int = PACK_TOKENS
    keep: bool = True
    losses: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data.save(self.folder)
        weights = self.network.state_dict().items() if self.keep else ()
        self._start = {name: each.clone() for name, each in weights}

    def reset(self) -> None:
        """The weights as they were at first."""
        if self.keep:
            self.network.load_state_dict(self._start)
        self.network.zero_grad(set_to_none=True)
        self.network.train()


def config(batch: int, pack_tokens: int = PACK_TOKENS) -> TrainerConfig:
    """Ours, with what the peers are given too."""
    return TrainerConfig.model_validate(
        {
            "start": "base",
            "learning_rate": RATE,
            "weight_decay": 0.0,
            "warmup_fraction": 0.0,
            "schedule": "constant",
            "batch": batch,
            "pack_tokens": pack_tokens,
            "max_gradient_norm": 1.0,
            "checkpoint_minutes": 0,
            "lora": None,
        }
    )


class Steps:
    """Told of every optimizer step; keeps when it ended.

    Attributes:
        wall: seconds of the clock, by step.
        cpu: the same of this process's CPUs.
    """

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def advance(self, amount: float = 1, note: str = "") -> None:
        """A step has ended."""
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())

    def measure(self, row: Mapping[str, float]) -> None:
        """What the step gave is of no interest."""


def ours(work: Work, steps: Task | None = None) -> Action:
    """Our `train`, all of it but the writing of the weights: the checks of the architecture, the
    data module, Lightning and the curves are on the clock. PyTorch is told to be deterministic.

    Args:
        steps: told of every step.
    """
    work.reset()

    def action() -> None:
        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch("cem_lightning.training.fit.save_weights"),
        ):
            result = train(
                work.network,
                work.folder,
                work.data.recipe,
                ObjectiveConfig(),
                config(work.data.batch, work.pack_tokens),
                seed=work.data.seed,
                folder=Path(folder),
                task=steps,
            )
            with result.curves.open(encoding="utf-8", newline="") as lines:
                losses = [float(row["loss"]) for row in csv.DictReader(lines)]
        work.losses["ours"] = sum(losses) / len(losses)

    return action


def raw_packed(work: Work, steps: Task | None = None) -> Action:
    """A loop over the same packs with the same loss, optimizer and clipping, and nothing else.

    Args:
        steps: told of every step.
    """
    work.reset()

    def action() -> None:
        deterministic = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)  # as ours is
        optimizer = adamw(work.network, config(work.data.batch))
        losses = []
        with within_documents(work.network):
            for step in work.data.steps:
                optimizer.zero_grad()
                losses.append(packed_step(work.network, packs(as_rows(step), work.pack_tokens)))
                torch.nn.utils.clip_grad_norm_(work.network.parameters(), 1.0)
                optimizer.step()
                if steps is not None:
                    steps.advance()
        torch.use_deterministic_algorithms(deterministic)
        work.losses["raw packed"] = sum(losses) / len(losses)

    return action


def packed_step(network: Any, step: Sequence[Pack]) -> float:
    """The gradients of an optimizer step by our parts, and its loss, in nats a token."""
    total = sum(int(each.supervised.sum()) for each in step)
    factors = torch.full((len(KINDS),), 1 / total, dtype=torch.double)
    losses = torch.zeros(len(KINDS), dtype=torch.double)
    for pack in step:
        part, each, kinds, _ = token_losses(network, pack, factors)
        part.backward()  # type: ignore[no-untyped-call]
        losses += sum_by_kind(each, kinds)
    return float(losses.sum()) / total


def raw_padded(work: Work) -> Action:
    """The loop one would write: a padded batch a step, and the model's own loss."""
    work.reset()

    def action() -> None:
        optimizer = torch.optim.AdamW(
            work.network.parameters(), lr=RATE, weight_decay=0.0, fused=True
        )
        losses = []
        for step in work.data.steps:
            optimizer.zero_grad()
            loss = work.network(**padded(labelled(step)), use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(work.network.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        work.losses["raw padded"] = sum(losses) / len(losses)

    return action


def hf_trainer(work: Work, **settings: Any) -> Action:
    """transformers' Trainer on padded batches, the model's own loss.

    Args:
        settings: of TrainingArguments, in place of those that all trainers share.
    """
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    work.reset()
    with without_words():
        trainer = Trainer(
            work.network,
            TrainingArguments(**(_shared(work) | settings)),
            data_collator=padded,
            train_dataset=Dataset.from_list(labelled(work.data.read)),
        )
    return _fitted(work, trainer, "hf")


def trl(work: Work, **settings: Any) -> Action:
    """TRL's SFTTrainer, without activation checkpointing, on the same ids and labels.

    Args:
        settings: of SFTConfig, in place of those that all trainers share.
    """
    return _fitted(work, sft_trainer(work, **settings), "trl")


def sft_trainer(work: Work, **settings: Any) -> Any:
    """TRL's trainer before it is told to train; it logs every 10 steps by default."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer  # type: ignore[import-not-found]

    work.reset()
    given = {"bf16": False, "max_length": None, "shuffle_dataset": False}
    with without_words():
        return SFTTrainer(
            work.network,
            SFTConfig(**(_shared(work) | given | settings)),
            train_dataset=Dataset.from_list(labelled(work.data.read)),
            processing_class=work.tokenizer,
        )


def trl_pack_tokens(data: TrainingSet) -> int:
    """The shortest packs of which TRL makes as many of the examples as there are steps."""
    from datasets import Dataset
    from trl import pack_dataset

    rows = Dataset.from_list([{"input_ids": list(each.ids)} for each in data.read])
    size = max(-(-data.tokens // len(data.steps)), *(len(each.ids) for each in data.read))
    with without_words():
        while len(pack_dataset(rows, size)) > len(data.steps):
            size += 1
    return size


def leak(trainer: Any) -> float:
    """How far a packing trainer lets a document see the one before it.

    The first document of a pack is replaced by another; the outputs of the body behind it, as
    they come about in the trainer's own loss, must not move.
    """
    with without_words():
        batches = [dict(each) for each in trainer.get_train_dataloader()]
    batch = next(each for each in batches if len(each["cu_seq_lens_q"]) > 2)
    first = int(batch["cu_seq_lens_q"][1])
    other = dict(batch)
    other["input_ids"] = batch["input_ids"].clone()
    vocabulary = trainer.model.config.get_text_config().vocab_size
    other["input_ids"][0, :first] = (batch["input_ids"][0, :first] + 1) % vocabulary
    states: list[Tensor] = []
    body = trainer.model.get_decoder()
    handle = body.register_forward_hook(lambda *told: states.append(told[2].last_hidden_state))
    try:
        with torch.no_grad():
            for each in (batch, other):
                trainer.compute_loss(trainer.model, dict(each))
    finally:
        handle.remove()
    return float((states[0] - states[1])[0, first:].abs().max())


def as_rows(examples: Sequence[Example]) -> list[dict[str, Any]]:
    """As our data module gets them."""
    return [{"kind": e.kind, "ids": e.ids, "supervised": e.supervised} for e in examples]


def labelled(examples: Sequence[Example]) -> list[dict[str, list[int]]]:
    """As transformers and TRL get them."""
    return [
        {
            "input_ids": list(each.ids),
            "labels": [
                token if trained else IGNORED
                for token, trained in zip(each.ids, each.supervised, strict=True)
            ],
        }
        for each in examples
    ]


def padded(rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """A batch as long as its longest sequence, padded on the right."""
    longest = max(len(row["input_ids"]) for row in rows)

    def filled(values: list[list[int]], filler: int) -> Tensor:
        return torch.tensor([each + [filler] * (longest - len(each)) for each in values])

    return {
        "input_ids": filled([row["input_ids"] for row in rows], 0),
        "attention_mask": filled([[1] * len(row["input_ids"]) for row in rows], 0),
        "labels": filled([row["labels"] for row in rows], IGNORED),
    }


def _shared(work: Work) -> dict[str, Any]:
    """Settings of both trainers of transformers."""
    return {
        "output_dir": str(work.folder.parent / "trainer"),
        "use_cpu": work.network.device.type == "cpu",
        "per_device_train_batch_size": work.data.batch,
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "optim": "adamw_torch_fused",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "activation_checkpointing": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def _fitted(work: Work, trainer: Any, name: str) -> Action:
    def action() -> None:
        with without_words():
            work.losses[name] = float(trainer.train().training_loss)

    return action


@contextmanager
def without_words() -> Iterator[None]:
    """Without progress bars, advice and the logs that the trainers print."""
    import datasets
    from transformers import PrinterCallback, ProgressCallback

    with (
        warnings.catch_warnings(),
        mock.patch.object(PrinterCallback, "on_log"),
        mock.patch.object(ProgressCallback, "on_log"),
    ):
        warnings.simplefilter("ignore")
        shown = datasets.is_progress_bar_enabled()
        datasets.disable_progress_bars()
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
            if shown:
                datasets.enable_progress_bars()
