"""The scorers compared: ours, lm-evaluation-harness, and one sequence at a time in float64.

Each takes items or their ids and gives one log-likelihood, in nats, a choice.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.workloads import Encoded, Item
from cem_lightning.answering.scoring import log_likelihoods
from cem_lightning.models.loading import LanguageModel

Scores = list[tuple[float, ...]]

BATCH_TOKENS = 2048  # as conf/answering has it
BATCH_SIZE = 8  # of the peer, in sequences


def ours(model: LanguageModel, encoded: Encoded, batch_tokens: int = BATCH_TOKENS) -> Scores:
    """The project's scorer, without anything around it."""
    found = log_likelihoods(
        model, encoded.prompts, encoded.continuations, batch_tokens=batch_tokens
    )
    return [each[0] for each in found if each is not None]


class LmEval:
    """lm-eval's Hugging Face backend around the same model object."""

    def __init__(self, model: LanguageModel, batch_size: int = BATCH_SIZE) -> None:
        from lm_eval.models.huggingface import HFLM  # type: ignore[import-not-found]

        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        self._backend: Any = HFLM(
            pretrained=model.network, tokenizer=model.encoder.tokenizer, batch_size=batch_size
        )

    def pairs(self, item: Item) -> list[tuple[list[int], list[int]]]:
        """How it tokenises the item: for each choice the ids of the context and those scored."""
        return [self._backend._encode_pair(item.context, choice) for choice in item.choices]

    def refuses(self, item: Item) -> bool:
        """Whether it would stop at the item: no token is left to score."""
        return any(not scored for _, scored in self.pairs(item))

    def texts(self, asked: Sequence[Item]) -> Scores:
        """Scores by its public door, from texts."""
        from lm_eval.api.instance import Instance  # type: ignore[import-not-found]

        requests = [
            Instance("loglikelihood", {}, (item.context, choice), at)
            for at, item in enumerate(asked)
            for choice in item.choices
        ]
        found = iter(self._backend.loglikelihood(requests, disable_tqdm=True))
        return [tuple(next(found)[0] for _ in item.choices) for item in asked]

    def ids(self, encoded: Encoded) -> Scores:
        """Scores from ids: what `texts` does once it has tokenised."""
        requests = [
            (("", ""), list(prompt), list(ids[len(prompt) :]))
            for prompt, full in zip(encoded.prompts, encoded.continuations, strict=True)
            for ids in full
        ]
        found = iter(self._backend._loglikelihood_tokens(requests, disable_tqdm=True))
        return [tuple(next(found)[0] for _ in full) for full in encoded.continuations]


def reference(model: LanguageModel, encoded: Encoded) -> Scores:
    """One sequence at a time through the whole model in float64; scores begin where ours do."""
    network = copy.deepcopy(model.network).double()
    scores = []
    with torch.inference_mode():
        for at, full in enumerate(encoded.continuations):
            split = encoded.split(at)
            sums = []
            for ids in full:
                tokens = torch.tensor([ids], device=model.device)
                logits = network(tokens).logits[0, split - 1 : -1].log_softmax(-1)
                sums.append(float(logits.gather(1, tokens[0, split:, None]).sum()))
            scores.append(tuple(sums))
    return scores
