"""Settings of the model: where it comes from and how it is asked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cem_lightning.settings import Settings


class ModelConfig(Settings):
    """The language model that evolves."""

    path: str = Field(
        min_length=1,
        description="A hub id, a folder, a .gguf file, package://PACKAGE/FILE for a file that an "
        "installed Python package carries, or random://ARCHITECTURE for a tiny random model.",
    )
    style: Literal["chat", "plain"] = Field(
        description="chat: asked through the tokenizer's own chat template; plain: a base model, "
        "asked in plain text."
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(description="Type of the weights.")
    attention: Literal["sdpa", "eager"] = Field(description="Attention implementation.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        description="Where the model runs; auto takes the GPU if there is one."
    )
