"""Folders that are made once and kept for whoever needs them next, such as an index.

Unlike a result of the store, one is read in place, by several processes at a time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cem_lightning.storage.atomic import publish_folder, write_json
from cem_lightning.storage.digests import digest_path
from cem_lightning.storage.store import lock_of

FILES = "files.json"  # what the folder held when it was whole


def kept_folder(folder: Path, make: Callable[[Path], bool]) -> bool:
    """See that `folder` is there as it was made; made now if it is missing or was damaged.

    Whoever wants the same at the same time waits, and whoever is killed leaves nothing that could
    be taken for whole.

    Args:
        make: writes the files into a folder that it is given; whether there is anything to keep.

    Returns:
        Whether there is; nothing is left behind otherwise.
    """
    with lock_of(folder):
        if _is_whole(folder):
            return True
        work = folder.with_name(f".{folder.name}.work")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            if not make(work):
                return False
            found = {each.name: _traits(each) for each in sorted(work.iterdir())}
            write_json(work / FILES, found)
            if folder.is_file():
                folder.unlink()
            publish_folder(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return True


def _traits(path: Path) -> dict[str, Any]:
    state = path.stat()
    return {"bytes": state.st_size, "changed": state.st_mtime_ns, "digest": digest_path(path)}


def _is_whole(folder: Path) -> bool:
    """Whether the files are those that were made; those put there later are not looked at."""
    try:
        files = json.loads((folder / FILES).read_text(encoding="utf-8"))
        return all(_is_unchanged(folder / name, traits) for name, traits in files.items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _is_unchanged(path: Path, traits: dict[str, Any]) -> bool:
    state = path.stat()
    if state.st_size != traits["bytes"]:
        return False
    return bool(state.st_mtime_ns == traits["changed"] or digest_path(path) == traits["digest"])
