"""Which results of the store a run has used: kept in its folder, and known to the store.

Written before a result is made or read, so that action=prune never takes one from a run at work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cem_lightning.errors import UserError
from cem_lightning.storage.atomic import write_json
from cem_lightning.storage.digests import digest_value

STAGES_FILE = "stages.json"
_RUN_LOCK = ".lock"
REGISTER = ".runs"  # below the store: one file a run folder, with its paths


@dataclass(frozen=True)
class UsedStage:
    """A result that a run names.

    Attributes:
        round: None for what belongs to no round.
    """

    round: int | None
    stage: str
    key: str


class StageLog:
    """Writes ``stages.json`` of one run while it goes on.

    Args:
        folder: the run folder, which the store hears of at once.
    """

    def __init__(self, folder: Path, store_dir: Path) -> None:
        self._path = folder / STAGES_FILE
        try:
            # What an earlier command has made here counts until this one has finished.
            self._earlier = json.loads(self._path.read_text(encoding="utf-8"))["stages"]
        except (OSError, ValueError, LookupError, TypeError):
            self._earlier = []
        self._rows: list[dict[str, Any]] = []
        path = str(folder.resolve())
        # A project that is moved or renamed as a whole is found by the path from its store.
        paths = {"folder": path, "from_store": os.path.relpath(path, store_dir.resolve())}
        write_json(store_dir / REGISTER / _entry_name(path), paths)

    def note(self, round: int | None, stage: str, key: str) -> None:
        """A result that is about to be read or made."""
        row = {"round": round, "stage": stage, "key": key}
        if row not in self._rows:
            self._rows.append(row)
            earlier = [each for each in self._earlier if each not in self._rows]
            self._write(finished=False, rows=[*self._rows, *earlier])

    def finish(self) -> None:
        """The run has ended well: what it has named now is all it needs."""
        self._write(finished=True, rows=self._rows)

    def _write(self, *, finished: bool, rows: list[dict[str, Any]]) -> None:
        write_json(self._path, {"finished": finished, "stages": rows})


@dataclass(frozen=True)
class UsingRun:
    """A run folder with the results it names.

    Attributes:
        finished: its last command has ended well.
        running: a process is at work in it now.
    """

    folder: Path
    finished: bool
    running: bool
    stages: tuple[UsedStage, ...]

    @property
    def last_round(self) -> int:
        """The last round that was trained; 0 if none was."""
        return max((each.round or 0 for each in self.stages if each.stage == "train"), default=0)


@dataclass(frozen=True)
class LostRun:
    """A run folder that is neither there nor deleted: moved by itself, or on a disk that is not in.

    Attributes:
        folder: where it was.
        entry: the file by which the store knows it.
    """

    folder: Path
    entry: Path


def using_runs(store_dir: Path) -> Iterator[UsingRun | LostRun]:
    """The run folders, wherever they lie, that have used this store and were not deleted.

    A folder counts as deleted if the one that it lay in is still there.

    Raises:
        UserError: if the list of one of them, or what the store knows of it, cannot be read.
    """
    for entry in sorted((store_dir / REGISTER).glob("[!.]*")):
        folders = _registered(entry, store_dir)
        folder = next((each for each in folders if each.exists()), None)
        if folder is None:
            if not any(each.parent.exists() for each in folders):
                yield LostRun(folders[-1], entry)
            continue
        path = folder / STAGES_FILE
        if not path.is_file():
            continue
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            stages = tuple(UsedStage(**row) for row in values["stages"])
            finished = bool(values["finished"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UserError(
                f"{path} cannot be read ({type(error).__name__}), so nobody knows what its run "
                "needs. Give that run's command again, or delete its folder."
            ) from error
        yield UsingRun(folder, finished, _locked(folder / _RUN_LOCK), stages)


def _registered(entry: Path, store_dir: Path) -> list[Path]:
    """Where the run folder of an entry may lie, the likeliest place first.

    Raises:
        UserError: if the entry is damaged.
    """
    try:
        text = entry.read_text(encoding="utf-8")
        # an earlier version wrote the absolute path alone
        paths = {"folder": text} if text.startswith("/") else json.loads(text)
        folder = paths["folder"]
        if _entry_name(folder) != entry.name:
            raise ValueError("another path than it was made for")
        places = [folder]
        if "from_store" in paths:
            places.insert(0, os.path.normpath(store_dir.resolve() / paths["from_store"]))
        return [Path(each) for each in places]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{entry} is damaged ({type(error).__name__}), so nobody knows which run folder it "
            "stands for. Delete it, and give the commands of your runs again before you prune: "
            "each writes its entry anew."
        ) from error


def _entry_name(folder: str) -> str:
    return digest_value(folder)[:24]


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """A run folder for this process alone; what its run names stays in the store meanwhile.

    Raises:
        UserError: if another process is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / _RUN_LOCK, timeout=1):  # action=prune looks in for a moment
            yield folder
    except Timeout:
        raise UserError(
            f"run_dir: another process is running in {folder}; wait for it, or set another run_dir."
        ) from None


def _locked(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
