"""Rows of a Parquet file that a user wrote, with their numbers and every problem in words.

Reads only the columns a corpus has; what rows mean is the business of `corpora`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cem_lightning.errors import nearest

SUFFIXES = (".parquet", ".pq")


def parquet_rows(
    path: Path, key: str, problems: list[str], required: str, optional: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows one by one, each with its number from 1; null values are left out.

    Args:
        key: the config key that named the file, for messages.
        problems: receives why the file or a column cannot be used.
        required: the text column without which the file is refused.
        optional: text columns that are read where they are there; others are ignored.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if required not in schema.names:
                held = ", ".join(map(repr, schema.names[:12]))
                problems.append(
                    f"{path}: no column {required!r}{nearest(required, schema.names) or ';'} the "
                    f"columns are {held}; name the one that holds the texts by knowledge.column"
                )
                return
            columns = [name for name in (required, *optional) if name in schema.names]
            wrong = [
                f"{path}: the column {name!r} holds {schema.field(name).type}; make it a column "
                "of strings" + ("" if name == required else ", or leave it out")
                for name in columns
                if not _is_text(schema.field(name).type)
            ]
            if wrong:
                problems.extend(wrong)
                return
            number = 0
            for batch in file.iter_batches(columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield number, {name: each for name, each in row.items() if each is not None}
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, OSError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        problems.append(f"{key}: {path} cannot be read as Parquet ({told}); write it anew")


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    while pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )
