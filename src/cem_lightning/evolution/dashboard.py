"""action=dashboard: a Weights & Biases workspace and a report for an experiment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cem_lightning.errors import UserError
from cem_lightning.evolution.config import Config
from cem_lightning.evolution.run import saved_config
from cem_lightning.reporting.run_folder import FINISHED, RunRecord
from cem_lightning.storage.atomic import write_json

_SPEC = "dashboard.json"
_SHOWN = 8  # runs whose lineage is shown; every one is a panel


def make_dashboard(config: Config) -> Path:
    """Write the specification of the dashboard, and send it if `logger.mode` is online.

    It lies in `run_dir` or ``runs/<name>/dashboard``.

    Raises:
        UserError: if the logger is not W&B, or W&B refuses.
    """
    from cem_lightning.reporting import dashboard

    if config.logger.kind != "wandb":
        raise UserError(
            f"action=dashboard makes a dashboard of Weights & Biases, and logger is "
            f"{config.logger.kind}. Add logger=wandb, and logger.mode=online to send it."
        )
    online = config.logger.mode == "online"
    entity = config.logger.entity or (_own_entity() if online else "")
    runs = list(_models(Path("runs") / config.name))[-_SHOWN:]
    made = dashboard.make_dashboard(config.name, config.logger, entity, runs)
    folder = config.run_dir or Path("runs") / config.name / "dashboard"
    write_json(folder / _SPEC, made.spec())
    print(f"dashboard: {folder / _SPEC}")
    if not online:
        print("not sent; the same command with logger.mode=online does, after `wandb login`")
        return folder
    try:
        for address in made.save():
            print(address)
    except Exception as error:  # whatever the client and the network raise: there is no common base
        raise UserError(
            f"logger.mode=online: W&B did not take the dashboard ({error}). See that you may write "
            f"to project {config.logger.project!r} of {entity!r}; its specification lies in "
            f"{folder / _SPEC}."
        ) from error
    return folder


def _own_entity() -> str:
    """The user or team that W&B takes where none is named."""
    import wandb

    try:
        return str(wandb.Api().default_entity)
    except Exception as error:  # as above
        raise UserError(
            f"logger.mode=online: W&B says {error}. Log in with `wandb login`, or take "
            "logger.mode=offline, which writes the dashboard's specification only."
        ) from error


def _models(folder: Path) -> Iterator[str]:
    """Of every finished run in a folder that was logged to W&B, its id and its last round."""
    from cem_lightning.reporting.tracking import folder_id

    for path in sorted(folder.glob(f"*/{FINISHED}"), key=lambda each: each.stat().st_mtime):
        try:
            if saved_config(path.parent).logger.kind == "wandb":
                yield f"{folder_id(path.parent)}-r{RunRecord.read(path.parent).last_round}"
        except UserError:
            continue  # of another version, or no run
