"""action=prune: frees the store and says how much.

What a run is using now is never taken; how a result is taken away safely is the business of
`storage.pruning`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cem_lightning.errors import UserError
from cem_lightning.evolution.config import Config, PruneConfig
from cem_lightning.evolution.runner import POOLS_STAGE
from cem_lightning.evolution.stage_log import REGISTER, LostRun, UsingRun, using_runs
from cem_lightning.evolution.stages import STAGES
from cem_lightning.reporting.figures import NONE, amount, memory
from cem_lightning.reporting.run_folder import FINISHED
from cem_lightning.reporting.tables import make_console
from cem_lightning.storage.pruning import Pruned, Verdict, prune_store


def prune(config: Config) -> None:
    """Free `store_dir` of what `prune.keep` does not cover, and print what that gave.

    Raises:
        UserError: if there is no store, or a run's list of what it needs cannot be read; nothing
            is deleted then.
    """
    if not config.store_dir.is_dir():
        raise UserError(
            f"store_dir: there is no store at {config.store_dir}, so nothing to free. Set "
            "store_dir, or CEM_STORE, to the folder that your runs have used."
        )
    if not (config.store_dir / REGISTER).is_dir():
        raise UserError(
            f"store_dir: {config.store_dir} is no store that a run has used, since there is no "
            f"{REGISTER} in it; nothing was deleted. Set store_dir, or CEM_STORE, to the folder "
            "that your runs have used."
        )
    lost = _lost_runs(config.store_dir, config.prune)
    print_pruned(prune_results(config.store_dir, config.prune), config, lost)


def prune_results(store_dir: Path, settings: PruneConfig) -> list[Pruned]:
    """Free the store and return what was done, stage by stage."""
    at_first = _verdicts(store_dir, settings)

    def decide(stage: str, key: str) -> Verdict:
        if at_first.get((stage, key)) == "keep":
            return "keep"
        if _lost_runs(store_dir, settings):
            return "keep"  # it may be what a run needs whose list is out of reach
        # A run may have begun since; it names a result before it takes its lock, which is ours now.
        return _verdicts(store_dir, settings).get((stage, key), "remove")

    return prune_store(store_dir, (*STAGES, POOLS_STAGE), decide)


def _lost_runs(store_dir: Path, settings: PruneConfig) -> list[LostRun]:
    """Runs that may need any result; none if nothing is to be kept."""
    if settings.keep == "nothing":
        return []
    return [run for run in using_runs(store_dir) if isinstance(run, LostRun)]


def _verdicts(store_dir: Path, settings: PruneConfig) -> dict[tuple[str, str], Verdict]:
    """What becomes of the results that the runs of this moment name; any other is removed."""
    verdicts: dict[tuple[str, str], Verdict] = {}
    for run in using_runs(store_dir):
        if isinstance(run, LostRun) or (settings.keep == "nothing" and not run.running):
            continue
        last = _last_model(run)
        for used in run.stages:
            place = (used.stage, used.key)
            old = used.stage == "train" and used.round != last
            if settings.keep == "last" and old and run.finished and not run.running:
                verdicts.setdefault(place, "free weights")
            else:
                verdicts[place] = "keep"
    return verdicts


def _last_model(run: UsingRun) -> int:
    """The round whose model is the outcome of a run, which need not be the last one trained."""
    try:
        metrics = json.loads((run.folder / FINISHED).read_text(encoding="utf-8"))
        return int(metrics["last_model"])
    except (OSError, ValueError, LookupError, TypeError):  # untrained, or of an older version
        return run.last_round


def print_pruned(
    pruned: Sequence[Pruned],
    config: Config,
    lost: Sequence[LostRun] = (),
    console: Console | None = None,
) -> None:
    """Print what was freed, per stage and in all, and the runs for whose sake nothing was."""
    (console or make_console()).print(_tables(pruned, config, lost))


def _tables(pruned: Sequence[Pruned], config: Config, lost: Sequence[LostRun]) -> RenderableType:
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
    if lost:
        text = (
            "\nNote: all results were kept. Neither these run folders, which have used the store, "
            "nor those they lay in are there: were they moved, or is a disk not in? Put them "
            "back, or give their commands again where they are now. Then, or if they were deleted, "
            "delete the file that stands for each. prune.keep=nothing empties the store all the "
            "same.\n"
        )
        parts += [
            Text(text, "yellow"),
            *(Text(f"{each.folder}: {each.entry}", "yellow") for each in lost),
        ]
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
