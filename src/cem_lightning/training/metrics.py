"""Loss, perplexity and tokens by kind of example, summed over steps (and ranks).

Takes sums that the module has anyway, so no logits are computed or kept for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from cem_lightning.corpus.config import KINDS

_SUMS = ("losses", "supervised", "tokens")


class TokensByKind(Metric):
    """What the model read and how well it predicted it, one entry per kind in `KINDS`."""

    full_state_update = False

    losses: Tensor
    supervised: Tensor
    tokens: Tensor

    def __init__(self) -> None:
        super().__init__(sync_on_compute=False)  # every rank is fed the sums over all ranks
        counts = torch.zeros(len(KINDS), dtype=torch.long)
        self.add_state("losses", torch.zeros(len(KINDS), dtype=torch.double), dist_reduce_fx="sum")
        self.add_state("supervised", counts, dist_reduce_fx="sum")
        self.add_state("tokens", counts.clone(), dist_reduce_fx="sum")

    def update(self, losses: Tensor, supervised: Tensor, tokens: Tensor) -> None:
        """Add sums, each of shape (kinds,).

        Args:
            losses: summed token losses in nats.
            supervised: tokens whose prediction was trained.
            tokens: all tokens read, padding excluded.
        """
        self.losses += losses
        self.supervised += supervised
        self.tokens += tokens

    def values(self) -> dict[str, list[float]]:
        """The sums so far, as plain values that `restore` takes."""
        return {name: getattr(self, name).tolist() for name in _SUMS}

    def restore(self, values: Mapping[str, Sequence[float]]) -> None:
        """Go on from these sums."""
        for name in _SUMS:
            getattr(self, name).copy_(torch.tensor(values[name], dtype=getattr(self, name).dtype))

    def compute(self) -> dict[str, Tensor]:
        """``loss`` (mean, nats per token), ``perplexity``, ``tokens``: each of shape (kinds,).

        A kind without supervised tokens has no loss: not a number.
        """
        loss = self.losses / self.supervised
        return {"loss": loss, "perplexity": loss.exp(), "tokens": self.tokens}
