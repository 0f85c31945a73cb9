"""How a network computes while it is trained, and how it is put back.

What is switched here for a network or the whole process is undone in the end, however that comes:
the same network answers questions before and after.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from textwrap import shorten
from typing import Any

import torch
import transformers
from pytorch_lightning.utilities.seed import isolate_rng
from torch._dynamo.exc import TorchDynamoException

from cem_lightning.errors import UserError
from cem_lightning.models.documents import within_documents
from cem_lightning.models.head import decoder_layers
from cem_lightning.training.config import TrainerConfig


@contextmanager
def in_training(network: Any, config: TrainerConfig, *, packed: bool) -> Iterator[None]:
    """Have the network drop out, attend and recompute as training wants it.

    Args:
        packed: it reads several documents in a row.

    Raises:
        UserError: if its layers are to be compiled and cannot be.
    """
    with ExitStack() as undone:
        undone.enter_context(isolate_rng())
        if packed:
            undone.enter_context(within_documents(network))
        if config.activation_checkpointing:
            undone.enter_context(_forgetting_activations(network))
        if config.compile:
            undone.enter_context(_compiled(network))
        network.train()  # from_pretrained leaves dropout off
        try:
            yield
        finally:
            network.eval()
            network.zero_grad(set_to_none=True)


@contextmanager
def _forgetting_activations(network: Any) -> Iterator[None]:
    """Each layer's are computed again in the backward pass, with the same dropout."""
    network.activation_checkpointing_enable({"use_reentrant": False})
    try:
        yield
    finally:
        network.activation_checkpointing_disable()


@contextmanager
def _compiled(network: Any) -> Iterator[None]:
    """Each layer but for its attention, once for packs of any length.

    Raises:
        UserError: if what they are compiled with does not work here.
    """
    layers: Any = decoder_layers(network)
    for layer in layers:
        layer.compile(dynamic=True)
    try:
        yield
    except TorchDynamoException as error:
        told = shorten(str(error), 200, placeholder=" ...")
        raise UserError(
            f"trainer.compile: torch.compile does not work here ({told}). For a CPU it needs a C++ "
            "compiler (g++, or the one that the variable CXX names), for a GPU Triton. Set "
            "trainer.compile=false to train without."
        ) from error
    finally:
        for layer in layers:
            layer._compiled_call_impl = None  # torch has no other way back


@contextmanager
def deterministic() -> Iterator[None]:
    """Put back what is switched for the whole process: scores must not depend on it."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's greetings and advice and transformers' bars: progress is handed in."""
    log = logging.getLogger("pytorch_lightning")
    level = log.level
    log.setLevel(logging.WARNING)
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # how many workers there are is the user's to say
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*worker processes in total.*")
            # Lightning 2.6 and torch 2.13 disagree on the name of an internal type
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
            yield
    finally:
        log.setLevel(level)
        if bars:
            transformers.logging.enable_progress_bar()
