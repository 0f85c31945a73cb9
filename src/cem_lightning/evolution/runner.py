"""Runs a stage, or finds its result in the store; the one way to run a stage at all.

A prepared folder says everything a stage needs (`job.json`), so that the same call serves this
process and a worker started elsewhere.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cem_lightning.errors import UserError
from cem_lightning.evolution.job import Job
from cem_lightning.evolution.processes import run_in_processes
from cem_lightning.evolution.stages import STAGES
from cem_lightning.evolution.stored import ASIDE, POOLS
from cem_lightning.progress import Progress
from cem_lightning.questions.pools import Pools
from cem_lightning.storage.atomic import write_json, write_jsonl
from cem_lightning.storage.store import Part, Result, Store, kept_for, lock_of, remove
from cem_lightning.training.config import Launcher
from cem_lightning.training.memory import peak_memory_bytes

_JOB = "job.json"
POOLS_STAGE = "pools"  # what the store keeps the questions under, beside the stages
# the stages that several processes can share
_SHARED = ("train", "answer", "open_book", "noise", "triage")
_LIBRARIES = ("torch", "transformers", "peft", "pytorch-lightning", "tokenizers", "datasets")


class Runner:
    """Runs stages against one store.

    Args:
        store: where results are kept and found.
        progress: shows one line per stage.
        compute: run what the store does not hold; otherwise that is the user's to mend.
        note: told round, stage and key of every result before it is looked for.
        devices: processes that a training, or asking, is shared by, each on a device of its own.
        launcher: who starts them.
    """

    def __init__(
        self,
        store: Store,
        progress: Progress,
        *,
        compute: bool = True,
        note: Callable[[int | None, str, str], None] | None = None,
        devices: int = 1,
        launcher: Launcher = "torchrun",
    ) -> None:
        self._store = store
        self._progress = progress
        self._compute = compute
        self._devices = devices
        self._launcher = launcher
        self._note = note or (lambda *_: None)
        self._made: dict[Path, Callable[[], Result]] = {}
        self._warned = False

    def run(
        self,
        stage: str,
        title: str,
        inputs: Mapping[str, Part],
        config: Mapping[str, Any],
        *,
        round: int | None = None,
        access: Mapping[str, Any] | None = None,
    ) -> Result:
        """The result of a stage for these inputs and this part of the configuration.

        Of the inputs only the digests enter the key, not the paths.

        Args:
            round: the round that it belongs to, if it does to one.
            access: what no result depends on, such as how the stage reaches what lies outside; no
                part of the key.

        Raises:
            UserError: if it would have to be run and this runner computes nothing.
        """
        definition = STAGES[stage]

        def work(folder: Path) -> dict[str, Any]:
            if not self._compute:
                raise UserError(
                    f"{title} is not in store_dir: {self._store.root}. Give the same command with "
                    "action=run first; it computes what is missing."
                )
            self._restore(inputs)
            paths = {name: str(part.path) for name, part in inputs.items()}
            job = {"stage": stage, "inputs": paths, "config": dict(config)}
            kept = kept_for(self._store.root / stage / key).name  # beside the folder of the work
            write_json(folder / _JOB, job | {"access": dict(access or {}), "kept": kept})
            if stage not in _SHARED or "model" not in config:  # then no model is asked
                return run_stage(folder, title, self._progress)
            if self._devices == 1:
                record = run_stage(folder, title, self._progress)
            else:
                record = run_in_processes(
                    folder, self._devices, title, self._progress, launcher=self._launcher
                )
            return {**record, "devices": self._devices}

        key_parts = {
            "version": definition.version,
            "inputs": {name: part.digest for name, part in inputs.items()},
            "config": dict(config),
        }
        key = self._store.key(stage, key_parts)
        self._note(round, stage, key)
        result = self._store.get_or_run(
            stage,
            key_parts,
            work,
            waiting=lambda: self._progress.say(
                f"{title}: another process is at it; waiting for it"
            ),
        )
        self._made[result.folder] = lambda: self.run(
            stage, title, inputs, config, round=round, access=access
        )
        if result.reused:
            self._progress.reused(title, result.seconds)
            self._compare_environment(result.record["environment"])
        return result

    def put_pools(self, pools: Pools) -> Part:
        """The question pools as files that stages read."""

        def work(folder: Path) -> dict[str, Any]:
            for name in (*POOLS, *(each for each in ASIDE if getattr(pools, each))):
                rows = (each.as_dict() for each in getattr(pools, name))
                write_jsonl(folder / "pools" / f"{name}.jsonl", rows)
            return {"seconds": 0.0}

        key_parts = {"digest": pools.digest}
        self._note(None, POOLS_STAGE, self._store.key(POOLS_STAGE, key_parts))
        return self._store.get_or_run(POOLS_STAGE, key_parts, work).part("pools")

    def _restore(self, inputs: Mapping[str, Part]) -> None:
        """Make anew what action=prune has freed of the results that a stage is about to read.

        Raises:
            UserError: if that gives other bits than before, which the key of the stage denies.
        """
        for part in inputs.values():
            folder = part.path.parent
            if part.path.exists() or folder not in self._made:
                continue
            with lock_of(folder):
                if folder.exists() and not part.path.exists():
                    remove(folder)
            again = self._made[folder]().part(part.path.name)
            if again.digest != part.digest:
                raise UserError(
                    f"store_dir: {part.path} had been freed by action=prune and was made anew, "
                    "and it is not the same to the bit: libraries, threads or the device have "
                    "changed since. Give the same command again; it goes on from the new one."
                )

    def _compare_environment(self, before: Mapping[str, Any]) -> None:
        """Says once if a reused result was computed by other versions or thread counts."""
        now = environment()
        differing = [
            f"{key} {before.get(key)} then, {now[key]} now"
            for key in now
            if before.get(key) != now[key]
        ]
        if differing and not self._warned:
            self._warned = True
            self._progress.say(
                "note: reused results come from another environment: " + "; ".join(differing)
            )


def run_stage(folder: Path, title: str, progress: Progress) -> dict[str, Any]:
    """Runs the stage that `folder` describes, there, and returns its record."""
    job = json.loads((folder / _JOB).read_text(encoding="utf-8"))
    inputs = {name: Path(path) for name, path in job["inputs"].items()}
    start = time.perf_counter()
    kept = folder.parent / job["kept"] if "kept" in job else None
    made = Job(folder, inputs, job["config"], title, progress, job.get("access", {}), kept)
    record = STAGES[job["stage"]].run(made)
    earlier = record.pop("earlier_seconds", 0.0)  # of a stage that was continued
    return {
        **record,
        "seconds": round(time.perf_counter() - start + earlier, 3),
        "peak_memory_bytes": peak_memory_bytes(),
        "environment": environment(),
    }


def environment() -> dict[str, Any]:
    """What may change the last digits of a result without being part of its key."""
    import torch

    return {
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        **_versions(),
    }


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}
