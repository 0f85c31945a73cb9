"""Tiny random models for tests, as `random://` makes them but with a short context.

They know nothing; tests of what a model learns need more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cem_lightning.models.random_models import (
    CHATML,
    Architecture,
    byte_tokenizer,
    random_model,
    write_random_model,
)

__all__ = ["Architecture", "tiny_model", "tiny_model_folder", "tiny_tokenizer"]


def tiny_tokenizer(*, template: str | None = CHATML) -> Any:
    """One token a byte, and three control tokens as SmolLM2 has them."""
    return byte_tokenizer(template)


def tiny_model(
    architecture: Architecture = "llama", *, vocabulary: int, context: int = 512, seed: int = 0
) -> Any:
    """A random model in evaluation mode, float32."""
    return random_model(architecture, vocabulary=vocabulary, context=context, seed=seed)


def tiny_model_folder(
    folder: Path,
    architecture: Architecture = "llama",
    *,
    context: int = 512,
    template: str | None = CHATML,
    seed: int = 0,
) -> Path:
    """A model with its tokenizer, saved for `AutoModelForCausalLM` and `AutoTokenizer`."""
    write_random_model(folder, architecture, context=context, template=template, seed=seed)
    return folder
