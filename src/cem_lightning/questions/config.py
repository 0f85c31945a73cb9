"""Which questions a run asks and how many of them a round mines.

Describes the choice only; files are read by `readers`, rounds are cut by `pools`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Mining(BaseModel):
    """What every source of questions has in common: how rounds draw on the source pool."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mine: Literal["fresh", "same"] = Field(
        "fresh",
        description="which source questions a round mines: the next slice, or always all of them",
    )
    slice: int = Field(gt=0, description="source questions that a round mines if fresh; questions")


class ElementsData(_Mining):
    """Questions about chemical elements, with capitals as the other domain; needs no files."""

    reader: Literal["elements"]


class JsonlData(_Mining):
    """Questions from JSONL files, one question a line."""

    reader: Literal["jsonl"]
    source: Path = Field(description="file of the questions whose mistakes are trained on")
    heldout: Path | None = Field(
        None, description="file of other questions of the same domain, never trained on"
    )
    ood: Path | None = Field(
        None, description="file of questions of other domains, never trained on"
    )


DataConfig = Annotated[ElementsData | JsonlData, Field(discriminator="reader")]
