"""How the processes that share a stage are started: by torchrun, on this machine and others, or by
SLURM. What they do, and what they say meanwhile, is the business of `processes`.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from cem_lightning.errors import UserError
from cem_lightning.training.config import TrainerConfig

_WORKER = "cem_lightning.worker"
_BY_SLURM = "slurm"  # said to a worker whom srun has started
_PORTS = range(20000, 30000)  # below those that systems give away by themselves


@dataclass(frozen=True)
class Launch:
    """How many processes, where, and who starts them (`trainer.devices` and the keys beside it).

    Attributes:
        processes: in all, each on a device of its own.
        nodes: machines that they are spread over evenly; all read and write the store.
        address: ``host:port`` of this machine, where torchrun's processes on others find it.
    """

    processes: int = 1
    by: Literal["torchrun", "slurm"] = "torchrun"
    nodes: int = 1
    address: str | None = None

    @classmethod
    def of(cls, config: TrainerConfig) -> Self:
        return cls(config.devices, config.launch, config.nodes, config.address)

    @property
    def here(self) -> int:
        """Processes on each machine."""
        return self.processes // self.nodes

    def command(self, folder: Path) -> list[str]:
        """What starts the workers of the stage in `folder`.

        Raises:
            UserError: if SLURM is to start them, and there is no SLURM here.
        """
        if self.by == "slurm":
            if shutil.which("srun") is None:
                raise UserError(
                    "trainer.launch: slurm, but there is no srun here. Give the command within an "
                    "allocation (sbatch, salloc), or set trainer.launch=torchrun."
                )
            # one that fails ends them all; and this process may be of a step of the same job
            srun = ["srun", "--kill-on-bad-exit=1", "--overlap", f"--nodes={self.nodes}"]
            srun += [f"--ntasks={self.processes}", f"--ntasks-per-node={self.here}"]
            return [*srun, sys.executable, "-m", _WORKER, str(folder), _BY_SLURM]
        torchrun = [sys.executable, "-m", "torch.distributed.run"]
        torchrun += [f"--nproc-per-node={self.here}"]
        if self.address is None:
            torchrun += ["--standalone", "--local-addr=127.0.0.1"]
        else:
            host, _, port = self.address.rpartition(":")
            torchrun += [f"--nnodes={self.nodes}", "--node-rank=0"]
            torchrun += [f"--master-addr={host}", f"--master-port={port}"]
        return [*torchrun, "-m", _WORKER, str(folder)]

    def environment(self, threads: int) -> dict[str, str]:
        """This process's, as the workers need it.

        Args:
            threads: of each.
        """
        # of the step that this process is of, srun would take it for an option
        found = {key: each for key, each in os.environ.items() if key != "SLURM_CPU_BIND"}
        found["OMP_NUM_THREADS"] = str(threads)
        if self.nodes == 1:  # then the name of this machine need not be known to any network
            found["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
        return found


def joins_others(arguments: list[str]) -> bool:
    """Whether a worker that is called so is one of several.

    One that SLURM has started is told here what torchrun would have told it.

    Args:
        arguments: folder of the stage, and who started the worker if that was not torchrun.
    """
    if arguments[1:] == [_BY_SLURM]:
        os.environ.update(_as_by_torchrun(os.environ))
        return True
    return "LOCAL_RANK" in os.environ and "TORCHELASTIC_RUN_ID" in os.environ


def _as_by_torchrun(told: Mapping[str, str]) -> dict[str, str]:
    """What torchrun would tell a task of SLURM, whose first one is on the step's first node."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    world, nodes = told["SLURM_STEP_NUM_TASKS"], told["SLURM_STEP_NUM_NODES"]
    step = int(told["SLURM_JOB_ID"]) + int(told["SLURM_STEP_ID"])  # steps may run side by side
    return {
        "RANK": told["SLURM_PROCID"],
        "WORLD_SIZE": world,
        "LOCAL_RANK": told["SLURM_LOCALID"],
        "LOCAL_WORLD_SIZE": str(int(world) // int(nodes)),
        "GROUP_RANK": told["SLURM_NODEID"],
        "MASTER_ADDR": SLURMEnvironment.resolve_root_node_address(told["SLURM_STEP_NODELIST"]),
        "MASTER_PORT": str(_PORTS[step % len(_PORTS)]),
    }
