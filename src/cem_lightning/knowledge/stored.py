"""Documents of a corpus on disk, in an Arrow file that is memory-mapped: read once, kept for good.

A user can open the file with ``datasets.Dataset.from_file``. What the documents are is the business
of `corpora`, how they are searched that of `ranking`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path
from typing import Any, overload

from cem_lightning.knowledge.records import Document
from cem_lightning.storage.atomic import write_json
from cem_lightning.storage.kept import kept_folder

FILE, NOTE = "documents.arrow", "corpus.json"
_BATCH = 1024  # documents in memory at a time


class StoredDocuments(Sequence[Document]):
    """The documents below a folder that `keep` has written.

    Attributes:
        digest: SHA-256 over all documents in order.
    """

    def __init__(self, folder: Path) -> None:
        from datasets import Dataset

        self.folder = folder
        self.digest: str = json.loads((folder / NOTE).read_text(encoding="utf-8"))["digest"]
        self._rows: Any = Dataset.from_file(str(folder / FILE))

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> Document: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Document, ...]: ...
    def __getitem__(self, at: int | slice) -> Document | tuple[Document, ...]:
        if isinstance(at, slice):
            return tuple(self[each] for each in range(*at.indices(len(self))))
        return Document(**self._rows[at])

    def __iter__(self) -> Iterator[Document]:
        for start in range(0, len(self), _BATCH):
            columns = self._rows[start : start + _BATCH]
            for values in zip(*columns.values(), strict=True):
                yield Document(**dict(zip(columns, values, strict=True)))


def keep(documents: Callable[[], Iterable[Document]], folder: Path) -> bool:
    """See that documents are stored in `folder`; written there as they come if they are not.

    Returns:
        Whether there are any; the folder appears whole or not at all.
    """
    return kept_folder(folder, lambda work: _write(documents(), work))


def _write(documents: Iterable[Document], folder: Path) -> bool:
    import pyarrow as pa

    names = [each.name for each in fields(Document)]
    schema = pa.schema([(name, pa.large_string()) for name in names])
    digest, count = hashlib.sha256(), 0
    with pa.OSFile(str(folder / FILE), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        rest = iter(documents)
        while rows := [asdict(each) for each in islice(rest, _BATCH)]:
            digest.update(json.dumps(rows, ensure_ascii=False).encode())
            stream.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
            count += len(rows)
    write_json(folder / NOTE, {"documents": count, "digest": digest.hexdigest()})
    return count > 0
