"""Runs a stage in several processes, one a device, and passes on what they say.

The processes are `cem_lightning.worker`, started by torchrun or SLURM: never the command itself,
which in a sweep would start the sweep again. What each computes is the business of `training`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from cem_lightning.children import child, end_with_parent
from cem_lightning.errors import UserError
from cem_lightning.progress import SAVING, Progress, SilentProgress, SilentTask, Task
from cem_lightning.training.config import Launcher

_LAUNCHER = "CEM_LAUNCHER"  # tells a process of SLURM's what it is one of
_FIRST_PORT, _PORTS = 15_000, 10_000  # of which each step of a SLURM job takes one
_TRAINING = "train"  # the stage whose processes wait for one another at every step
# One that waits is not stuck: the first may be looking up passages, another have the longest
# questions. If one dies, torchrun ends the others.
_PATIENCE = timedelta(days=7)
_ORDERLY = 40.0  # seconds to write a checkpoint in; torchrun gives its processes 30
_LONGEST = 2000  # characters of an error: a line must stay whole among those of other processes


def run_in_processes(
    folder: Path,
    devices: int,
    title: str,
    progress: Progress,
    *,
    threads: int | None = None,
    launcher: Launcher = "torchrun",
) -> dict[str, Any]:
    """Run the stage that `folder` describes in `devices` processes, and return its record.

    Args:
        threads: of each process; None shares out those that PyTorch has here.
        launcher: who starts them: torchrun on this machine, or SLURM on the nodes of the job.

    Raises:
        UserError: if there are fewer GPUs, no SLURM, or one of the processes raised it.
        RuntimeError: with the traceback of the process that failed; all have ended then.
    """
    import torch

    job = _job(folder)
    patience = _ORDERLY if job["stage"] == _TRAINING else 0
    on_gpus = job["config"]["model"]["device"] == "cuda"
    if on_gpus:
        torch.cuda.empty_cache()  # of earlier stages: the processes need the room
    worker = ["-m", "cem_lightning.worker", str(folder), title]
    if launcher == "slurm":
        refuse_no_slurm()
        command = [*_srun(devices), sys.executable, *worker]
        environment = {**os.environ, _LAUNCHER: launcher}
        environment.pop("SLURM_CPU_BIND", None)  # of a step that this process itself is of
    else:
        if on_gpus:
            _refuse_too_few_gpus(devices)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads or max(1, torch.get_num_threads() // devices)),
            # they talk on this machine only, whose name need not be known to any network
            "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
        }
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        torchrun += ["--local-addr=127.0.0.1", f"--nproc-per-node={devices}"]
        command = [*torchrun, *worker]
    with (
        tempfile.TemporaryFile() as said,
        child(
            command, stdout=subprocess.PIPE, stderr=said, environment=environment,
            patience=patience,
        ) as started,
        ExitStack() as shown,
    ):  # fmt: skip
        assert started.stdout is not None
        try:
            record = _follow(started.stdout, title, progress, shown)
        except (KeyboardInterrupt, SystemExit) as stopped:
            if patience:
                if isinstance(stopped, KeyboardInterrupt):
                    progress.say(f"{title}: {SAVING}")
                _hear_out(started, title, progress, shown, patience)
            raise
        if started.wait() == 0 and record is not None:
            return record
        said.seek(0)
        raise RuntimeError(
            f"{title}: one of {devices} processes ended without a word. A SIGKILL below is mostly "
            "the system's, for want of memory: lower trainer.pack_tokens where it trains, "
            "answering.batch_tokens where it answers, or trainer.devices.\n"
            + said.read().decode(errors="replace")[-_LONGEST:]
        )


def _hear_out(
    started: subprocess.Popen[bytes],
    title: str,
    progress: Progress,
    shown: ExitStack,
    patience: float,
) -> None:
    """End processes in order, and pass on where they have stopped."""
    assert started.stdout is not None
    started.terminate()
    late = threading.Timer(patience, started.kill)
    late.start()
    try:
        _follow(started.stdout, title, progress, shown)
    finally:
        late.cancel()


def refuse_no_slurm() -> None:
    """What SLURM starts processes with is there inside of a job alone.

    Raises:
        UserError: if this is no SLURM job.
    """
    if shutil.which("srun") is None or "SLURM_JOB_ID" not in os.environ:
        raise UserError(
            "trainer.launcher: slurm, but this is no SLURM job (no srun, or no SLURM_JOB_ID). Give "
            "the command in one that sbatch or salloc has begun, with as many tasks as "
            "trainer.devices, or set trainer.launcher=torchrun."
        )


def _srun(tasks: int) -> list[str]:
    """The command that starts tasks, spread evenly over the nodes of this SLURM job.

    A job of a sweep is a task of SLURM's itself (submitit starts it so), hence ``--overlap``.
    """
    nodes = int(os.environ.get("SLURM_JOB_NUM_NODES", 1))
    if tasks % nodes:
        raise UserError(
            f"trainer.devices: {tasks} cannot be spread evenly over the {nodes} nodes of this "
            f"SLURM job; set a multiple of {nodes}."
        )
    spread = [f"--nodes={nodes}", f"--ntasks={tasks}", f"--ntasks-per-node={tasks // nodes}"]
    return ["srun", "--overlap", "--kill-on-bad-exit=1", *spread]


def is_rank() -> bool:
    """Whether this process is one of several that `run_in_processes` has started."""
    return "TORCHELASTIC_RUN_ID" in os.environ or os.environ.get(_LAUNCHER) == "slurm"


def _as_torchrun_has_it() -> None:
    """Tell PyTorch in its own words what SLURM says of this process."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    told = os.environ
    step = int(told["SLURM_JOB_ID"]) + int(told["SLURM_STEP_ID"])  # steps may run side by side
    os.environ |= {
        "RANK": told["SLURM_PROCID"],
        "WORLD_SIZE": told["SLURM_NTASKS"],
        "LOCAL_RANK": told["SLURM_LOCALID"],
        "LOCAL_WORLD_SIZE": re.split(r"\D", told["SLURM_STEP_TASKS_PER_NODE"])[0],  # "4(x2)"
        "MASTER_ADDR": SLURMEnvironment.resolve_root_node_address(told["SLURM_STEP_NODELIST"]),
        "MASTER_PORT": str(_FIRST_PORT + step % _PORTS),
    }


def _refuse_too_few_gpus(devices: int) -> None:
    import torch

    if (found := torch.cuda.device_count()) < devices:
        raise UserError(
            f"trainer.devices: {devices}, but there are {found} GPUs here; lower it, or set "
            "model.device=cpu."
        )


def run_as_rank(
    run: Callable[[Path, str, Progress], dict[str, Any]], folder: Path, title: str
) -> None:
    """Run the stage as one of the processes that `run_in_processes` has started.

    Args:
        run: runs a stage here.
        title: of the stage, to whoever reads what it says.
    """
    end_with_parent()
    if os.environ.get(_LAUNCHER) == "slurm":
        _as_torchrun_has_it()
    first = os.environ["RANK"] == "0"
    channel = _Channel(os.dup(1), shows=first)
    os.dup2(2, 1)  # whatever else is printed must not come between
    try:
        with joined_group(folder):
            # of a training the first process tells the whole, of asking each its own share
            heard = first or _job(folder)["stage"] != _TRAINING
            record = run(folder, title, channel if heard else SilentProgress())
        if first:
            channel.send({"record": record})
    except Exception as error:
        mended = isinstance(error, UserError)
        text = str(error) if mended else traceback.format_exc()
        channel.send({"error": text[-_LONGEST:], "user": mended})
        sys.exit(1)
    end_at_once()


def end_at_once() -> NoReturn:
    """End this process, all done, without taking Python down first.

    A thread of gloo that meets the interpreter on its way down is unwound through C++ that may not
    throw: now and then the process would die by SIGABRT (pytorch/pytorch#179291), its work done.
    """
    sys.stderr.flush()
    os._exit(0)


@contextmanager
def joined_group(folder: Path) -> Iterator[None]:
    """The torch.distributed group of the processes that torchrun has started for this stage."""
    import torch
    import torch.distributed as dist

    job = _job(folder)
    patience = None if job["stage"] == _TRAINING else _PATIENCE
    if job["config"]["model"]["device"] == "cuda":
        # SLURM may show each process its own GPU alone
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device, timeout=patience)
    else:
        dist.init_process_group("gloo", timeout=patience)
    yield
    dist.destroy_process_group()  # after an error it could wait for the others


def _job(folder: Path) -> Any:
    """What the folder describes."""
    return json.loads((folder / "job.json").read_text(encoding="utf-8"))


def _follow(
    lines: Iterable[bytes], title: str, progress: Progress, shown: ExitStack
) -> dict[str, Any] | None:
    """Shows what the processes tell, and returns the record; None if none came."""
    record = None
    task: Task = SilentTask()
    early = 0.0  # of a process that was ahead of the first one
    for line in lines:
        match _message(line):
            case {"stage": {"total": total, "unit": unit}}:
                task = shown.enter_context(progress.stage(title, total=total, unit=unit))
                if early:
                    task.advance(early)
            case {"advance": {"amount": amount, "note": note}}:
                early += amount
                task.advance(amount, note)
            case {"measure": row}:
                task.measure(row)
            case {"say": text}:
                progress.say(text)
            case {"error": text, "user": mended}:
                raise UserError(text) if mended else RuntimeError(f"{title}:\n{text}")
            case {"record": record}:
                pass
    return record


def _message(line: bytes) -> Any:
    """What a line says; None if it is not one of ours."""
    try:
        return json.loads(line)
    except ValueError:
        return None


class _Channel:
    """Progress as JSON lines to the process that shows it.

    Args:
        shows: tell everything; else only how much is done.
    """

    def __init__(self, file: int, *, shows: bool) -> None:
        self._file = file
        self._shows = shows

    def send(self, message: Mapping[str, Any]) -> None:
        """One write a line, so that lines of several processes do not mix."""
        os.write(self._file, (json.dumps(message) + "\n").encode())

    @contextmanager
    def stage(self, title: str, *, total: float | None = None, unit: str = "") -> Iterator[Task]:
        if self._shows:
            self.send({"stage": {"title": title, "total": total, "unit": unit}})
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.send({"advance": {"amount": amount, "note": note}})

    def measure(self, row: Mapping[str, float]) -> None:
        if self._shows:
            self.send({"measure": dict(row)})

    def reused(self, title: str, seconds: float) -> None:
        """A stage takes nothing from the store."""

    def say(self, text: str) -> None:
        if self._shows:
            self.send({"say": text})
