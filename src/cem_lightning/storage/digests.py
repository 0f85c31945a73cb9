"""Digests of values, files and folders: what results are keyed by and compared with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def digest_value(value: Any) -> str:
    """SHA-256 of a value's canonical JSON (sorted keys, no spaces), as hexadecimal digits."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_path(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files below a folder."""
    if path.is_file():
        return digest_file(path)
    files = sorted(each for each in path.rglob("*") if each.is_file())
    return digest_value([[str(each.relative_to(path)), digest_file(each)] for each in files])
