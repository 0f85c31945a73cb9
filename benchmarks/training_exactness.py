"""Whether packing changes anything: losses, gradients, and what a document sees of another."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.rows import Row, Target
from benchmarks.trainers import PACK_TOKENS, as_rows, labelled, packed_step, padded
from benchmarks.training_sets import instruction_set
from cem_lightning.corpus.batches import packs
from cem_lightning.corpus.examples import Example
from cem_lightning.models.documents import row, within_documents
from cem_lightning.models.head import body
from cem_lightning.models.random_models import Architecture, random_model

ARCHITECTURES: tuple[Architecture, ...] = ("llama", "qwen2", "qwen3", "gemma3")
ATTENTIONS = ("sdpa", "eager")
VOCABULARY = 259


def exactness(network: Any, count: int, seed: int) -> Iterator[Row]:
    """Loss and gradients of a packed step in float32 beside a padded one in float64.

    Of a model that is given, and of tiny ones of four architectures under two attentions.
    """
    vocabulary = network.config.vocab_size
    step = instruction_set(count, seed, vocabulary=vocabulary).examples
    found = {f"{network.config.model_type}, as measured": differences(network, step)}
    tiny = instruction_set(8, seed, vocabulary=VOCABULARY, mean=24).examples
    for name in ARCHITECTURES:
        for attention in ATTENTIONS:
            other = random_model(name, vocabulary=VOCABULARY, seed=seed)
            other.set_attn_implementation(attention)
            found[f"{name}, {attention}"] = differences(other, tiny)
    details = {name: {"loss": loss, "gradients": rest} for name, (loss, rest) in found.items()}
    for at, what in enumerate(("loss", "gradients")):
        yield Row(
            f"{what} of packs in float32 beside padding in float64: largest relative difference of "
            f"{len(found)} models",
            "1",
            max(each[at] for each in found.values()),
            Target("at most", 1e-5),
            details=details,
        )


def differences(network: Any, step: Sequence[Example]) -> tuple[float, float]:
    """Of the loss, and of all gradients as one vector by its Euclidean norm, both relative."""
    exact = copy.deepcopy(network).double().train()
    network.train()
    reference = exact(**padded(labelled(step)), use_cache=False).loss
    reference.backward()
    network.zero_grad(set_to_none=True)
    with within_documents(network):
        loss = packed_step(network, packs(as_rows(step), PACK_TOKENS))
    apart = whole = 0.0
    pairs = zip(network.parameters(), exact.parameters(), strict=True)
    for own, theirs in pairs:
        assert own.grad is not None and theirs.grad is not None
        apart += float((own.grad.double() - theirs.grad).square().sum())
        whole += float(theirs.grad.square().sum())
    network.zero_grad(set_to_none=True)
    return abs(loss - reference.item()) / reference.item(), math.sqrt(apart / whole)


def leak(packings: int, seed: int) -> Row:
    """How far the outputs of documents move when another one of their pack is replaced."""
    found = {}
    for name in ARCHITECTURES:
        for attention in ATTENTIONS:
            network = random_model(name, vocabulary=VOCABULARY, seed=seed)
            network.set_attn_implementation(attention)
            draw = random.Random(f"{seed}:packings")
            with torch.no_grad(), within_documents(network):
                each = [_moved(network, draw) for _ in range(packings)]
            found[f"{name}, {attention}"] = max(each)
    return Row(
        f"{packings} random packings x {len(ATTENTIONS)} attentions x {len(ARCHITECTURES)} "
        "architectures: largest change of a document's outputs when its neighbour is replaced",
        "1",
        max(found.values()),
        Target("at most", 0),
        details={"largest_change": found},
    )


def _moved(network: Any, draw: random.Random) -> float:
    """Of one random packing, whose one document, drawn too, becomes another."""
    lengths = [draw.randrange(1, 24) for _ in range(draw.randrange(2, 7))]
    ids = torch.tensor([draw.randrange(3, VOCABULARY) for _ in range(sum(lengths))])
    which = draw.randrange(len(lengths))
    begin = sum(lengths[:which])
    replaced = slice(begin, begin + lengths[which])
    other = ids.clone()
    other[replaced] = 3 + (ids[replaced] + draw.randrange(1, VOCABULARY - 3)) % (VOCABULARY - 3)
    before, after = (_states(network, each, lengths) for each in (ids, other))
    change = (before - after).abs().amax(-1)
    if float(change[replaced].max()) == 0:
        raise RuntimeError("the replaced document has the outputs it had: nothing is measured")
    change[replaced] = 0
    return float(change.max())


def _states(network: Any, ids: Tensor, lengths: Sequence[int]) -> Tensor:
    states: Tensor = body(network)(**row(network, ids, lengths)).last_hidden_state[0]
    return states
