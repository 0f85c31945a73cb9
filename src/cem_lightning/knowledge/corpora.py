"""Local corpora: documents from JSONL, from folders of text, or about the elements.

Reads and names problems; searching and cutting are the business of `bm25` and `cutting`.
"""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cem_lightning.errors import UserError, nearest
from cem_lightning.knowledge.config import KnowledgeConfig
from cem_lightning.knowledge.records import Document
from cem_lightning.questions.lines import read_rows, refuse
from cem_lightning.storage.digests import digest_value

SUFFIXES = (".txt", ".md")
_OPTIONAL = ("id", "title", "origin", "licence")


@dataclass(frozen=True)
class Corpus:
    """Documents in a fixed order, with ids of their own."""

    documents: tuple[Document, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all documents in order."""
        return digest_value([asdict(document) for document in self.documents])


def read_corpus(config: KnowledgeConfig) -> Corpus:
    """The corpus that a config names.

    Raises:
        UserError: if it is missing or holds no text, or naming every line and file that cannot
            be used.
    """
    if config.corpus == "elements":
        from cem_lightning.knowledge import elements

        return Corpus(tuple(elements.documents()))
    path = Path(config.corpus).expanduser()
    if path.is_dir():
        documents, problems = _from_folder(path)
    elif path.exists():
        documents, problems = _from_jsonl(path)
    else:
        hint = nearest(config.corpus, ["elements"])
        raise UserError(
            f"knowledge.corpus: {config.corpus} does not exist{hint}; give 'elements', a JSONL "
            "file or a folder of .txt and .md files."
        )
    if problems:
        refuse("The corpus", problems)
    if not documents:
        raise UserError(
            f"knowledge.corpus: {config.corpus} holds no text; give a JSONL file with a field "
            "'text' or a folder of .txt and .md files."
        )
    return Corpus(tuple(documents))


def _from_jsonl(path: Path) -> tuple[list[Document], list[str]]:
    read = read_rows(path, "knowledge.corpus")
    problems = list(read.problems)
    documents: list[Document] = []
    lines: dict[str, int] = {}
    for number, row in read.rows:
        place = f"{path}, line {number}"
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
            if document.id in lines:
                problems.append(
                    f"{place}: the id {document.id!r} is already that of line "
                    f"{lines[document.id]}; give every document its own"
                )
            lines.setdefault(document.id, number)
            documents.append(document)
    return documents, problems


def _document(row: dict[str, Any], default_id: str) -> Document:
    given = {key: row[key] for key in _OPTIONAL if row.get(key)}
    text = unicodedata.normalize("NFC", row["text"].strip())
    return Document(**({"id": default_id} | given | {"text": text}))


def _from_folder(folder: Path) -> tuple[list[Document], list[str]]:
    documents: list[Document] = []
    problems: list[str] = []
    for path in sorted(folder.rglob("*"), key=lambda each: each.relative_to(folder).as_posix()):
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            problems.append(f"{path}, line {line}: not UTF-8; save the file as UTF-8")
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror})")
        else:
            row = {"text": text.replace("\r\n", "\n"), "title": path.stem, "origin": name}
            if text.strip():
                documents.append(_document(row, default_id=name))
    return documents, problems
