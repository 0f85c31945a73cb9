"""The jobs of a sweep: what each leaves in its folder, and how one runs in a process of its own.

``python -m cem_lightning.jobs FOLDER SWEEP`` carries out the job that a folder describes; it is
never the Hydra command, which would start the sweep again. Which jobs there are is for `cli`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cem_lightning.children import child, end_with_parent
from cem_lightning.secrets import redacted
from cem_lightning.storage.atomic import write_json, write_text

ERROR = "error.log"
OUTPUT = "output.log"
_RECORD = "job.json"
_CONFIG = "config.json"
_LOOK = 1.0  # seconds between two looks at whether the launcher is still there
_PATIENCE = 10.0  # seconds in which an interrupted job may tell its logger


@dataclass(frozen=True)
class JobRecord:
    """How a job of a sweep stands.

    Attributes:
        overrides: what makes it this job, as typed.
        state: "running" also of a job that was killed: it could not say so.
        run: its run folder.
        error: what was wrong.
    """

    overrides: tuple[str, ...]
    state: Literal["running", "finished", "failed"] = "running"
    run: str | None = None
    error: str | None = None


class JobFolder:
    """The folder of one job, with its record and its logs.

    Args:
        folder: named by the number of the job.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder

    @property
    def number(self) -> int:
        return int(self.path.name)

    @property
    def record(self) -> JobRecord:
        values = json.loads((self.path / _RECORD).read_text(encoding="utf-8"))
        return JobRecord(**values | {"overrides": tuple(values["overrides"])})

    def start(self, overrides: Sequence[str]) -> None:
        """The job runs from now on; what an earlier one has left here is gone."""
        for name in (ERROR, OUTPUT):
            (self.path / name).unlink(missing_ok=True)
        self._write(JobRecord(tuple(redacted(each) for each in overrides)))

    def finish(self, run: Path | None) -> None:
        """The job has ended well."""
        shown = None if run is None else str(run)
        self._write(JobRecord(self.record.overrides, "finished", shown))

    def fail(self, error: str, details: str) -> None:
        """The job has failed; `details` go into its log."""
        write_text(self.path / ERROR, redacted(details))
        self._write(JobRecord(self.record.overrides, "failed", error=redacted(error)))

    def fail_with(self, error: BaseException) -> None:
        """The job has failed by this exception."""
        self.fail(str(error) or type(error).__name__, "".join(traceback.format_exception(error)))

    def _write(self, record: JobRecord) -> None:
        write_json(self.path / _RECORD, asdict(record))


def job_folders(sweep: Path) -> list[JobFolder]:
    """The jobs of a sweep that have begun, in order."""
    found = [JobFolder(path.parent) for path in sweep.glob(f"[0-9]*/{_RECORD}")]
    return sorted(found, key=lambda each: each.number)


def forget_jobs(sweep: Path) -> None:
    """Take away the records of an earlier sweep in the same folder."""
    for each in job_folders(sweep):
        (each.path / _RECORD).unlink()


def carry_out(values: Mapping[str, Any], sweep: str | None = None) -> Path | None:
    """Carry out a composed config's action; returns the folder with its results, if it has one."""
    from cem_lightning.config import validate
    from cem_lightning.evolution.actions import act

    return act(validate(values), sweep)


def run_apart(job: JobFolder, values: Mapping[str, Any], sweep: str, gpus: str | None) -> None:
    """Run a job in a process of its own; whatever becomes of it, its record says so.

    So a job that the system kills takes neither its launcher nor other jobs with it, and none
    finds what another has left in memory. What it prints is in its `OUTPUT`.

    Args:
        gpus: numbers of the GPUs it may use, with commas; None leaves it those there are.

    Raises:
        UserError: if the configuration is wrong, or holds a secret; nothing is written then.
    """
    from cem_lightning.config import validate

    validate(values)
    write_json(job.path / _CONFIG, dict(values))
    command = [sys.executable, "-m", "cem_lightning.jobs", str(job.path), sweep]
    environment = dict(os.environ) | ({} if gpus is None else {"CUDA_VISIBLE_DEVICES": gpus})
    with (
        (job.path / OUTPUT).open("wb") as file,
        child(
            command, stdout=file, stderr=subprocess.STDOUT, environment=environment,
            patience=_PATIENCE,
        ) as started,
    ):  # fmt: skip
        code = _awaited(started)
    if job.record.state == "running":
        job.fail(f"its process ended {_in_words(code)}; see {job.path / OUTPUT}", KILLED)


KILLED = (
    "The process of this job ended without a word, so there is no traceback. What it had printed "
    f"is in {OUTPUT}. A SIGKILL is mostly the system's, for want of memory: run fewer jobs at "
    "once, or lower trainer.pack_tokens and answering.batch_tokens.\n"
)


def _awaited(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a process; if the launcher dies meanwhile, both processes end."""
    launcher = os.getppid()
    while True:
        try:
            return process.wait(_LOOK)
        except subprocess.TimeoutExpired:
            if os.getppid() != launcher:
                os._exit(1)  # a loky worker would go on with the next job after an exception


def _in_words(code: int) -> str:
    if code >= 0:
        return f"with exit code {code} and no result"
    name = signal.Signals(-code).name
    hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
    return f"by {name}{hint}"


def gpus_of_job(number: int, wanted: int) -> str | None:
    """The GPUs of a job, dealt out by its number; None if there are none, or too few.

    Args:
        wanted: how many it needs.
    """
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is None:
        devices = [path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia*")]
        count = sum(each.isdigit() for each in devices)
        there = [str(each) for each in range(count)]
    else:
        there = [each for each in said.split(",") if each]
    if len(there) < wanted:
        return None
    first = number * wanted
    return ",".join(there[(first + each) % len(there)] for each in range(wanted))


def main() -> None:
    """Carry out the job in a folder; its record and its log say how it went."""
    end_with_parent()
    job, sweep = JobFolder(Path(sys.argv[1])), sys.argv[2]
    values = json.loads((job.path / _CONFIG).read_text(encoding="utf-8"))
    try:
        job.finish(carry_out(values, sweep))
    except (Exception, SystemExit) as error:
        job.fail_with(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
