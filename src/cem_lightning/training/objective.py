"""The token losses of a micro-batch, with only the rows that matter sent to the output head.

How they are weighted and normalised is the business of `module`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from cem_lightning.corpus.batches import MicroBatch
from cem_lightning.corpus.config import KINDS
from cem_lightning.errors import UserError


def token_losses(network: Any, micro: MicroBatch) -> tuple[Tensor, Tensor]:
    """Cross-entropy of every supervised token, and its kind.

    Returns:
        Losses in nats and positions in `KINDS`, both of shape (supervised tokens,).
    """
    targets = micro.input_ids[micro.supervised]
    logits = selected_logits(network, micro)
    kinds = micro.kinds[:, None].expand_as(micro.supervised)[micro.supervised]
    return functional.cross_entropy(logits, targets, reduction="none"), kinds


def selected_logits(network: Any, micro: MicroBatch) -> Tensor:
    """Logits of the supervised tokens only, shape (supervised tokens, vocabulary), float32 or 64.

    The rows are picked at the door of the output head, within the model's own forward pass: what
    a model does to its logits (Gemma's soft-capping, Granite's scaling) is done to these too, and
    transformers 5.3 has no argument that selects rows for each sequence on its own.

    Raises:
        UserError: if the model does not send its hidden states through its output head.
    """
    predicts = torch.zeros_like(micro.supervised)
    predicts[:, :-1] = micro.supervised[:, 1:]
    head = network.get_output_embeddings()

    def select(_: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][predicts],)

    handle = head.register_forward_pre_hook(select) if head is not None else None
    try:
        logits: Tensor = network(
            input_ids=micro.input_ids,
            attention_mask=micro.attention_mask if micro.padded else None,
            use_cache=False,
        ).logits
    finally:
        if handle is not None:
            handle.remove()
    if logits.dim() != 2 or len(logits) != int(predicts.sum()):
        raise UserError(
            f"model.path: {type(network).__name__} does not send its hidden states through an "
            "output head (get_output_embeddings), so it cannot be trained here; use a causal "
            "language model such as Llama, Qwen, SmolLM or Gemma."
        )
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def sum_by_kind(values: Tensor, kinds: Tensor) -> Tensor:
    """Sums of `values` (n,) by their `kinds` (n,), shape (kinds,).

    A product with one-hot rows adds in a fixed order; scattered adding does not on a GPU.
    """
    return values.double() @ functional.one_hot(kinds, len(KINDS)).double()


def tokens_by_kind(step: list[MicroBatch], supervised: bool) -> Tensor:
    """Tokens of a whole optimizer step, all or only the supervised ones, shape (kinds,)."""
    return torch.stack(
        [
            sum_by_kind((each.supervised if supervised else each.attention_mask).sum(1), each.kinds)
            for each in step
        ]
    ).sum(0)
