"""Local corpora: from JSONL, Parquet, folders of text and dumps, or about the elements.

Reads and names problems; searching and cutting are the business of `ranking` and `cutting`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Never

from cem_lightning.errors import UserError, nearest
from cem_lightning.knowledge.config import Filters, LocalKnowledge
from cem_lightning.knowledge.dump import dump_documents, is_dump
from cem_lightning.knowledge.folders import SUFFIXES as TEXT
from cem_lightning.knowledge.folders import folder_documents
from cem_lightning.knowledge.hub_corpora import documents, is_data_set, open_table
from cem_lightning.knowledge.parquet import SUFFIXES as PARQUET
from cem_lightning.knowledge.parquet import parquet_rows
from cem_lightning.knowledge.ranking import Index, build_index, is_indexed
from cem_lightning.knowledge.records import Document
from cem_lightning.knowledge.stored import StoredDocuments, keep
from cem_lightning.progress import Progress, SilentProgress
from cem_lightning.questions.lines import json_rows, other_form, refuse
from cem_lightning.questions.tables import SUFFIXES as TABLES
from cem_lightning.storage.digests import digest_path, digest_value

_KEY = "knowledge.corpus"
_OPTIONAL = ("id", "title", "origin", "licence")
_FORMS = (
    "a JSONL or Parquet file with a field 'text', a folder of .txt, .md and .html files, or the "
    "dump of a Wikipedia (.xml, .xml.bz2, .xml.gz)"
)
_LARGE = 2**24  # bytes of files from which a corpus is kept instead of held in memory
_VERSION = 1  # of what is read from the same files; kept corpora of another are not found


@dataclass(frozen=True)
class Unfetched:
    """What was found but did not come, and why.

    Attributes:
        query: number of the query it was found for; None if that is not known.
    """

    address: str
    reason: str
    detail: str
    query: int | None = None


@dataclass(frozen=True)
class Corpus:
    """Documents in a fixed order, with ids of their own.

    Attributes:
        sought: how many of the first documents were fetched because of the mistakes; they are no
            chance find, and the control is drawn from the others.
        unfetched: what was found for the mistakes beside these documents, but did not come.
        code: digest of a class of the user's own that they come from; "" for what is built in.
    """

    documents: Sequence[Document]
    sought: int = 0
    unfetched: tuple[Unfetched, ...] = ()
    code: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all documents in order, and over the code that makes them, if any."""
        if isinstance(self.documents, StoredDocuments):
            digest = self.documents.digest
        else:
            digest = digest_value([asdict(document) for document in self.documents])
        return digest_value([digest, self.code]) if self.code else digest

    def index(self, config: Filters) -> Index:
        """The documents ready to be searched; of a stored corpus the index is stored as well."""
        kept = self.documents.folder if isinstance(self.documents, StoredDocuments) else None
        return build_index(self.documents, config, kept)


def read_corpus(config: LocalKnowledge, progress: Progress | None = None) -> Corpus:
    """The corpus that a config names; a large one is parsed once and then kept in its cache.

    Args:
        progress: told while one is parsed to be kept.

    Raises:
        UserError: if it is missing or holds no text, or naming every line, row and file that
            cannot be used.
    """
    if config.corpus == "elements":
        from cem_lightning.knowledge import elements

        return Corpus(elements.documents())
    if is_data_set(config.corpus):
        return _data_set(config, progress or SilentProgress())
    path = Path(config.corpus).expanduser()
    if not path.exists():
        hint = nearest(config.corpus, ["elements"])
        raise UserError(f"{_KEY}: {config.corpus} does not exist{hint}; give 'elements', {_FORMS}.")
    if not (path.is_file() or path.is_dir()):
        raise UserError(f"{_KEY}: {config.corpus} is no file or folder; give {_FORMS}.")
    dump = path.is_file() and is_dump(path)
    if path.is_file() and not dump and (told := _other_form(path)) is not None:
        raise UserError(f"{_KEY}: {config.corpus}: {told}.")
    if not dump and _size(path) < _LARGE:  # a packed one is many times larger than its file
        held = tuple(_read(path, config.column))
        return Corpus(held) if held else _refuse_empty(config, path)
    parts = [_VERSION, config.column, "" if path.is_dir() else path.name]
    name = digest_value([*parts, digest_path(path, config.cache / "digests")])[:24]
    folder = _corpora(config) / name
    progress = progress or SilentProgress()
    if not _keep(lambda: _read(path, config.column), folder, progress):
        _refuse_empty(config, path)
    return _indexed(Corpus(StoredDocuments(folder)), config, progress)


def _data_set(config: LocalKnowledge, progress: Progress) -> Corpus:
    table = open_table(config)
    parts = [_VERSION, config.corpus, config.column, table._fingerprint]
    folder = _corpora(config) / digest_value(parts)[:24]
    if not _keep(lambda: documents(table, config), folder, progress):
        raise UserError(
            f"{_KEY}: {config.corpus} holds no text in the column {config.column!r}; name "
            "another by knowledge.column."
        )
    return _indexed(Corpus(StoredDocuments(folder)), config, progress)


def _corpora(config: LocalKnowledge) -> Path:
    """Where corpora are kept."""
    folder = config.cache / "corpora"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"knowledge.cache: {config.cache} cannot be written ({error.strerror}); name another "
            "folder."
        ) from None
    return folder


def _keep(read: Callable[[], Iterable[Document]], folder: Path, progress: Progress) -> bool:
    def counted() -> Iterator[Document]:
        with progress.stage("read the corpus, once", unit="documents") as task:
            for each in read():
                yield each
                task.advance()

    return keep(counted, folder)


def _indexed(corpus: Corpus, config: LocalKnowledge, progress: Progress) -> Corpus:
    """A stored corpus with its index beside it, whose making takes longer than a search."""
    assert isinstance(corpus.documents, StoredDocuments)
    if not is_indexed(corpus.documents.folder, config):
        with progress.stage("index the corpus, once"):
            corpus.index(config)
    return corpus


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(each.stat().st_size for each in files if each.is_file())


def _read(path: Path, column: str) -> Iterator[Document]:
    """The documents of a path, one after the other; at the end all that cannot be read."""
    problems: list[str] = []
    if path.is_dir():
        yield from folder_documents(path, problems)
    elif is_dump(path):
        yield from dump_documents(path)
    elif path.suffix.lower() in PARQUET:
        rows = parquet_rows(path, _KEY, problems, column, _OPTIONAL)
        numbered = (({column: ""} | row, at) for at, row in rows)
        yield from _documents(path, "row", numbered, column, problems)
    else:
        read = ((row, at) for at, row in json_rows(path, _KEY, problems))
        yield from _documents(path, "line", read, column, problems)
    if problems:
        refuse("The corpus", problems)


def _refuse_empty(config: LocalKnowledge, path: Path) -> Never:
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


def _other_form(path: Path) -> str | None:
    """What to do with a file whose ending says that it is no JSONL; else None."""
    ending = path.suffix.lower()
    if ending in PARQUET:
        return None
    if ending in TEXT:
        return f"a single {ending} file is not read; give its folder"
    if ending in TABLES:
        return f"{ending} is not read as a corpus; give {_FORMS}"
    return other_form(path)


def _documents(
    path: Path,
    unit: str,
    rows: Iterable[tuple[dict[str, Any], int]],
    column: str,
    problems: list[str],
) -> Iterator[Document]:
    """The documents of numbered rows; blank texts are left out."""
    numbers: dict[str, int] = {}
    for row, number in rows:
        place = f"{path}, {unit} {number}"
        wrong = [
            f"{place}: '{key}' is not text; write a text or leave it out"
            for key in _OPTIONAL
            if row.get(key) is not None and not isinstance(row[key], str)
        ]
        if column not in row:
            wrong.append(f"{place}: '{column}' is missing{nearest(column, row)}")
        elif not isinstance(row[column], str):
            wrong.append(f"{place}: '{column}' is not text; write a string")
        if wrong:
            problems.extend(wrong)
        elif row[column].strip():
            text = unicodedata.normalize("NFC", row[column].strip())
            given = {key: row[key] for key in _OPTIONAL if row.get(key)}
            document = Document(**({"id": f"{path.name}:{number}"} | given | {"text": text}))
            if document.id in numbers:
                problems.append(
                    f"{place}: the id {document.id!r} is already that of {unit} "
                    f"{numbers[document.id]}; give every document its own"
                )
            numbers.setdefault(document.id, number)
            yield document
