"""Frees a store: results that nobody wants, and what killed processes have left there.

Which results are wanted is told by the caller; what is locked is in use and stays.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import Timeout

from cem_lightning.storage.store import (
    RECORD,
    free_part,
    freed_parts,
    kept_for,
    lock_of,
    read_record,
    remove,
)

Verdict = Literal["keep", "free weights", "remove"]

_KEY = "[0-9a-f]{24}"
_RESULT = re.compile(_KEY)
# What `store` leaves beside a result when it is killed; the last is of an unfinished record.
_BESIDE = re.compile(
    rf"\.({_KEY})\.(?:lock|work|kept|gone|record)|\.\.({_KEY})\.record\.[0-9a-f]{{8}}"
)
_WEIGHTS = "weights"


@dataclass(frozen=True)
class Pruned:
    """What pruning did to the results of one stage.

    Attributes:
        kept: results that are whole.
        lightened: results that are kept without their weights, the earlier ones included.
        removed: results taken away.
        busy: results left alone since a process holds their lock.
        freed: bytes on disk set free, left-overs of killed processes included.
        left: bytes on disk that remain.
    """

    stage: str
    kept: int
    lightened: int
    removed: int
    busy: int
    freed: int
    left: int


def prune_store(
    root: Path, stages: Sequence[str], decide: Callable[[str, str], Verdict]
) -> list[Pruned]:
    """Go through all results below `root`, each under its lock.

    What a store does not write itself is left alone, wherever it lies.

    Args:
        stages: the names that results are kept under; other folders are not looked into.
        decide: given stage and key, says what becomes of a result, or of what its stage has kept
            to go on from if it is unfinished. Asked while the result is locked, so that an answer
            that looks at the runs of this moment stays true until the result is gone.
    """
    folders = (root / stage for stage in sorted(stages))
    return [_prune_stage(each, decide) for each in folders if each.is_dir()]


def disk_usage(path: Path) -> int:
    """Bytes that a file, or a folder with all below it, takes on disk; 0 if it is not there."""
    try:
        size = path.lstat().st_blocks * 512
        if path.is_dir() and not path.is_symlink():
            size += sum(disk_usage(Path(each.path)) for each in os.scandir(path))
    except FileNotFoundError:  # of a process at work
        return 0
    return size


def _prune_stage(folder: Path, decide: Callable[[str, str], Verdict]) -> Pruned:
    counts = {"kept": 0, "lightened": 0, "removed": 0, "busy": 0}
    freed = 0
    beside: dict[str, list[Path]] = {}
    for each in sorted(folder.iterdir()):
        if _RESULT.fullmatch(each.name) and _is_result(each):
            beside.setdefault(each.name, [])
        elif match := _BESIDE.fullmatch(each.name):
            leftovers = beside.setdefault(match[1] or match[2], [])
            if not each.name.endswith(".lock"):
                leftovers.append(each)
    for key, leftovers in sorted(beside.items()):
        result = folder / key
        lock = lock_of(result, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            counts["busy"] += 1
            continue
        try:
            before = sum(map(disk_usage, (result, *leftovers)))
            spared = _spared(decide, folder.name, result)
            for leftover in leftovers:
                if leftover == spared:
                    continue
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink(missing_ok=True)
            if _is_result(result):
                counts[_carry_out(decide(folder.name, key), result)] += 1
            freed += before - sum(map(disk_usage, (result, *leftovers)))
        finally:
            # While it is held: whoever waits for it sees that it is gone and makes a new one.
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()
    return Pruned(folder.name, **counts, freed=freed, left=disk_usage(folder))


def _spared(decide: Callable[[str, str], Verdict], stage: str, result: Path) -> Path | None:
    """What an unfinished stage that is wanted will go on from."""
    kept = kept_for(result)
    wanted = kept.is_dir() and not _is_result(result) and decide(stage, result.name) == "keep"
    return kept if wanted else None


def _is_result(path: Path) -> bool:
    """Whether a result lies there, be it damaged: they appear with their record."""
    return not path.is_symlink() and (path / RECORD).is_file()


def _carry_out(verdict: Verdict, result: Path) -> str:
    """Do what was decided, and say how the result is to be counted."""
    if verdict == "remove" or read_record(result) is None:  # nobody finds a damaged one
        remove(result)
        return "removed"
    if verdict == "free weights":
        free_part(result, _WEIGHTS)
    return "lightened" if freed_parts(result) else "kept"
