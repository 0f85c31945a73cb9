"""Guards against forgetting: what stays as it is, what is held near, and how far to go in the end.

Each is off by default and knows nothing of the others. Review, a guard too, is a kind of example.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import torch
from peft import PeftModel
from torch import Tensor

from cem_lightning.corpus.batches import Pack
from cem_lightning.errors import UserError
from cem_lightning.models.documents import row, within_documents
from cem_lightning.models.head import Head, body, decoder_layers
from cem_lightning.training.head_loss import Reference


class Anchor:
    """The model that training starts from, whose predictions those of the model are held near to.

    With an adapter it is the model itself, without the adapter; else a copy.
    """

    def __init__(self, network: Any, start: Any) -> None:
        self._network = network
        self._start = start

    @classmethod
    def of(cls, network: Any, *, packed: bool) -> Self:
        """The network as it is now.

        Args:
            packed: it will be asked about several documents in a row.
        """
        if isinstance(network, PeftModel):
            return cls(network, network)
        with within_documents(network) if packed else nullcontext():
            start = copy.deepcopy(network)  # with the attention that it has just now
        return cls(network, start.requires_grad_(False).eval())

    @torch.no_grad()
    def reference(self, pack: Pack, scale: float) -> Reference:
        """What it predicts where the pack is supervised."""
        start, training = self._start, self._start.training
        adapter = start.disable_adapter() if isinstance(start, PeftModel) else nullcontext()
        start.eval()  # it drops nothing out
        try:
            with adapter:
                given = row(start, pack.input_ids, pack.lengths)
                states = body(start)(**given).last_hidden_state[0]
        finally:
            start.train(training)
        return Reference(states[pack.supervised.roll(-1)], Head.of(start), scale)


@contextmanager
def frozen_layers(network: Any, count: int) -> Iterator[None]:
    """Train neither the lowest layers nor the embeddings (nor a head that is tied to them).

    Args:
        count: of layers; 0 freezes nothing.

    Raises:
        UserError: if nothing would be left to train.
    """
    held = [each for each in _lowest(network, count) if each.requires_grad] if count else []
    for weight in held:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in held:
            weight.requires_grad_(True)


def refuse_all_frozen(count: int, layers: int) -> None:
    """Of the layers of a model at least one must be trained.

    Raises:
        UserError: if as many as are to be frozen leave none.
    """
    if count >= layers:
        raise UserError(
            f"trainer.freeze_layers: {count}, but the model has {layers} layers, and at least one "
            "must be trained; set it lower."
        )


def _lowest(network: Any, count: int) -> list[torch.nn.Parameter]:
    layers = decoder_layers(network)
    refuse_all_frozen(count, len(layers))
    parts = [body(network).get_input_embeddings(), *layers[:count]]
    return [weight for part in parts for weight in part.parameters()]


class Way:
    """The way from where training starts to where it ends.

    Of an adapter that begins at nothing it is the adapter, whose second factor is scaled: half of
    it is half of the change to the weights.

    Args:
        network: as it is before training.
    """

    def __init__(self, network: Any) -> None:
        self._network = network
        self._start: dict[str, Tensor] = {}
        if not isinstance(network, PeftModel):
            self._start = {
                name: each.detach().cpu().clone()
                for name, each in network.named_parameters()
                if each.requires_grad
            }

    def choose(
        self, parts: Sequence[float], right: Callable[[], int]
    ) -> tuple[float, dict[float, int]]:
        """Leave the network at the part of the way that answers most questions right.

        Args:
            parts: to try, each below 1; the whole way is tried as well.
            right: questions that the network as it is now answers right.

        Returns:
            The part, the smallest of equals; and the right answers of each.
        """
        ends = {
            name: each.detach().cpu().clone()
            for name, each in self._network.named_parameters()
            if (each.requires_grad and not self._adapter) or ".lora_B." in name
        }
        found = {}
        for part in sorted({*parts, 1.0}):
            self._go(ends, part)
            found[part] = right()
        best = max(found, key=lambda part: (found[part], -part))
        self._go(ends, best)
        return best, found

    @property
    def _adapter(self) -> bool:
        return isinstance(self._network, PeftModel)

    @torch.no_grad()
    def _go(self, ends: Mapping[str, Tensor], part: float) -> None:
        weights = dict(self._network.named_parameters())
        for name, end in ends.items():
            if part == 1:
                weights[name].copy_(end)
            elif self._adapter:
                weights[name].copy_(part * end)
            else:
                weights[name].copy_(torch.lerp(self._start[name], end, part))
