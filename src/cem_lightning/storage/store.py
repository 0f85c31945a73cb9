"""The store of finished stages: a result is found by the digest of all that made it.

Knows nothing of what the stages do. A result appears by one rename, so a killed stage leaves
nothing behind that could be taken for finished; the lock is the kernel's and dies with its owner.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cem_lightning.storage.atomic import publish_folder, write_json
from cem_lightning.storage.digests import digest_path, digest_value

RECORD = "record.json"
_AT_ONCE = 1.0  # seconds: whoever waits longer for another process is told so


@dataclass(frozen=True)
class Part:
    """A file or folder that a stage reads, with the digest of its content."""

    path: Path
    digest: str


@dataclass(frozen=True)
class Result:
    """A finished stage.

    Attributes:
        folder: where its files lie.
        reused: it was in the store already.
        record: what the stage said of itself, with "seconds" and "digests" of its files.
    """

    folder: Path
    reused: bool
    record: dict[str, Any]

    def part(self, name: str) -> Part:
        """One of the files or folders the stage has written."""
        return Part(self.folder / name, self.record["digests"][name])

    @property
    def key(self) -> str:
        """What the store finds it by."""
        return self.folder.name

    @property
    def seconds(self) -> float:
        """How long the stage took when it ran."""
        return float(self.record["seconds"])


class Store:
    """Results under ``root/<stage>/<key>``.

    Args:
        root: the folder; created when the first result is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def key(self, stage: str, key_parts: Mapping[str, Any]) -> str:
        """The key of `stage` for these `key_parts`: 24 hexadecimal digits."""
        return digest_value({"stage": stage, **key_parts})[:24]

    def get_or_run(
        self,
        stage: str,
        key_parts: Mapping[str, Any],
        run: Callable[[Path], dict[str, Any]],
        *,
        waiting: Callable[[], None] = lambda: None,
    ) -> Result:
        """The result of `stage` for these `key_parts`, run now if it is not there yet.

        Args:
            key_parts: everything the result depends on, as plain JSON values.
            run: writes the result's files into the folder it is given and returns the record.
                An exception leaves the store as it was, but for the folder `kept_for` names, in
                which a stage may keep what it goes on from.
            waiting: called once if another process is at work on the same result.
        """
        key = self.key(stage, key_parts)
        final = self.root / stage / key
        final.parent.mkdir(parents=True, exist_ok=True)
        with _held(lock_of(final), waiting):
            if (stored := _whole_record(final)) is not None:
                return Result(final, True, stored)
            work = final.with_name(f".{key}.work")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            try:
                record = run(work)
                record = {**record, "key": dict(key_parts), "digests": _digests(work)}
                write_json(work / RECORD, record)
                publish_folder(work, final)
                shutil.rmtree(kept_for(final), ignore_errors=True)
            except BaseException:
                shutil.rmtree(work, ignore_errors=True)
                raise
            return Result(final, False, record)


def kept_for(folder: Path) -> Path:
    """Where the unfinished stage whose result will be `folder` keeps what it goes on from."""
    return folder.with_name(f".{folder.name}.kept")


def lock_of(folder: Path, timeout: float = -1) -> FileLock:
    """The lock of the result in `folder`; a negative timeout (in seconds) waits for ever."""
    return FileLock(folder.with_name(f".{folder.name}.lock"), timeout=timeout)


@contextmanager
def _held(lock: FileLock, waiting: Callable[[], None]) -> Iterator[None]:
    try:
        lock.acquire(timeout=_AT_ONCE)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def remove(folder: Path) -> None:
    """Take a result away; whoever is killed in this leaves no half of it.

    The caller holds its lock.
    """
    _take_away(folder, folder)


def free_part(folder: Path, name: str) -> None:
    """Free the space of one part of the result in `folder`, and keep the rest and all digests.

    Whoever asks for the result still finds it; whoever wants to read the part must make it anew.
    The caller holds the result's lock.
    """
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    record["freed"] = sorted({*record.get("freed", ()), name})
    beside = folder.with_name(f".{folder.name}.record")  # within, it would count as a part
    write_json(beside, record)
    beside.replace(folder / RECORD)
    if (folder / name).exists():
        _take_away(folder / name, folder)


def freed_parts(folder: Path) -> list[str]:
    """The parts of the result in `folder` whose space was freed."""
    record = read_record(folder) or {}
    return list(record.get("freed", ()))


def read_record(folder: Path) -> dict[str, Any] | None:
    """What the stage in `folder` said of itself, or None if there is nothing or it is damaged."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        whole = (
            isinstance(record["digests"], dict)
            and isinstance(record["seconds"], int | float)
            and isinstance(record.get("freed", []), list)
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return record if whole else None


def _take_away(path: Path, result: Path) -> None:
    """Rename first, since a folder is deleted file by file."""
    gone = result.with_name(f".{result.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)  # what is left of one killed here
    path.rename(gone)
    shutil.rmtree(gone)


def _digests(folder: Path) -> dict[str, str]:
    """Digests of the files and folders of a result, without its record."""
    return {
        each.name: digest_path(each) for each in sorted(folder.iterdir()) if each.name != RECORD
    }


def _whole_record(folder: Path) -> dict[str, Any] | None:
    """The record of a stored result, or None if there is none or its files are not as written."""
    record = read_record(folder)
    if record is None:
        return None
    freed = record.get("freed", ())
    try:
        found, said = (
            {name: each for name, each in digests.items() if name not in freed}
            for digests in (_digests(folder), record["digests"])
        )
    except OSError:
        return None
    return record if found == said else None
