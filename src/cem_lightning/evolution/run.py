"""One evolution from a checked configuration to a run folder with its report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from cem_lightning.errors import UserError
from cem_lightning.evolution.config import Config, changed_keys
from cem_lightning.evolution.prepare import prepare
from cem_lightning.evolution.record import make_record
from cem_lightning.evolution.runner import Runner
from cem_lightning.reporting.run_folder import FINISHED
from cem_lightning.storage.atomic import write_json
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
    from cem_lightning.reporting.wandb_run import log_to_wandb

    prepared = prepare(config)
    with _claimed(config) as folder, make_progress() as progress:
        runner = Runner(Store(config.store_dir), progress)
        course = prepared.loop(runner).run()
        record = make_record(config, prepared.pools, course)
        record.write(folder)
        report = write_report(record, folder)
        if config.logger.kind == "wandb":
            log_to_wandb(
                record, mode=config.logger.mode, project=config.logger.project, folder=folder
            )
    print_run(record)
    print(f"report: {report}")
    return folder


@contextmanager
def _claimed(config: Config) -> Iterator[Path]:
    """The run folder, for this process alone, with the config that its results come from.

    Raises:
        UserError: if another process is at work there, or it belongs to another config.
    """
    folder = config.folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            _refuse_another_config(config, folder / _CONFIG)
            write_json(folder / _CONFIG, config.model_dump(mode="json"))
            yield folder
    except Timeout:
        raise UserError(
            f"run_dir: another process is running in {folder}; wait for it, or set another run_dir."
        ) from None


def _refuse_another_config(config: Config, path: Path) -> None:
    if not (path.parent / FINISHED).is_file():
        return  # nothing there that could be mistaken for this configuration's
    try:
        before = Config.model_validate(json.loads(path.read_text(encoding="utf-8"))).identity()
    except (OSError, ValueError):
        raise UserError(
            f"run_dir: {path.parent} holds a run whose {path.name} cannot be read. "
            "Set another run_dir, or leave it out to have one made."
        ) from None
    differing = changed_keys(before, config.identity())
    if differing:
        raise UserError(
            f"run_dir: {path.parent} holds a run with another configuration "
            f"({'; '.join(differing[:_SHOWN])}). "
            "Set another run_dir, or leave it out to have one made."
        )
