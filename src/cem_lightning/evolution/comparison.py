"""Compares finished runs: reads their folders, prints one table and writes it as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cem_lightning.errors import UserError
from cem_lightning.evolution.config import Config


def compare_configured(config: Config) -> Path:
    """action=compare: compare `runs`; the page lies in `run_dir` or ``runs/comparison``."""
    return compare_runs(config.runs, config.run_dir or Path("runs") / "comparison")


def compare_runs(runs: Sequence[Path], folder: Path) -> Path:
    """Compare the runs in these folders; the table is printed and written into `folder`.

    Raises:
        UserError: if there are fewer than two runs, one is not finished, or they were asked
            different questions.
    """
    from cem_lightning.reporting.compare import compare, print_comparison, write_comparison
    from cem_lightning.reporting.run_folder import RunRecord

    if len(runs) < 2:
        raise UserError(
            f"runs: {len(runs)} given, at least two are compared. "
            "For instance: action=compare 'runs=[runs/a/1,runs/a/2]'"
        )
    comparison = compare([RunRecord.read(each) for each in runs])
    print_comparison(comparison)
    page = write_comparison(comparison, folder)
    print(f"comparison: {page}")
    return folder
