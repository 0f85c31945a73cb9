"""Digests of values, files and folders: what results are keyed by and compared with."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from cem_lightning.storage.atomic import write_json

_LARGE = 2**24  # bytes from which a file's digest is worth remembering
_SETTLED = 2 * 10**9  # nanoseconds; no file system we know has coarser times


def digest_value(value: Any) -> str:
    """SHA-256 of a value's canonical JSON (sorted keys, no spaces), as hexadecimal digits."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def changed_keys(before: Any, after: Any, key: str = "") -> list[str]:
    """Dotted keys in which two plain configurations differ, with both values."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for name in sorted({*before, *after})
            for line in changed_keys(
                before.get(name), after.get(name), f"{key}.{name}" if key else name
            )
        ]
    return [] if before == after else [f"{key}: {before!r} there, {after!r} now"]


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_path(path: Path, memory: Path | None = None) -> str:
    """SHA-256 of a file, or of the names and contents of all files below a folder.

    Args:
        memory: a folder where digests of large files are remembered, so that a model of many
            gigabytes is read once and not at every start. What is remembered of a file holds as
            long as it has the size, the times and the place on disk it had when it was read.
    """
    if path.is_file():
        return _remembered(path, memory) if memory is not None else digest_file(path)
    files = sorted(each for each in path.rglob("*") if each.is_file())
    return digest_value(
        [[_name(each.relative_to(path)), digest_path(each, memory)] for each in files]
    )


def _name(path: Path) -> str:
    """A path as text, also where it is no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _remembered(path: Path, memory: Path) -> str:
    before = _identity(path)
    if before["size"] < _LARGE:
        return digest_file(path)
    note = memory / f"{digest_value(str(path.resolve()))[:24]}.json"
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["file"] == before:
            return str(known["sha256"])
    except (OSError, ValueError, LookupError, TypeError):
        pass  # not read yet, or the note is damaged
    digest = digest_file(path)
    # A file changed within the tick of its clock looks as before, so a fresh one is read again.
    settled = time.time_ns() - max(before["modified"], before["changed"]) > _SETTLED
    if settled and _identity(path) == before:
        write_json(note, {"file": before, "sha256": digest})
    return digest


def _identity(path: Path) -> dict[str, int]:
    """What changes when a file's content does; nobody can set the time of change."""
    found = path.stat()
    return {
        "size": found.st_size,
        "modified": found.st_mtime_ns,
        "changed": found.st_ctime_ns,
        "inode": found.st_ino,
        "device": found.st_dev,
    }
