"""The loss: the same as transformers' own on every architecture, and weighted as written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from cem_lightning.corpus.batches import packs
from cem_lightning.corpus.config import KINDS
from cem_lightning.corpus.examples import Example
from cem_lightning.errors import UserError
from cem_lightning.models.documents import within_documents
from cem_lightning.models.head import Head, refuse_unknown_head
from cem_lightning.training import head_loss as module
from cem_lightning.training.adapters import add_adapter
from cem_lightning.training.head_loss import head_loss
from cem_lightning.training.objective import token_losses
from tests.tiny import Architecture, tiny_model
from tests.training.cases import LORA, VOCABULARY, examples

ONES = torch.ones(len(KINDS), dtype=torch.float64)


def rows(made: Sequence[Example]) -> list[dict[str, Any]]:
    return [{"kind": e.kind, "ids": e.ids, "supervised": e.supervised} for e in made]


def reference(network: Any, made: Sequence[Example]) -> torch.Tensor:
    """Summed losses of examples, each alone, by transformers' whole model."""
    total = torch.zeros(())
    for example in made:
        ids = torch.tensor([example.ids])
        logits = network(input_ids=ids, use_cache=False).logits[0, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        total = total + losses[torch.tensor(example.supervised[1:])].sum()
    return total


@pytest.mark.invariant
@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "gemma2", "gemma3", "gpt2"])
def test_a_pack_has_the_losses_and_gradients_of_its_examples_alone(
    architecture: Architecture, adapter: bool
) -> None:
    network = tiny_model(architecture, vocabulary=VOCABULARY)
    if adapter:
        network = add_adapter(network, LORA, seed=1)
        for name, weight in network.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    made = examples(6)
    expected = reference(network, made)
    expected.backward()
    wanted = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()

    (pack,) = packs(rows(made), 400)
    with within_documents(network):
        loss, losses, kinds, _ = token_losses(network, pack, ONES)
        loss.backward()
    assert torch.allclose(loss.float(), expected, rtol=1e-5)
    assert torch.allclose(losses.sum(), expected, rtol=1e-5)
    assert torch.equal(kinds, pack.kinds[pack.supervised])
    assert wanted
    for name, weight in network.named_parameters():
        if name in wanted:
            assert torch.allclose(weight.grad, wanted[name], atol=1e-5), name


@pytest.mark.invariant
@pytest.mark.parametrize("cap", [None, 4.0])
@pytest.mark.parametrize("cells", [97 * 7, 97 * 1000])
def test_the_head_in_chunks_is_the_head_at_once(
    cap: float | None, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CELLS", cells)
    draw = torch.Generator().manual_seed(1)
    states, weight, bias, scales = (
        torch.randn(*shape, generator=draw, dtype=torch.float64)
        for shape in ((50, 16), (97, 16), (97,), (50,))
    )
    targets = torch.randint(97, (50,), generator=draw)
    leaves = [each.requires_grad_() for each in (states, weight, bias)]
    head = Head(weight, bias, cap)

    logits = states @ weight.T + bias
    logits = logits if cap is None else torch.tanh(logits / cap) * cap
    plain = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    wanted = torch.autograd.grad(3 * (plain * scales).sum(), leaves)
    loss, losses, _ = head_loss(states, head, targets, scales)
    found = torch.autograd.grad(3 * loss, leaves)
    assert torch.allclose(losses, plain.detach())
    for left, right in zip(found, wanted, strict=True):
        assert torch.allclose(left, right)
    assert not losses.requires_grad


def test_never_more_logits_at_once_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    plain = torch.nn.functional.linear

    def linear(*given: Any) -> torch.Tensor:
        seen.append(plain(*given).numel())
        return plain(*given)

    monkeypatch.setattr(module, "CELLS", 1000)
    monkeypatch.setattr("cem_lightning.models.head.functional.linear", linear)
    states, weight = torch.randn(64, 8, requires_grad=True), torch.randn(300, 8)
    loss, *_ = head_loss(states, Head(weight, None, None), torch.arange(64), torch.ones(64))
    loss.backward()
    assert sum(seen) == 64 * 300 and max(seen) <= 1000


def test_a_model_without_a_plain_output_head_is_refused() -> None:
    class Headless(torch.nn.Module):
        def get_output_embeddings(self) -> None:
            return None

    with pytest.raises(UserError, match="Headless has no plain linear layer as its output head"):
        Head.of(Headless())


def test_a_model_that_scales_its_logits_is_refused() -> None:
    network = tiny_model(vocabulary=VOCABULARY)
    plain = network.forward

    def scaled(*args: Any, **named: Any) -> Any:
        out = plain(*args, **named)
        out.logits = out.logits / 8
        return out

    refuse_unknown_head(network)
    network.forward = scaled
    with pytest.raises(UserError, match="does something to its outputs that the loss"):
        refuse_unknown_head(network)
