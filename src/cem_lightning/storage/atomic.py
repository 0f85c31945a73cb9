"""Files and folders that appear whole or not at all, whatever kills the writer.

Written beside the target, flushed to disk, then renamed; a rename within a folder is atomic.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step, creating its folder."""
    _write(path, (data,))


def _write(path: Path, parts: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by UTF-8 `text` in one step."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by indented JSON in one step; NaN is refused, since it is not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Replace `path` by one JSON value a line in one step, one row after the other in memory."""
    _write(path, ((json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows))


def read_jsonl(path: Path) -> list[Any]:
    """The values of a file written by `write_jsonl`."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def publish_folder(work: Path, final: Path) -> None:
    """Make the finished folder `work` appear as `final`, its files safely on disk first."""
    for path in work.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            _sync_folder(path)
    _sync_folder(work)
    if final.exists():
        shutil.rmtree(final)
    work.rename(final)
    _sync_folder(final.parent)


def _sync_folder(folder: Path) -> None:
    """Put a folder's entries on disk: without it a rename may be lost when the power goes."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
