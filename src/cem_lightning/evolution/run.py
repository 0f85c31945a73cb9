"""One evolution from a checked configuration to a run folder with its report."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cem_lightning.errors import UserError
from cem_lightning.evolution.config import Config
from cem_lightning.evolution.loop import Course
from cem_lightning.evolution.prepare import prepare
from cem_lightning.evolution.record import arm, make_record
from cem_lightning.evolution.runner import Runner
from cem_lightning.evolution.stage_log import StageLog, claimed
from cem_lightning.reporting.run_folder import FINISHED
from cem_lightning.reporting.tracking import RoundFiles, RunIdentity
from cem_lightning.storage.atomic import write_json
from cem_lightning.storage.digests import changed_keys
from cem_lightning.storage.store import Store

_CONFIG = "config.json"
_SHOWN = 5  # differing keys named in an error


def run(config: Config, sweep: str | None = None) -> Path:
    """Run the configured evolution, or continue it, and return its run folder.

    Args:
        sweep: names the sweep that this run is a job of, if it is one.

    Raises:
        UserError: if something the user gave cannot be used; nothing half-written is left.
    """
    from cem_lightning.reporting.html import write_report
    from cem_lightning.reporting.progress import make_progress
    from cem_lightning.reporting.tables import print_run
    from cem_lightning.reporting.tracking import tracked

    refuse_unusable("run_dir", config.folder)
    refuse_unusable("store_dir", config.store_dir)
    prepared = prepare(config)
    with (
        _ended_in_order(),
        _claimed(config) as folder,
        tracked(config.logger, _identity(config, folder, sweep)) as tracker,
        make_progress(measured=tracker.row) as progress,
    ):
        stages = StageLog(folder, config.store_dir)
        runner = Runner(
            Store(config.store_dir),
            progress,
            note=stages.note,
            devices=config.trainer.devices,
            launcher=config.trainer.launcher,
        )
        loop = prepared.loop(runner)

        def finished(course: Course) -> None:
            current = course.rounds[-1]
            record = make_record(config, prepared.pools, course)
            made = RoundFiles(current.corpus, current.weights or loop.model)
            tracker.round_finished(record, made)

        course = loop.run(finished)
        record = make_record(config, prepared.pools, course)
        record.write(folder)
        stages.finish()
        report = write_report(record, folder)
    print_run(record)
    print(f"report: {report}")
    return folder


def _identity(config: Config, folder: Path, sweep: str | None) -> RunIdentity:
    return RunIdentity(
        folder=folder,
        name=config.name,
        arm=arm(config),
        seed=config.seed,
        config=config.identity(rounds=True),
        sweep=sweep,
    )


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Signals as exceptions, so that whoever logs the run hears of its end."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    # the second is what batch systems announce the end of a job's time with
    before = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _claimed(config: Config) -> Iterator[Path]:
    """The run folder, for this process alone, with the config that its results come from.

    Raises:
        UserError: if another process is at work there, or it belongs to another config.
    """
    with claimed(config.folder) as folder:
        _refuse_another_config(config, folder)
        write_json(folder / _CONFIG, config.model_dump(mode="json"))
        yield folder


def refuse_unusable(key: str, folder: Path) -> None:
    """Whether a folder can be written to, before anything is read or computed.

    Args:
        key: of the configuration, for the message.

    Raises:
        UserError: if it cannot be.
    """
    nearest = folder.absolute()
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".cem_lightning.", dir=nearest):
            return
    except OSError as error:
        reason = error.strerror if nearest.is_dir() else "it is no folder"
        raise UserError(
            f"{key}: {folder} cannot be written to: {nearest}: {reason}. Set {key} to a folder "
            "that you may write to, or make it one."
        ) from None


def saved_config(folder: Path) -> Config:
    """The configuration that the run in `folder` comes from.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        return Config.model_validate(json.loads((folder / _CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise UserError(
            f"run_dir: {folder} holds a run whose {_CONFIG} cannot be read. Delete that folder "
            "and give the run's command again: finished stages are in store_dir, so nothing is "
            "computed twice. Or set another run_dir."
        ) from None


def _refuse_another_config(config: Config, folder: Path) -> None:
    if not (folder / FINISHED).is_file():
        return  # nothing there that could be mistaken for this configuration's
    differing = changed_keys(saved_config(folder).identity(), config.identity())
    if differing:
        raise UserError(
            f"run_dir: {folder} holds a run with another configuration "
            f"({'; '.join(differing[:_SHOWN])}). "
            "Set another run_dir, or leave it out to have one made."
        )
