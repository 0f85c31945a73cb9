"""The token losses of a pack, with only the rows that matter sent to the output head.

How they are weighted and normalised is the business of `module`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cem_lightning.corpus.batches import Pack
from cem_lightning.corpus.config import KINDS
from cem_lightning.models.documents import row
from cem_lightning.models.head import Head, body
from cem_lightning.training.head_loss import Reference, head_loss


class PackLosses(NamedTuple):
    """What a pack costs.

    Attributes:
        total: the weighted sum, to be differentiated.
        losses: (supervised tokens,) cross-entropies in nats, without a gradient.
        kinds: (supervised tokens,) positions in `KINDS`.
        divergences: (supervised tokens,) from the reference, in nats; zeros without one.
    """

    total: Tensor
    losses: Tensor
    kinds: Tensor
    divergences: Tensor


def token_losses(
    network: Any, pack: Pack, factors: Tensor, reference: Reference | None = None
) -> PackLosses:
    """Cross-entropy of every supervised token.

    Args:
        network: attends within documents (`models.documents`) if the pack has several.
        factors: (kinds,) what a token of each kind counts in the sum.
        reference: what the predictions are held near to.
    """
    kinds = pack.kinds[pack.supervised]
    targets = pack.input_ids[pack.supervised]
    states = body(network)(**row(network, pack.input_ids, pack.lengths)).last_hidden_state[0]
    states = states[pack.supervised.roll(-1)]  # a token is predicted at the one before it
    found = head_loss(states, Head.of(network), targets, factors[kinds], reference)
    total, losses, divergences = found
    return PackLosses(total, losses, kinds, divergences)


def sum_by_kind(values: Tensor, kinds: Tensor) -> Tensor:
    """Sums of `values` (n,) by their `kinds` (n,), shape (kinds,).

    A product with one-hot rows adds in a fixed order; scattered adding does not on a GPU.
    """
    return values.double() @ functional.one_hot(kinds, len(KINDS)).double()


def tokens_by_kind(step: list[Pack], supervised: bool) -> Tensor:
    """Tokens of a whole optimizer step, all or only the supervised ones, shape (kinds,)."""
    counted = [each.kinds[each.supervised] if supervised else each.kinds for each in step]
    return torch.stack([torch.bincount(each, minlength=len(KINDS)) for each in counted]).sum(0)
