"""A few passes through the model with a clock: how fast and how large it is on this machine.

What a whole run takes is reckoned from it in `forecast`; nothing is trained.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from cem_lightning.corpus.config import Kind
from cem_lightning.evolution.measuring import AskedTokens
from cem_lightning.evolution.prepare import Prepared
from cem_lightning.models.encoding import Encoder
from cem_lightning.progress import Task
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Wording
from cem_lightning.storage.store import Part
from cem_lightning.training.memory import TrainingMemory, peak_memory_bytes

_LONG_ENOUGH = 3.0  # seconds of a measured batch
_SMALL = 2  # questions of the first batch

Row = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """What a few passes through the model have shown.

    Attributes:
        asking_rate: tokens a second.
        forward_rate: tokens a second of a training batch, padding not counted, without gradients.
        parameters: of the model.
        trained: parameters that are trained.
        model_bytes: of all weights.
        kept_bytes: of the weights that are kept after every round: all, or an adapter.
        training: what training takes, by estimate; None if there is none.
        resident: memory before the model was loaded; 0 on a GPU.
        peak: highest memory during the measurement.
    """

    asking_rate: float
    forward_rate: float
    parameters: int
    trained: int
    model_bytes: int
    kept_bytes: int
    training: TrainingMemory | None
    resident: int
    peak: int


def training_batch(
    prepared: Prepared, encoder: Encoder, mix: Mapping[Kind, float], context: int
) -> list[Row]:
    """One optimizer step as a round may read it, of the user's own documents and questions.

    Args:
        mix: share of the examples by kind.
        context: the longest sequence the model can read, in tokens.
    """
    config, wording = prepared.config, Wording(prepared.config.answering.method)
    size = config.trainer.batch
    documents, questions = prepared.corpus.documents, prepared.pools.source
    passages = min(size, round(size * mix.get("passage", 0.0))) if documents else 0
    rows: list[Row] = []
    for at in range(size):
        if at < passages:
            text = documents[at * len(documents) // passages].text
            ids = encoder.text(text).ids[: min(context, config.knowledge.passage_tokens)]
            rows.append({"kind": "passage", "ids": ids, "supervised": (True,) * len(ids)})
        else:
            question = questions[at * len(questions) // size]
            encoded = encoder.exchange(
                wording.prompt(question), wording.response(question, question.answer)
            )
            ids, supervised = encoded.ids[:context], encoded.supervised[:context]
            rows.append({"kind": "normative", "ids": ids, "supervised": supervised})
    return rows


def measure(
    prepared: Prepared,
    model: Part,
    tokens: Mapping[str, AskedTokens],
    batch: Sequence[Row],
    largest_pack: int,
    task: Task,
) -> Measured:
    """Ask the model a few of the questions and pass a training batch through it, with a clock.

    Args:
        tokens: of every question, by its id.
        batch: rows of one optimizer step.
        largest_pack: tokens that go through the model at once in training.
        task: told of questions asked.

    Raises:
        UserError: if the model cannot be loaded, an adapter does not fit it, or more layers are to
            be frozen than it has.
    """
    import torch

    from cem_lightning.models.loading import load_model
    from cem_lightning.training.adapters import add_adapter
    from cem_lightning.training.guards import frozen_layers

    config = prepared.config
    on_gpu = prepared.device == "cuda"
    resident = 0 if on_gpu else peak_memory_bytes()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    shots = Wording(config.answering.method).solved(prepared.pools.shots)
    loaded = load_model(model.path, config.model).with_shots(shots)
    network = loaded.network
    asking = _asking_rate(prepared, loaded, tokens, task)
    forward = _forward_rate(network, batch, config.trainer.pack_tokens, prepared.device)
    parameters, model_bytes = _size(network.parameters())
    peak = torch.cuda.max_memory_allocated() if on_gpu else peak_memory_bytes()
    training, trained, kept_bytes = None, 0, 0
    if config.rounds:
        if config.trainer.lora is not None:
            network = add_adapter(network, config.trainer.lora, seed=config.seed)
        _, kept_bytes = _size(each for each in network.parameters() if each.requires_grad)
        with frozen_layers(network, config.trainer.freeze_layers):
            trained, _ = _size(each for each in network.parameters() if each.requires_grad)
            packs = config.trainer.model_copy(update={"pack_tokens": largest_pack})
            training = TrainingMemory.of(network, packs)
    return Measured(
        asking, forward, parameters, trained, model_bytes, kept_bytes, training, resident, peak
    )


def _asking_rate(
    prepared: Prepared, loaded: Any, tokens: Mapping[str, AskedTokens], task: Task
) -> float:
    """Tokens a second in asking: batches of twice as many questions each, until one takes long."""
    from cem_lightning.answering.asking import ask

    questions: list[Question] = [each for _, pool in prepared.pools.items() for each in pool]
    random.Random(f"{prepared.config.seed}:forecast").shuffle(questions)
    size, rate = _SMALL, 0.0
    while True:
        batch, questions = questions[:size], questions[size:]
        start = time.perf_counter()
        ask(loaded, batch, prepared.config.answering)
        seconds = time.perf_counter() - start
        task.advance(len(batch))
        rate = sum(tokens[each.id].asked for each in batch) / seconds
        if len(questions) < 2 * size or seconds > _LONG_ENOUGH:
            return rate
        size *= 2


def _forward_rate(network: Any, rows: Sequence[Row], pack_tokens: int, device: str) -> float:
    """Tokens a second of a training batch without gradients; the first pass warms up."""
    import torch

    from cem_lightning.corpus.batches import packs
    from cem_lightning.corpus.config import KINDS
    from cem_lightning.models.documents import isolates_documents, within_documents
    from cem_lightning.training.objective import token_losses

    packed = isolates_documents(network)
    longest = max(len(row["ids"]) for row in rows)
    step = packs(rows, max(pack_tokens, longest) if packed else None)
    factors = torch.ones(len(KINDS), dtype=torch.float64, device=network.device)
    seconds = 0.0
    with torch.inference_mode(), within_documents(network) if packed else nullcontext():
        for _ in range(2):
            start = time.perf_counter()
            for pack in step:
                token_losses(network, pack.to(network.device), factors)
            if device == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - start
    return sum(len(row["ids"]) for row in rows) / seconds


def _size(weights: Iterable[Any]) -> tuple[int, int]:
    """Number and bytes of some weights."""
    sizes = [(each.numel(), each.nbytes) for each in weights]
    return sum(number for number, _ in sizes), sum(size for _, size in sizes)
