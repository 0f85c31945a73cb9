"""Tiny models for the tests of asking and scoring, loaded as a run loads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cem_lightning.models.config import ModelConfig
from cem_lightning.models.loading import LanguageModel, load_model
from tests.models.tokenizers import KINDS, make_tokenizer
from tests.tiny import Architecture, tiny_model

Ids = tuple[int, ...]

_LEARNED = 0.01  # mean loss of a response's tokens, nats
_MOST_STEPS = 500


def language_model(
    folder: Path,
    architecture: Architecture = "llama",
    *,
    attention: str = "sdpa",
    context: int = 512,
    merges: Sequence[tuple[str, str]] = (),
    style: str = "chat",
) -> LanguageModel:
    """A random model with SmolLM2's chat template and the `merges` of `make_tokenizer`."""
    tokenizer = make_tokenizer(KINDS["smollm2"], merges=merges)
    tokenizer.save_pretrained(folder)
    network = tiny_model(architecture, vocabulary=len(tokenizer), context=context)
    network.save_pretrained(folder)
    config = {"path": str(folder), "style": style, "dtype": "float32", "device": "cpu"}
    return load_model(folder, ModelConfig.model_validate(config | {"attention": attention}))


def teach(model: LanguageModel, exchanges: Sequence[tuple[str, str]]) -> None:
    """Train until the model gives each prompt its response, word for word."""
    encoded = [model.encoder.exchange(prompt, response) for prompt, response in exchanges]
    optimizer = torch.optim.AdamW(model.network.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(_MOST_STEPS):
        losses = []
        for each in encoded:
            ids = torch.tensor([each.ids])
            labels = ids.masked_fill(~torch.tensor([each.supervised]), -100)
            loss = model.network(input_ids=ids, labels=labels).loss
            loss.backward()
            losses.append(float(loss.detach()))
        if max(losses) < _LEARNED:
            return
        optimizer.step()
        optimizer.zero_grad()
    raise AssertionError(f"not learned in {_MOST_STEPS} steps: losses {losses}")


def token_scores(model: LanguageModel, ids: Ids) -> list[float]:
    """Log-probability of every token of one sequence after the first: plain, one at a time."""
    with torch.inference_mode():
        logits: Any = model.network(torch.tensor([ids])).logits[0]
    scores = logits.double().log_softmax(-1)
    return [float(scores[at - 1, ids[at]]) for at in range(1, len(ids))]
