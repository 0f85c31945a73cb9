"""Which results of the store a run has used: kept in its folder, and known to the store.

Written before a result is made or read, so that action=prune never takes one from a run at work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cem_lightning.errors import UserError
from cem_lightning.storage.atomic import write_json, write_text
from cem_lightning.storage.digests import digest_value

STAGES_FILE = "stages.json"
_RUN_LOCK = ".lock"
_REGISTER = ".runs"  # below the store: one file a run folder, with its path


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
        write_text(store_dir / _REGISTER / digest_value(path)[:24], path)

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


def using_runs(store_dir: Path) -> Iterator[UsingRun]:
    """The run folders, wherever they lie, that have used this store and are still there.

    Raises:
        UserError: if the list of one of them cannot be read.
    """
    for entry in sorted((store_dir / _REGISTER).glob("[!.]*")):
        path = Path(entry.read_text(encoding="utf-8")) / STAGES_FILE
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
        yield UsingRun(path.parent, finished, _locked(path.parent / _RUN_LOCK), stages)


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
