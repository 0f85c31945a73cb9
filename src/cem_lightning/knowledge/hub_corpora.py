"""A data set that the package `datasets` can load, as documents: of the hub, or saved to disk.

Downloads what is not on the disk yet, as `datasets` does; knows no data set by name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cem_lightning.errors import UserError, nearest
from cem_lightning.knowledge.config import LocalKnowledge
from cem_lightning.knowledge.records import Document
from cem_lightning.knowledge.splitting import LONGEST, packed, paragraphs

PREFIX = "datasets:"
_KEY = "knowledge.corpus"
_SAVED = ("dataset_dict.json", "state.json")  # what save_to_disk leaves in its folder
_SPLIT = "train"


def is_data_set(corpus: str) -> bool:
    """Whether a corpus is for `datasets` to load: it says so, or is a folder that it saved."""
    folder = Path(corpus.partition("#")[0]).expanduser()
    return corpus.startswith(PREFIX) or any((folder / name).exists() for name in _SAVED)


def open_table(config: LocalKnowledge) -> Any:
    """The table that a config names as ID, ID:CONFIGURATION or a folder, with its split after #.

    Raises:
        UserError: if it cannot be had, or has no such split or column of texts.
    """
    from datasets import Dataset, load_dataset, load_from_disk
    from datasets.exceptions import DatasetsError
    from huggingface_hub.utils.logging import set_verbosity_error

    # it would tell of every retry, and the error below says it once
    set_verbosity_error()  # type: ignore[no-untyped-call]
    named, _, split = config.corpus.removeprefix(PREFIX).partition("#")
    folder = Path(named).expanduser()
    try:
        if any((folder / name).exists() for name in _SAVED):
            saved = load_from_disk(str(folder))
            if isinstance(saved, Dataset):
                table = saved
            elif (split or _SPLIT) in saved:
                table = saved[split or _SPLIT]
            else:
                raise UserError(
                    f"{_KEY}: {named} has no split {split or _SPLIT!r}; it has {', '.join(saved)}: "
                    "give one of them after #."
                )
        else:
            id, _, name = named.partition(":")
            table = load_dataset(id, name or None, split=split or _SPLIT)
    except (OSError, ValueError, RuntimeError, KeyError, DatasetsError) as error:
        told = " ".join(str(error).split())[:300]
        raise UserError(
            f"{_KEY}: the data set {named} cannot be loaded; give datasets:ID, "
            f"datasets:ID:CONFIGURATION or a folder that save_to_disk left, with a split after #. "
            f"`datasets` says: {told}"
        ) from error
    if config.column not in table.column_names:
        raise UserError(
            f"knowledge.column: {named} has no column {config.column!r}"
            f"{nearest(config.column, table.column_names)}; it has {', '.join(table.column_names)}."
        )
    return table


def documents(table: Any, config: LocalKnowledge) -> Iterator[Document]:
    """The rows in order, long texts cut at paragraphs; blank ones and what is no text left out."""
    named = config.corpus.removeprefix(PREFIX)
    optional = [each for each in ("title", "licence", "url") if each in table.column_names]
    for number, row in enumerate(table.select_columns([config.column, *optional])):
        told = {key: row[key] for key in optional if isinstance(row[key], str)}
        text = row[config.column]
        if not isinstance(text, str) or not text.strip():
            continue
        text = unicodedata.normalize("NFC", text.strip())
        pieces = [text] if len(text) <= LONGEST else packed(paragraphs(text))
        for at, piece in enumerate(pieces, start=1):
            yield Document(
                f"{number}#{at}" if at > 1 else str(number),
                piece,
                told.get("title", ""),
                told.get("url", f"{named}, row {number}"),
                told.get("licence", ""),
            )
