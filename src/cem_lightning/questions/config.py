"""Which questions a run asks and how many of them a round mines.

Describes the choice only; files are read by `pools` and the modules it calls.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cem_lightning.settings import Settings

PublishedName = Literal["xiezhi", "mmlu", "ceval", "cmmlu"]


class _Mining(Settings):
    """What every source of questions has in common: how rounds draw on the source pool."""

    mine: Literal["fresh", "same"] = Field(
        "fresh",
        description="which source questions a round mines: the next slice, or always all of them",
    )
    slice: int = Field(gt=0, description="source questions that a round mines if fresh; questions")


class ElementsData(_Mining):
    """Questions about chemical elements, with capitals as the other domain; needs no files."""

    reader: Literal["elements"]


class JsonlData(_Mining):
    """Questions from the user's files, JSONL or (.csv, .tsv) tables, one question a row."""

    reader: Literal["jsonl"]
    source: Path = Field(description="file of the questions whose mistakes are trained on")
    heldout: Path | None = Field(
        None, description="file of other questions of the same domain, never trained on"
    )
    heldout_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of `source` that is held out, drawn by the seed, where `heldout` is "
        "null; 0 to 1",
    )
    ood: Path | None = Field(
        None, description="file of questions of other domains, never trained on"
    )


class PublishedData(_Mining):
    """A published set of questions, as its authors hand it out."""

    reader: PublishedName
    path: Path | None = Field(None, description="file or folder of the source questions")
    heldout: Path | None = Field(
        None, description="file or folder of the same form, never trained on"
    )
    heldout_share: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="share of `path` that is held out, drawn by the seed, where `heldout` is "
        "null; 0 to 1",
    )
    ood: Path | None = Field(
        None, description="file or folder of questions of other domains, never trained on"
    )
    ood_reader: Literal["jsonl", "xiezhi", "mmlu", "ceval", "cmmlu"] = Field(
        "jsonl", description="the form of `ood`: a published set's, or the user's own JSONL or CSV"
    )
    subjects: tuple[str, ...] | None = Field(
        None, min_length=1, description="subjects to ask about; null asks about all"
    )


class XiezhiData(PublishedData):
    """Xiezhi (Gu et al., arXiv 2306.05783): JSON lines with options, answer text and labels."""

    reader: Literal["xiezhi"]


class MmluData(PublishedData):
    """MMLU (Hendrycks et al., arXiv 2009.03300): a CSV without a header for each subject."""

    reader: Literal["mmlu"]


class CevalData(PublishedData):
    """C-Eval (Huang et al., arXiv 2305.08322): a CSV for each subject; test has no answers."""

    reader: Literal["ceval"]


class CmmluData(PublishedData):
    """CMMLU (Li et al., arXiv 2306.09212): a CSV for each subject."""

    reader: Literal["cmmlu"]


class Columns(Settings):
    """Which column of a `datasets` table holds what."""

    question: str = Field("question", description="column of the stem")
    choices: str | tuple[str, ...] | None = Field(
        "choices",
        description="column of a list of choices, or a list of columns, one a choice; null for "
        "short-answer questions",
    )
    answer: str = Field("answer", description="column of a position from 0, a letter or a text")
    id: str | None = Field(None, description="column of a text or number of each question's own")
    subject: str | None = Field(None, description="column by which results are broken down")
    cluster: str | None = Field(
        None, description="column whose equal values say that questions are not independent"
    )
    blind: str | None = Field(None, description="column of the stem with its subject masked")


class DatasetsData(_Mining):
    """Questions from any data set that the package `datasets` can load."""

    reader: Literal["datasets"]
    path: str = Field(min_length=1, description="hub id, or a folder that `datasets` saved")
    name: str | None = Field(None, description="configuration of the data set; null if it has one")
    split: str = Field("train", description="split of the source questions")
    heldout_split: str | None = Field(
        None, description="split of the same domain, never trained on"
    )
    heldout_share: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="share of `split` that is held out, drawn by the seed, where `heldout_split` "
        "is null; 0 to 1",
    )
    ood_split: str | None = Field(None, description="split of other domains, never trained on")
    columns: Columns = Field(description="which column holds what")


DataConfig = Annotated[
    ElementsData | JsonlData | XiezhiData | MmluData | CevalData | CmmluData | DatasetsData,
    Field(discriminator="reader"),
]
