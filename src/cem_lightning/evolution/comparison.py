"""Compares finished runs: reads their folders, prints one table and writes it as a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cem_lightning.errors import UserError
from cem_lightning.evolution.config import Config
from cem_lightning.reporting.compare import (
    Comparison,
    compare,
    print_comparison,
    write_comparison,
)
from cem_lightning.reporting.run_folder import RunRecord


def compare_configured(config: Config) -> Path:
    """action=compare: compare `runs`; the page lies in `run_dir` or ``runs/comparison``."""
    return compare_runs(config.runs, config.run_dir or Path("runs") / "comparison")


def compare_runs(
    runs: Sequence[Path], folder: Path, sweep: str | None = None, heading: str = "comparison"
) -> Path:
    """Compare the runs in these folders: a page in `folder`, and the table is printed at last.

    Args:
        sweep: names the sweep whose jobs they are; its comparison is logged where they were.
        heading: stands before the path of the page.

    Raises:
        UserError: if there are fewer than two runs, one is not finished, they were asked
            different questions, or the logger cannot be reached.
    """
    if len(runs) < 2:
        raise UserError(
            f"runs: {len(runs)} given, at least two are compared. "
            "For instance: action=compare 'runs=[runs/a/1,runs/a/2]'"
        )
    # of runs of one experiment only the folders tell which is which
    comparison = compare([replace(RunRecord.read(each), name=str(each)) for each in runs])
    page = write_comparison(comparison, folder)
    try:
        if sweep is not None:
            _log(comparison, page, sweep, runs[0])
    finally:
        print(f"{heading}: {page}")
        print_comparison(comparison)
    return folder


def score(run: Path) -> float:
    """What a search over configurations maximises: accuracy after the last round, 0 to 1.

    Of the held-out pool; of the source pool if there is no held-out one.
    """
    pools = RunRecord.read(run).rounds[-1]["pools"]
    return float((pools.get("heldout") or pools["source"])["accuracy"])


def _log(comparison: Comparison, page: Path, sweep: str, run: Path) -> None:
    """Log the comparison as the configuration of a run says."""
    from cem_lightning.reporting.wandb_run import log_comparison

    config = Config.model_validate(json.loads((run / "config.json").read_text(encoding="utf-8")))
    log_comparison(comparison, page, config.logger, name=config.name, sweep=sweep)
