"""Weights, gradients and moments shared out over the processes that train together (FSDP2).

Those of the layers are, each gathered when it is its turn (Zhao et al. 2023, arXiv 2304.11277).
Embeddings, last norm and head, whose weights the loss reads by itself, stay whole everywhere. A
tensor that is not shared out passes through every function here as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from cem_lightning.models.head import decoder_layers


def shard(network: Any, mesh: DeviceMesh) -> None:
    """Share out the layers over a mesh of one dimension; their gradients are summed, not averaged.

    Every process must pass through the network forward and back as often as the others.
    """
    for layer in decoder_layers(network):
        shared = fully_shard(layer, mesh=mesh)
        shared.set_gradient_divide_factor(1.0)
        shared.set_force_sum_reduction_for_comms(True)  # all that gloo can


def gather(network: Any) -> None:
    """Put whole weights in the place of the shares; every process calls this."""
    for module in network.modules():
        for name, weight in module.named_parameters(recurse=False):
            if isinstance(weight, DTensor):
                full = torch.nn.Parameter(whole(weight.detach()), weight.requires_grad)
                setattr(module, name, full)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; every process calls this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: Tensor) -> Tensor:
    """What this process has of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def shared_like(value: Tensor, weight: Tensor) -> Tensor:
    """A whole tensor shared out as a weight of the same shape is; others as they are."""
    if not isinstance(weight, DTensor) or value.shape != weight.shape:
        return value
    device = weight.device_mesh.device_type
    return distribute_tensor(value.to(device), weight.device_mesh, weight.placements)


def clip_gradients(parameters: Sequence[torch.nn.Parameter], most: float) -> Tensor:
    """Scale gradients down to a Euclidean norm over all of them, on every process alike.

    Returns:
        The norm before.
    """
    gradients = [each.grad for each in parameters if each.grad is not None]
    if not any(isinstance(each, DTensor) for each in gradients):
        return torch.nn.utils.clip_grad_norm_(parameters, most)
    shares = [each.to_local() for each in gradients if isinstance(each, DTensor)]
    others = [each for each in gradients if not isinstance(each, DTensor)]
    squares = torch.stack([each.double().square().sum() for each in shares]).sum()
    dist.all_reduce(squares)
    norm = (squares + sum(each.double().square().sum() for each in others)).sqrt()
    for each in (*shares, *others):
        each.mul_((most / (norm + 1e-6)).clamp(max=1.0).to(each.dtype))
    return norm
