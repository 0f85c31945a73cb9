"""Attention within documents: sequences lie one behind another in a row, and none sees another.

Isolation is by construction, not by a mask: each document's attention is computed for itself (on
a GPU in half precision by one kernel that does so). An all-ones mask, or transformers' own
packing with a cache, would leak without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface

_HALF = (torch.float16, torch.bfloat16)


def row(network: Any, input_ids: Tensor, lengths: Sequence[int]) -> dict[str, Any]:
    """What a network is given for documents one behind another, to read them in one row.

    Args:
        network: attends `within_documents`; one that does not can be given a single document.
        input_ids: (tokens,), the documents' ids.
        lengths: tokens of each document.

    Raises:
        ValueError: if a network that would mix them is given several documents.
    """
    if network.config._attn_implementation not in (_SDPA, _EAGER):
        if len(lengths) > 1:
            raise ValueError("the network would mix the documents; use within_documents")
        return {"input_ids": input_ids[None], "use_cache": False}
    bounds = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    positions = torch.cat([torch.arange(length) for length in lengths])
    return {
        "input_ids": input_ids[None],
        "position_ids": positions[None].to(input_ids.device),
        "use_cache": False,
        "documents": Documents(list(lengths), bounds.to(input_ids.device)),
    }


@dataclass(frozen=True)
class Documents:
    """Where in a row documents lie; travels to the attention of every layer.

    Attributes:
        lengths: tokens of each.
        bounds: (documents + 1,) where each begins, and the end, int32 on the model's device.
    """

    lengths: list[int]
    bounds: Tensor


@contextmanager
def within_documents(network: Any) -> Iterator[None]:
    """Let a network attend within documents, as `row` tells them, while this lasts."""
    plain = network.config._attn_implementation
    with _attending(network, _EAGER if plain == "eager" else _SDPA):
        yield


@contextmanager
def over_whole_rows(network: Any) -> Iterator[None]:
    """Let a network that attends within documents be used like any other, while this lasts."""
    now = network.config._attn_implementation
    with _attending(network, {_SDPA: "sdpa", _EAGER: "eager"}.get(now, now)):
        yield


@contextmanager
def _attending(network: Any, implementation: str) -> Iterator[None]:
    before = network.config._attn_implementation
    network.set_attn_implementation(implementation)
    try:
        yield
    finally:
        network.set_attn_implementation(before)


def isolates_documents(network: Any) -> bool:
    """Whether the network, asked about a row of documents, answers as for each alone.

    Asked of the network itself, on a few tokens: a state that runs along the row (Mamba), positions
    by distance in it (Bloom), or an attention of its own would mix them without a word.
    """
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode(), within_documents(network):
            return _isolates(network)
    except (TypeError, ValueError, KeyError, RuntimeError, AttributeError, AssertionError):
        return False  # it takes no such attention, or no such positions, at all
    finally:
        network.train(was_training)


def _isolates(network: Any) -> bool:
    vocabulary = network.config.get_text_config().vocab_size
    ids = torch.tensor([1 + 7 * at % (vocabulary - 1) for at in range(18)], device=network.device)
    other = ids.clone()
    other[:7] = 1 + (ids[:7] + 3) % (vocabulary - 1)
    second, beside_other = (
        network(**row(network, each, [7, 11])).logits[0, 7:] for each in (ids, other)
    )
    alone = network(**row(network, ids[7:], [11])).logits[0]
    if not bool(second.isfinite().all()):
        return True  # weights that are no numbers are whoever trains' to report
    near = 1e-3 if second.dtype not in _HALF else 0.1
    apart = (second.float() - alone.float()).abs().max()
    return torch.equal(second, beside_other) and bool(apart < near)


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    documents: Documents,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention of each document for itself, by SDPA or a kernel for documents in a row.

    Args:
        query: (1, heads, tokens, head size); key and value may have fewer heads.

    Returns:
        (1, tokens, heads, head size), and no attention weights.
    """
    if softcap is not None:
        raise ValueError("SDPA caps no scores; set model.attention=eager")
    key, value = _repeated(key, query), _repeated(value, query)
    if torch.is_autocast_enabled(query.device.type):  # which does not know the kernel below
        lower = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(lower), key.to(lower), value.to(lower)
    if query.is_cuda and query.dtype in _HALF and not dropout:
        from torch.nn.attention.varlen import varlen_attn

        q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
        bounds, longest = documents.bounds, max(documents.lengths)
        left = -1 if sliding_window is None else sliding_window - 1
        out: Tensor = varlen_attn(
            q, k, v, bounds, bounds, longest, longest, scale=scaling, window_size=(left, 0)
        )  # type: ignore[assignment]  # a tuple only where more is asked for
        return out[None], None
    parts = []
    for q, k, v in _each(documents, query, key, value):
        count = q.shape[2]
        short = sliding_window is None or count <= sliding_window
        mask = None if short else _seen(count, sliding_window, q.device)
        parts.append(
            functional.scaled_dot_product_attention(
                q, k, v, mask, dropout, is_causal=short, scale=scaling
            )
        )
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _attend_eagerly(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    documents: Documents,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The same written out, for models that do something to the scores (Gemma 2 caps them)."""
    key, value = _repeated(key, query), _repeated(value, query)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    parts = []
    for q, k, v in _each(documents, query, key, value):
        scores = q @ k.transpose(2, 3) * scale
        if softcap is not None:
            scores = torch.tanh(scores / softcap) * softcap
        seen = _seen(q.shape[2], sliding_window, q.device)
        weights = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
        weights = functional.softmax(weights, dim=-1, dtype=torch.float32).to(q.dtype)
        parts.append(functional.dropout(weights, dropout) @ v)
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _each(documents: Documents, *states: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Queries, keys and values of one document after another."""
    return zip(*(torch.split(each, documents.lengths, dim=2) for each in states), strict=True)


def _repeated(states: Tensor, query: Tensor) -> Tensor:
    """Keys or values with as many heads as there are of queries."""
    return states.repeat_interleave(query.shape[1] // states.shape[1], dim=1)


def _seen(count: int, window: int | None, device: torch.device) -> Tensor:
    """What each token of a document sees, (tokens, tokens)."""
    places = torch.arange(count, device=device)
    back = places[:, None] - places
    return (back >= 0) & (back < (window or count))


_SDPA, _EAGER = "documents_sdpa", "documents_eager"
# Compiled, they would be compiled anew for every new set of lengths.
_uncompiled: Any = torch.compiler.disable
AttentionInterface.register(_SDPA, _uncompiled(_attend))
AttentionInterface.register(_EAGER, _uncompiled(_attend_eagerly))
