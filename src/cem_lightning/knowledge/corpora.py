"""Local corpora: documents from JSONL, from Parquet, from folders of text, or about the elements.

Reads and names problems; searching and cutting are the business of `bm25` and `cutting`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cem_lightning.errors import UserError, nearest
from cem_lightning.knowledge.config import LocalKnowledge
from cem_lightning.knowledge.folders import SUFFIXES as TEXT
from cem_lightning.knowledge.folders import folder_documents
from cem_lightning.knowledge.parquet import SUFFIXES as PARQUET
from cem_lightning.knowledge.parquet import parquet_rows
from cem_lightning.knowledge.records import Document
from cem_lightning.questions.lines import json_rows, other_form, refuse
from cem_lightning.questions.tables import SUFFIXES as TABLES
from cem_lightning.storage.digests import digest_value

_KEY = "knowledge.corpus"
_OPTIONAL = ("id", "title", "origin", "licence")
_FORMS = "a JSONL or Parquet file with a field 'text', or a folder of .txt and .md files"


@dataclass(frozen=True)
class Corpus:
    """Documents in a fixed order, with ids of their own.

    Attributes:
        sought: how many of the first documents were fetched because of the mistakes; they are no
            chance find, and the control is drawn from the others.
    """

    documents: tuple[Document, ...]
    sought: int = 0

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all documents in order."""
        return digest_value([asdict(document) for document in self.documents])


def read_corpus(config: LocalKnowledge) -> Corpus:
    """The corpus that a config names.

    Raises:
        UserError: if it is missing or holds no text, or naming every line, row and file that
            cannot be used.
    """
    if config.corpus == "elements":
        from cem_lightning.knowledge import elements

        return Corpus(tuple(elements.documents()))
    path = Path(config.corpus).expanduser()
    problems: list[str] = []
    if path.is_dir():
        documents, problems = folder_documents(path)
    elif not path.exists():
        hint = nearest(config.corpus, ["elements"])
        raise UserError(f"{_KEY}: {config.corpus} does not exist{hint}; give 'elements', {_FORMS}.")
    elif path.suffix.lower() in PARQUET:
        rows = parquet_rows(path, _KEY, problems, "text", _OPTIONAL)
        documents = _documents(
            path, "row", (({"text": ""} | row, at) for at, row in rows), problems
        )
    elif path.is_file() and (told := _other_form(path)) is not None:
        raise UserError(f"{_KEY}: {config.corpus}: {told}.")
    else:
        read = json_rows(path, _KEY, problems)
        documents = _documents(path, "line", ((row, at) for at, row in read), problems)
    if problems:
        refuse("The corpus", problems)
    if not documents:
        parts = sum(each.suffix.lower() in PARQUET for each in path.rglob("*"))
        raise UserError(
            f"{_KEY}: {config.corpus} holds no text; "
            + (
                f"its {parts} Parquet files are read one at a time: give one, or all as one "
                "(pyarrow.parquet.write_table(pyarrow.parquet.read_table(FOLDER), FILE))."
                if parts
                else f"give {_FORMS}."
            )
        )
    return Corpus(tuple(documents))


def _other_form(path: Path) -> str | None:
    """What to do with a file whose ending says that it is no JSONL; else None."""
    ending = path.suffix.lower()
    if ending in TEXT:
        return f"a single {ending} file is not read; give its folder"
    if ending in TABLES:
        return f"{ending} is not read as a corpus; give {_FORMS}"
    return other_form(path)


def _documents(
    path: Path, unit: str, rows: Iterable[tuple[dict[str, Any], int]], problems: list[str]
) -> list[Document]:
    """The documents of numbered rows; blank texts are left out."""
    documents: list[Document] = []
    numbers: dict[str, int] = {}
    for row, number in rows:
        place = f"{path}, {unit} {number}"
        wrong = [
            f"{place}: '{key}' is not text; write a text or leave it out"
            for key in _OPTIONAL
            if row.get(key) is not None and not isinstance(row[key], str)
        ]
        if "text" not in row:
            wrong.append(f"{place}: 'text' is missing{nearest('text', row)}")
        elif not isinstance(row["text"], str):
            wrong.append(f"{place}: 'text' is not text; write a string")
        if wrong:
            problems.extend(wrong)
        elif row["text"].strip():
            document = _document(row, default_id=f"{path.name}:{number}")
            if document.id in numbers:
                problems.append(
                    f"{place}: the id {document.id!r} is already that of {unit} "
                    f"{numbers[document.id]}; give every document its own"
                )
            numbers.setdefault(document.id, number)
            documents.append(document)
    return documents


def _document(row: dict[str, Any], default_id: str) -> Document:
    given = {key: row[key] for key in _OPTIONAL if row.get(key)}
    text = unicodedata.normalize("NFC", row["text"].strip())
    return Document(**({"id": default_id} | given | {"text": text}))
