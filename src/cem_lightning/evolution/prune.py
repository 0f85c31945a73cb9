"""action=prune: frees the store and says how much.

What a run is using now is never taken; how a result is taken away safely is the business of
`storage.pruning`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cem_lightning.errors import UserError
from cem_lightning.evolution.config import Config, PruneConfig
from cem_lightning.evolution.stage_log import using_runs
from cem_lightning.reporting.figures import NONE, amount, memory
from cem_lightning.reporting.tables import make_console
from cem_lightning.storage.pruning import Pruned, Verdict, prune_store


def prune(config: Config) -> None:
    """Free `store_dir` of what `prune.keep` does not cover, and print what that gave.

    Raises:
        UserError: if there is no store, or a run's list of what it needs cannot be read.
    """
    if not config.store_dir.is_dir():
        raise UserError(
            f"store_dir: there is no store at {config.store_dir}, so nothing to free. Set "
            "store_dir, or CEM_STORE, to the folder that your runs have used."
        )
    pruned = prune_results(config.store_dir, config.prune)
    print_pruned(pruned, config)


def prune_results(store_dir: Path, settings: PruneConfig) -> list[Pruned]:
    """Free the store and return what was done, stage by stage."""
    at_first = _verdicts(store_dir, settings)

    def decide(stage: str, key: str) -> Verdict:
        if at_first.get((stage, key)) == "keep":
            return "keep"
        # A run may have begun since; it names a result before it takes its lock, which is ours now.
        return _verdicts(store_dir, settings).get((stage, key), "remove")

    return prune_store(store_dir, decide)


def _verdicts(store_dir: Path, settings: PruneConfig) -> dict[tuple[str, str], Verdict]:
    """What becomes of the results that the runs of this moment name; any other is removed."""
    verdicts: dict[tuple[str, str], Verdict] = {}
    for run in using_runs(store_dir):
        if settings.keep == "nothing" and not run.running:
            continue
        for used in run.stages:
            place = (used.stage, used.key)
            old = (used.round or 0) < run.last_round and used.stage == "train"
            if settings.keep == "last" and old and run.finished and not run.running:
                verdicts.setdefault(place, "free weights")
            else:
                verdicts[place] = "keep"
    return verdicts


def print_pruned(pruned: Sequence[Pruned], config: Config, console: Console | None = None) -> None:
    """Print what was freed, per stage and in all."""
    (console or make_console()).print(_tables(pruned, config))


def _tables(pruned: Sequence[Pruned], config: Config) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("stage")
    for heading in ("kept", "without\nweights", "removed", "in use", "freed", "left"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = [*pruned, _total(pruned)]
    for position, each in enumerate(rows):
        counts = (each.kept, each.lightened, each.removed, each.busy)
        table.add_row(
            each.stage.replace("_", " "),
            *(amount(count) if count else NONE for count in counts),
            memory(each.freed),
            memory(each.left),
            end_section=position == len(pruned) - 1,
        )
    parts: list[RenderableType] = [
        Text(f"\nStore {config.store_dir} · keep {config.prune.keep}\n", "bold"),
        table,
        Text("\nResults by stage, and their space on disk.", "dim"),
    ]
    if rows[-1].busy:
        parts.append(Text("In use: a process holds the result now; it was left alone.", "dim"))
    return Group(*parts)


def _total(pruned: Sequence[Pruned]) -> Pruned:
    return Pruned(
        "all",
        kept=sum(each.kept for each in pruned),
        lightened=sum(each.lightened for each in pruned),
        removed=sum(each.removed for each in pruned),
        busy=sum(each.busy for each in pruned),
        freed=sum(each.freed for each in pruned),
        left=sum(each.left for each in pruned),
    )
