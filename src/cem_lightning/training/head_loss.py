"""Cross-entropy at the output head, of which tokens x vocabulary never exists at once.

The gradients are computed along with the losses, a few rows at a time, as in Liger's fused linear
cross-entropy (Hsu et al. 2024, arXiv 2410.10989), but in plain PyTorch, so on any device.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cem_lightning.models.head import Head

CELLS = 2**24  # logits held at once


@dataclass(frozen=True)
class Reference:
    """Predictions that those of the model are held near to.

    Attributes:
        states: (rows, hidden size), without a gradient, as `head` takes them.
        scale: factor of the divergences in the sum.
    """

    states: Tensor
    head: Head
    scale: float


def head_loss(
    states: Tensor,
    head: Head,
    targets: Tensor,
    scales: Tensor,
    reference: Reference | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The scaled sum of cross-entropies (and divergences), to be differentiated, and each of them.

    Args:
        states: (rows, hidden size), outputs of the model's body.
        targets: (rows,) token ids.
        scales: (rows,) factor of each row's cross-entropy in the sum.
        reference: adds ``scale * KL(reference || model)`` of every row, as in learning without
            forgetting (Li & Hoiem 2016, arXiv 1606.09282).

    Returns:
        The sum, a scalar; the cross-entropies in nats without their factors, (rows,); and the
        divergences in nats likewise, (rows,), zeros without a reference. In float32, or in float64
        for states of float64; only the sum carries a gradient.
    """
    device = states.device.type
    if torch.is_autocast_enabled(device):
        lower = torch.get_autocast_dtype(device)
        states, head = states.to(lower), head.to(lower)
        if reference is not None:  # else rounding alone would tell it from the model
            other, far = reference.states.to(lower), reference.head.to(lower)
            reference = replace(reference, states=other, head=far)
    with torch.autocast(device, enabled=False):  # below, every step has its own precision
        total, losses, divergences = _HeadLoss.apply(  # type: ignore[no-untyped-call]
            states, head.weight, head.bias, targets, scales, head.cap, reference
        )
    return total, losses, divergences


class _HeadLoss(torch.autograd.Function):
    """States, weight and bias have gradients; they are ready before backward asks for them."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        scales: Tensor,
        cap: float | None,
        reference: Reference | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        to_states, to_weight, to_bias = ctx.needs_input_grad[:3]
        half = states.dtype in (torch.float16, torch.bfloat16)
        exact = torch.float32 if half else states.dtype
        losses = torch.empty(len(states), dtype=exact, device=states.device)
        divergences = torch.zeros_like(losses)
        of_states = torch.empty_like(states) if to_states else None
        # summed over many chunks, so in more than half precision
        of_weight = torch.zeros_like(weight, dtype=exact) if to_weight else None
        of_bias = torch.zeros_like(bias, dtype=exact) if to_bias and bias is not None else None
        head = Head(weight, bias, cap)
        size = max(1, CELLS // len(weight))
        for start in range(0, len(states), size):
            here = slice(start, start + size)
            logits = head.logits(states[here])
            at = targets[here, None]
            slope = None if cap is None else 1 - (logits / cap).square()
            gradient = torch.log_softmax(logits, dim=-1)
            del logits
            losses[here] = -gradient.gather(-1, at)[:, 0]
            factors = scales[here, None]
            pull = None
            if reference is not None:
                wanted = torch.log_softmax(reference.head.logits(reference.states[here]), dim=-1)
                divergences[here] = (wanted.exp() * (wanted - gradient)).sum(-1)
                pull = gradient.exp().sub_(wanted.exp_()).mul_(reference.scale)
            if not any(ctx.needs_input_grad):
                continue
            gradient.exp_()  # softmax, minus one at the target
            gradient.scatter_add_(-1, at, gradient.new_full(at.shape, -1.0))
            if pull is not None:
                gradient, factors = gradient.mul_(factors).add_(pull), torch.ones_like(factors)
            if slope is not None:
                gradient.mul_(slope)
            gradient = gradient.to(states.dtype)
            factors = factors.to(states.dtype)  # by the narrow side: the same product
            if of_bias is not None:
                of_bias += (gradient * factors).sum(0)
            if of_states is not None:
                of_states[here] = gradient @ weight * factors
            if of_weight is not None:
                read = states[here] * factors
                if half:
                    of_weight += gradient.T @ read
                else:
                    of_weight.addmm_(gradient.T, read)
        ctx.save_for_backward(of_states, of_weight, of_bias)
        ctx.weight_dtype = weight.dtype
        ctx.mark_non_differentiable(losses, divergences)
        total = (losses * scales).sum()
        if reference is not None:
            total = total + reference.scale * divergences.sum()
        return total, losses, divergences

    @staticmethod
    def backward(ctx: Any, outer: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, bias = ctx.saved_tensors
        if float(outer) != 1:  # a pass over the vocabulary that the end of a graph can spare
            states, weight, bias = (
                None if each is None else each * outer for each in (states, weight, bias)
            )
        if weight is not None:
            weight = weight.to(ctx.weight_dtype)
        return states, weight, bias, None, None, None, None
