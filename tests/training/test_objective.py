"""The loss: the same as transformers' own on every architecture, and weighted as written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from cem_lightning.corpus.batches import micro_batches
from cem_lightning.corpus.config import KINDS
from cem_lightning.corpus.examples import Example
from cem_lightning.errors import UserError
from cem_lightning.training.adapters import add_adapter
from cem_lightning.training.objective import selected_logits, token_losses
from tests.tiny import Architecture, tiny_model
from tests.training.cases import LORA, VOCABULARY, examples


def rows(made: Sequence[Example]) -> list[dict[str, Any]]:
    return [{"kind": e.kind, "ids": e.ids, "supervised": e.supervised} for e in made]


@pytest.mark.invariant
@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma2"])
def test_selected_rows_give_the_loss_of_transformers(
    architecture: Architecture, adapter: bool
) -> None:
    network = tiny_model(architecture, vocabulary=VOCABULARY)
    if adapter:
        network = add_adapter(network, LORA, seed=1)
        for name, weight in network.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    (micro,) = micro_batches(rows(examples(6)), 6)
    assert micro.padded
    labels = micro.input_ids.masked_fill(~micro.supervised, -100)
    plain = network(input_ids=micro.input_ids, attention_mask=micro.attention_mask, labels=labels)
    losses, kinds = token_losses(network, micro)
    assert torch.allclose(losses.mean(), plain.loss, atol=1e-6)
    expected = [KINDS[int(kind)] for row, kind in enumerate(micro.kinds)
                for _ in range(int(micro.supervised[row].sum()))]  # fmt: skip
    assert [KINDS[int(kind)] for kind in kinds] == expected

    plain.loss.backward()
    wanted = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    losses.mean().backward()
    assert wanted
    for name, weight in network.named_parameters():
        if name in wanted:
            assert torch.allclose(weight.grad, wanted[name], atol=1e-6), name


def test_only_supervised_rows_meet_the_output_head() -> None:
    network = tiny_model(vocabulary=VOCABULARY)
    (micro,) = micro_batches(rows(examples(4)), 4)
    seen: list[tuple[int, ...]] = []
    network.lm_head.register_forward_hook(lambda _, inputs, output: seen.append(output.shape))
    logits = selected_logits(network, micro)
    assert seen == [(int(micro.supervised.sum()), VOCABULARY)] == [tuple(logits.shape)]
    assert network(micro.input_ids).logits.dim() == 3, "the model is as it was"


def test_a_model_without_an_output_head_is_refused() -> None:
    class Headless(torch.nn.Module):
        def get_output_embeddings(self) -> None:
            return None

        def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
            return type("Output", (), {"logits": torch.zeros(*input_ids.shape, VOCABULARY)})

    (micro,) = micro_batches(rows(examples(2)), 2)
    with pytest.raises(UserError, match="Headless does not send its hidden states"):
        selected_logits(Headless(), micro)
