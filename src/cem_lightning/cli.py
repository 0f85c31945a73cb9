"""The command line: Hydra composes the configuration, and one action is carried out.

The only module that imports Hydra. What is heavy is imported after composition, so that ``--help``
and ``--cfg`` answer at once.
"""

from __future__ import annotations

import importlib.resources
import io
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cem_lightning.errors import UserError

_JOB_RECORD = "job.json"


def main() -> None:
    """Entry point of ``python -m cem_lightning``; exit code 2 means the user can mend it."""
    for stream in (sys.stdout, sys.stderr):  # a terminal without our characters gets others
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    hydra.main(config_path=str(config_folder()), config_name="config", version_base="1.3")(_job)()


def config_folder() -> Path:
    """Where the configs lie: CEM_LIGHTNING_CONFIG_DIR, the installed package, or the checkout."""
    if chosen := os.environ.get("CEM_LIGHTNING_CONFIG_DIR"):
        return Path(chosen).resolve()
    package = Path(str(importlib.resources.files("cem_lightning")))
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent.parent / "conf"


def _job(values: DictConfig) -> None:
    """One job. In a sweep a failure is written down and the other jobs go on."""
    settings = HydraConfig.get()
    if settings.mode == RunMode.RUN:
        try:
            _act(_plain(values))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except OSError as error:
            print(f"error: {_io_problem(error)}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("interrupted; the same command continues where it was", file=sys.stderr)
            sys.exit(130)
        return
    folder = Path(settings.runtime.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"overrides": list(settings.overrides.task)}
    try:
        plain = _plain(values)
        if plain.get("run_dir"):
            plain["run_dir"] = str(Path(plain["run_dir"]) / str(settings.job.num))
        print(f"job {settings.job.num}: {' '.join(record['overrides'])}")
        record["run"] = str(_act(plain))
    except Exception as error:
        record["error"] = str(error)
        (folder / "error.log").write_text(traceback.format_exc(), encoding="utf-8")
        print(f"error in job {settings.job.num}: {error}", file=sys.stderr)
    (folder / _JOB_RECORD).write_text(json.dumps(record), encoding="utf-8")


def _io_problem(error: OSError) -> str:
    """What the system refused, where, and what to do."""
    return (
        f"{error.strerror or error} ({error.filename or 'no file named'}). Finished stages are "
        "kept: make room or give access, or set store_dir and run_dir elsewhere, and give the "
        "same command again."
    )


def _plain(values: DictConfig) -> dict[str, Any]:
    """The composed config as plain values."""
    try:
        plain = OmegaConf.to_container(values, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"the configuration cannot be resolved: {error}") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _act(values: dict[str, Any], sweep: str | None = None) -> Path | None:
    """Carries out the config's action and returns the folder with its results, if it has one."""
    from cem_lightning.config import validate
    from cem_lightning.evolution.actions import act

    return act(validate(values), sweep)


class CompareJobs(Callback):
    """After a sweep: the comparison of its jobs, and a non-zero exit if one has failed."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        order = sorted(folder.glob(f"*/{_JOB_RECORD}"), key=lambda path: int(path.parent.name))
        jobs = {path.parent: json.loads(path.read_text(encoding="utf-8")) for path in order}
        runs = list(dict.fromkeys(Path(job["run"]) for job in jobs.values() if "run" in job))
        if len(runs) > 1 and config.action == "run":
            from cem_lightning.evolution.comparison import compare_runs

            try:
                compare_runs(runs, folder)
            except UserError as error:
                print(f"no comparison: {error}", file=sys.stderr)
        failed = {path: job for path, job in jobs.items() if "error" in job}
        for path, job in failed.items():
            overrides = " ".join(job["overrides"])
            print(f"failed: {overrides}: see {path / 'error.log'}", file=sys.stderr)
        if failed:
            sys.exit(1)
