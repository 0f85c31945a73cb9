"""The command line: Hydra composes the configuration, and one action is carried out.

The only module that imports Hydra. What is heavy is imported after composition, so that ``--help``
and ``--cfg`` answer at once.
"""

from __future__ import annotations

import importlib.resources
import importlib.util
import io
import itertools
import os
import shutil
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any, ClassVar

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from cem_lightning.errors import UserError
from cem_lightning.jobs import (
    ERROR,
    KILLED,
    OUTPUT,
    JobFolder,
    carry_out,
    forget_jobs,
    gpus_of_job,
    job_folders,
    run_apart,
)
from cem_lightning.overrides import explain
from cem_lightning.secrets import redacted, secrets_in


def main() -> None:
    """Entry point of ``python -m cem_lightning``; exit code 2 means the user can mend it."""
    for stream in (sys.stdout, sys.stderr):  # a terminal without our characters gets others
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if len(sys.argv) == 1:  # nobody who names nothing means to train for minutes
        sys.argv.append("--help")
    # Hydra's parser takes no option between two overrides
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda each: each not in ("-m", "--multirun"))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raised to us, not printed
    Sweeps.current = None
    try:
        hydra.main(config_path=str(config_folder()), config_name="config", version_base="1.3")(
            _job
        )()
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {redacted(explain(error, config_folder()))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        if Sweeps.current is not None:
            Sweeps.current.conclude()
        print("interrupted; the same command continues where it was", file=sys.stderr)
        sys.exit(130)
    except SystemExit:
        if Sweeps.current is not None:  # the launcher has given up
            Sweeps.current.conclude()
        raise


def config_folder() -> Path:
    """Where the configs lie: CEM_LIGHTNING_CONFIG_DIR, the installed package, or the checkout."""
    if chosen := os.environ.get("CEM_LIGHTNING_CONFIG_DIR"):
        return Path(chosen).resolve()
    package = Path(str(importlib.resources.files("cem_lightning")))
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent.parent / "conf"


def _job(values: DictConfig) -> float | None:
    """One job; a job of a sweep returns what a sweeper may maximise."""
    settings = HydraConfig.get()
    if settings.mode != RunMode.RUN:
        return _job_of_sweep(values, settings)
    try:
        carry_out(_plain(values))
    except UserError as error:
        print(f"error: {redacted(str(error))}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {_io_problem(error)}", file=sys.stderr)
        sys.exit(2)
    return None


def _job_of_sweep(values: DictConfig, settings: Any) -> float | None:
    """A failure is written down, and the other jobs go on."""
    folder = Path(settings.runtime.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    job, sweep = JobFolder(folder), sweep_name(Path(settings.sweep.dir))
    job.start(settings.overrides.task)
    said = " ".join(job.record.overrides)
    try:
        plain = _plain(values)
        if plain.get("run_dir"):
            plain["run_dir"] = str(Path(plain["run_dir"]) / str(settings.job.num))
        launcher = _plugin(settings.launcher)
        if launcher == "hydra":
            print(f"job {job.number}: {said}")
            with _unchanged_environment():
                job.finish(carry_out(plain, sweep))
        else:
            print(f"job {job.number}: {said}; it writes to {job.path / OUTPUT}", flush=True)
            dealt = launcher == "hydra_joblib_launcher"  # the others give every job its own GPUs
            gpus = gpus_of_job(job.number, plain["trainer"]["devices"]) if dealt else None
            run_apart(job, plain, sweep, gpus)
    except KeyboardInterrupt as interrupt:
        job.fail_with(interrupt)
        raise
    except Exception as error:
        job.fail_with(error)
    record = job.record
    print(
        f"error in job {job.number}: {record.error}" if record.error else f"job {job.number}: done",
        file=sys.stderr if record.error else sys.stdout,
        flush=True,
    )
    if record.run is None or not (Path(record.run) / "metrics.json").is_file():
        return None
    from cem_lightning.evolution.comparison import score

    return score(Path(record.run))


@contextmanager
def _unchanged_environment() -> Iterator[None]:
    """What a library sets for its process is not there for the next job."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def sweep_name(folder: Path) -> str:
    """The name of a sweep: its folder below ``.sweeps``, or the folder's name elsewhere."""
    parts = folder.parts
    at = parts.index(".sweeps") + 1 if ".sweeps" in parts else len(parts) - 1
    return "/".join(parts[at:])


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


class Sweeps(Callback):
    """Before a sweep: what would fail in every job. After it: failures, and the comparison."""

    current: ClassVar[Sweeps | None] = None  # until it is concluded

    def __init__(self) -> None:
        self._folder = Path()
        self._planned: list[list[str]] | None = None
        self._compare = False

    def on_multirun_start(self, config: DictConfig, **more: Any) -> None:
        try:
            # Hydra writes what was typed into a file
            typed = (each.partition("=") for each in config.hydra.overrides.task)
            if found := list(secrets_in({key: value for key, _, value in typed})):
                raise UserError("\n".join(found))
            _refuse_missing_plugins(config)
            self._planned = _planned_jobs(config)
            if self._planned:
                _refuse_what_fails_everywhere(self._planned, more["config_name"])
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        self._folder = _claimed_folder(config)
        self._compare = config.action == "run"
        Sweeps.current = self

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        try:
            failed = self.conclude()
        except Exception:  # Hydra would make a warning of it, and end well
            traceback.print_exc()
            failed = True
        if failed:
            sys.exit(1)

    def conclude(self) -> bool:
        """Name the jobs that failed, compare the others; returns whether any has failed."""
        Sweeps.current = None
        name = sweep_name(self._folder)
        jobs = job_folders(self._folder)
        said = {job.number: job.record.overrides for job in jobs}
        said |= {
            number: tuple(redacted(each) for each in overrides)
            for number, overrides in enumerate(self._planned or ())
        }
        failed = list(_failures(jobs, _distinct(said)))
        finished = [job.record for job in jobs if job.record.state == "finished"]
        for each in failed:
            print(f"failed: {each}", file=sys.stderr)
        if failed:
            print("the same command again computes only what is missing", file=sys.stderr)
        runs = list(dict.fromkeys(Path(each.run) for each in finished if each.run))
        summary = f"sweep {name}: {len(finished)} of {len(finished) + len(failed)} jobs finished"
        sys.stderr.flush()
        if not self._compare or len(runs) < 2:
            print(summary)
            return bool(failed)
        from cem_lightning.evolution.comparison import compare_runs

        try:
            compare_runs(runs, self._folder, name, f"{summary}; comparison")
        except UserError as error:
            print(f"{summary}; no comparison: {redacted(str(error))}", file=sys.stderr)
        return bool(failed)


def _distinct(said: Mapping[int, Sequence[str]]) -> dict[int, str]:
    """What tells each job from the others."""
    return {
        number: " ".join(
            each for each in mine if not all(each in others for others in said.values())
        )
        or " ".join(mine)
        for number, mine in said.items()
    }


def _failures(jobs: Sequence[JobFolder], names: Mapping[int, str]) -> Iterator[str]:
    """One line for every job that has not finished."""
    begun = {job.number: job for job in jobs}
    for number, name in sorted(names.items()):
        if number not in begun:
            yield f"job {number}: {name}: was not started"
            continue
        job = begun[number]
        if job.record.state == "running":
            job.fail("it was ended without a result, by a signal or for want of memory", KILLED)
        if job.record.error is not None:
            reason = shorten(job.record.error, 160, placeholder=" ...")
            yield f"job {number}: {name}: {reason}; see {job.path / ERROR}"


_EXTRAS = {
    "hydra_joblib_launcher": "joblib",
    "hydra_submitit_launcher": "submitit",
    "hydra_ray_launcher": "ray",
    "hydra_optuna_sweeper": "optuna",
}


def _refuse_missing_plugins(config: DictConfig) -> None:
    for group in ("launcher", "sweeper"):
        plugin = _plugin(config.hydra[group])
        if plugin in _EXTRAS and not _is_installed(f"hydra_plugins.{plugin}"):
            chosen = config.hydra.runtime.choices[f"hydra/{group}"]
            raise UserError(
                f"hydra/{group}={chosen} needs a package that is not installed: "
                f"pip install 'cem-lightning[{_EXTRAS[plugin]}]'"
            )
    if config.hydra.launcher._target_.endswith(".SlurmLauncher") and shutil.which("srun") is None:
        raise UserError(
            f"hydra/launcher={config.hydra.runtime.choices['hydra/launcher']}: there is no SLURM "
            "on this machine (no srun). Give the command on a login node of the cluster, or set "
            "hydra/launcher=parallel for several jobs on this machine."
        )


def _plugin(settings: DictConfig) -> str:
    """The package that a launcher or sweeper is from; Hydra's own are from ``hydra``."""
    package, name, *_ = settings._target_.split(".")
    return str(name if package == "hydra_plugins" else package)


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def _planned_jobs(config: DictConfig) -> list[list[str]] | None:
    """The overrides of all jobs; None if the sweeper makes them up as it goes."""
    if _plugin(config.hydra.sweeper) != "hydra":
        return None
    typed = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    typed += config.hydra.overrides.task
    choices: dict[str, list[str]] = {}
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    for each in parser.parse_overrides(typed):
        key = each.get_key_element()
        if not each.is_sweep_override():
            choices[key] = [f"{key}={each.get_value_element_as_str()}"]
        elif each.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in each.sweep_string_iterator()]
        else:
            return None
    return [list(job) for job in itertools.product(*choices.values())]


def _refuse_what_fails_everywhere(planned: Sequence[Sequence[str]], config_name: str) -> None:
    """What is wrong in the first job and in the last is so in all of them.

    Raises:
        UserError: before any job has been sent anywhere.
    """
    from cem_lightning.config import validate

    problems: list[str] = []
    for overrides in (planned[0], planned[-1]):
        try:
            validate(_plain(hydra.compose(config_name, list(overrides))))
        except HydraException as error:
            problems.append(explain(error, config_folder()))
        except UserError as error:
            problems.append(str(error))
    if len(problems) == 2 and problems[0] == problems[1]:
        raise UserError(problems[0])


def _claimed_folder(config: DictConfig) -> Path:
    """The folder of this sweep alone; two that begin in the same second get one each."""
    folder = Path(config.hydra.sweep.dir)
    typed: list[str] = config.hydra.overrides.hydra
    if any(each.startswith("hydra.sweep.dir=") for each in typed):
        forget_jobs(folder)
        return folder
    claimed = folder
    for number in itertools.count(2):
        try:
            claimed.mkdir(parents=True)
            break
        except FileExistsError:
            claimed = folder.with_name(f"{folder.name}-{number}")
    if claimed != folder:
        with open_dict(config):
            config.hydra.sweep.dir = str(claimed)
            # jobs compose their configuration anew, from what was typed
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{claimed}'")
    return claimed
