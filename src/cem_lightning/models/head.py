"""The output head of a model: what it makes of the outputs of the model's body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from cem_lightning.errors import UserError


@dataclass(frozen=True)
class Head:
    """A linear map to the vocabulary, whose logits may be capped.

    Attributes:
        weight: (vocabulary, hidden size).
        cap: Gemma 2's: no logit is larger than this.
    """

    weight: Tensor
    bias: Tensor | None
    cap: float | None

    @classmethod
    def of(cls, network: Any) -> Self:
        """The head of a causal language model.

        Raises:
            UserError: if it is no linear layer, or one under an adapter.
        """
        layer = network.get_output_embeddings()
        if not isinstance(layer, torch.nn.Linear):
            raise UserError(
                f"model.path: {type(network).__name__} has no plain linear layer as its output "
                "head (or trainer.lora.target_modules names it), so it can be neither asked nor "
                "trained here; use a causal language model such as Llama, Qwen, SmolLM or Gemma."
            )
        cap = getattr(network.config.get_text_config(), "final_logit_softcapping", None)
        return cls(layer.weight, layer.bias, cap)

    def to(self, dtype: torch.dtype) -> Self:
        """The same in another precision."""
        bias = None if self.bias is None else self.bias.to(dtype)
        return type(self)(self.weight.to(dtype), bias, self.cap)

    def logits(self, states: Tensor) -> Tensor:
        """Logits of `states` (rows, hidden size), in float32 at least."""
        logits = functional.linear(states, self.weight, self.bias)
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap


def body(network: Any) -> Any:
    """A causal language model without its output head; an adapter in it stays at work."""
    base = network.get_base_model() if hasattr(network, "get_base_model") else network
    return base.get_decoder()


def decoder_layers(network: Any) -> torch.nn.ModuleList:
    """The layers of a causal language model, the lowest first.

    Raises:
        UserError: if they do not stand in one list.
    """
    count = int(network.config.get_text_config().num_hidden_layers)
    for module in body(network).modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return module
    raise UserError(
        f"model.path: the layers of {type(network).__name__} do not stand in one list, so they can "
        "be neither frozen (trainer.freeze_layers) nor shared out (trainer.sharded)."
    )


def refuse_unknown_head(network: Any) -> None:
    """Compare the whole model with its body and head, on a few tokens.

    Raises:
        UserError: if it makes something else of its outputs than is known here.
    """
    vocabulary = network.config.get_text_config().vocab_size
    ids = torch.tensor([[1 + 7 * at % (vocabulary - 1) for at in range(6)]], device=network.device)
    head = Head.of(network)
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        logits = network(input_ids=ids, use_cache=False).logits[0]
        found = head.logits(body(network)(input_ids=ids, use_cache=False).last_hidden_state[0])
    network.train(was_training)
    near = 1e-3 if logits.dtype not in (torch.float16, torch.bfloat16) else 0.1
    apart = (found.float() - logits.float()).abs().max()
    # weights that are no numbers are for the loss to report
    if bool(logits.isfinite().all()) and bool(apart > near):
        raise UserError(
            f"model.path: {type(network).__name__} does something to its outputs that the loss "
            "here does not know, so it cannot be trained here; use a model of an architecture "
            "that is shown to work (docs/models.md)."
        )
