"""Where passages come from, how long they are, and what is not let in."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class KnowledgeConfig(BaseModel):
    """The corpus and the filters between it and the training set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: str = Field(
        description="'elements', or the path of a JSONL file (field text; optional id, title, "
        "origin, licence) or of a folder of .txt and .md files",
    )
    passages: int = Field(gt=0, description="most passages for a mistake")
    passage_tokens: int = Field(gt=0, description="longest passage; tokens of the model")
    min_score: float = Field(
        ge=0,
        lt=1,
        description="least relevance: BM25 score as a share of the score that no document can "
        "exceed for the query (the sum of its words' inverse document frequencies)",
    )
    near_duplicate: float = Field(
        gt=0,
        le=1,
        description="passages are copies from this Jaccard similarity of their 5-word shingles on",
    )
    leak_threshold: float = Field(
        ge=0,
        le=1,
        description="a run refuses if more than this share of the retrieved passages held "
        "questions of heldout or ood",
    )
