"""Compares arms over seeds: what stands beside what, on a terminal, as JSON and as a page.

How accuracies and differences come about is the business of `contrasts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cem_lightning.errors import UserError
from cem_lightning.reporting.arms import Clusters, check_asked, check_pools, label_arms
from cem_lightning.reporting.contrasts import (
    Ceiling,
    Contrast,
    Row,
    arm_row,
    ceilings,
    contrasts,
    main_arms,
    notes,
    untrained_rows,
)
from cem_lightning.reporting.figures import (
    NONE,
    amount,
    detectable,
    p_value,
    percent_with_interval,
    points,
)
from cem_lightning.reporting.form import FormRow, form_rows, form_tables
from cem_lightning.reporting.run_folder import RunRecord
from cem_lightning.reporting.tables import make_console
from cem_lightning.storage.atomic import write_json, write_text

INTERVALS = (
    "Seeds are pooled. [a, b] is a 95% interval: of an accuracy Wilson's at the effective sample "
    "size of its clusters, of a difference the percentiles of 10,000 resamples of whole clusters, "
    "paired by seed and question. Intervals speak of other questions of this sort; chance in "
    "training enters only through the seeds. They are not corrected for the number of arms."
)
METHOD = (
    f"{INTERVALS} Tokens: trained on so far, a mean over the seeds. Could show: the smallest true "
    "difference found at 80% power, two-sided at 5%, 2.8 clustered standard errors. p: exact "
    "McNemar, which takes answers as independent; Holm: the same adjusted for the arms compared on "
    "the pool."
)

BEST_SINGLE = "* the best single arm: of cpt_only and cit_only, the better on heldout"


@dataclass(frozen=True)
class Comparison:
    """Everything a comparison shows.

    Attributes:
        seeds: of all runs.
        rows: accuracies by pool, round 0 first.
        main: the arms that are compared with every other one.
        contrasts: each of them minus every other one.
        form: gains of form and of knowledge apart, where they can differ.
        notes: what a reader must know before taking a difference at face value.
    """

    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    main: tuple[str, ...]
    contrasts: tuple[Contrast, ...]
    form: tuple[FormRow, ...]
    ceilings: tuple[Ceiling, ...]
    notes: tuple[str, ...]

    @property
    def main_name(self) -> str:
        """The main arm in a heading, without what tells its variants apart."""
        return self.main[0] if len(self.main) == 1 else self.main[0].partition(" ")[0]

    @property
    def pools(self) -> list[str]:
        """The pools in the order of the rows."""
        return list(dict.fromkeys(row.pool for row in self.rows))


def compare(runs: Sequence[RunRecord]) -> Comparison:
    """Compare finished runs.

    Raises:
        UserError: no runs, the same run twice, runs of a seed that were asked other questions, or
            runs asked otherwise.
    """
    if not runs:
        raise UserError("runs: there is nothing to compare; name the folders of finished runs.")
    arms = label_arms(runs)
    check_asked(runs)
    pools = check_pools(runs)
    clusters = Clusters(runs)
    rows: list[Row] = []
    for pool in pools:
        rows += untrained_rows(arms, pool, clusters)
        for arm, records in arms.items():
            asked = {seed: each for seed, each in records.items() if pool in each.pools}
            last = max((each.last_round for each in asked.values()), default=0)
            for number in range(1, last + 1):
                reached = {seed: e for seed, e in asked.items() if e.last_round >= number}
                rows.append(arm_row(arm, reached, number, pool, clusters))
    main = main_arms(arms, runs)
    made = [contrast for arm in main for contrast in contrasts(arm, arms, main, pools, clusters)]
    return Comparison(
        seeds=tuple(sorted({run.seed for run in runs})),
        rows=tuple(rows),
        main=tuple(main),
        contrasts=tuple(made),
        form=form_rows(arms, pools, clusters),
        ceilings=tuple(ceilings(arms, pools)),
        notes=tuple(notes(arms, made)),
    )


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print the tables of a comparison."""
    (console or make_console()).print(comparison_tables(comparison))


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write ``comparison.json`` and ``comparison.html``, and return the page's path."""
    from cem_lightning.reporting.html import comparison_page

    write_json(folder / "comparison.json", as_json(comparison))
    page = folder / "comparison.html"
    write_text(page, comparison_page(comparison))
    return page


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain values; shares are 0 to 1, seeds are keys as text."""
    values = asdict(comparison)
    for entry in (*values["rows"], *values["contrasts"]):
        entry["by_seed"] = {str(seed): each for seed, each in entry["by_seed"].items()}
    for row, entry in zip(comparison.rows, values["rows"], strict=True):
        if row.gain is not None:
            entry["gain"]["could_have_shown"] = row.gain.detectable
    for each, entry in zip(comparison.contrasts, values["contrasts"], strict=True):
        entry["difference"]["could_have_shown"] = each.difference.detectable
    return values | {"method": METHOD}


def comparison_tables(comparison: Comparison) -> RenderableType:
    """Everything the terminal shows of a comparison, at most 100 columns wide."""
    seeds = ", ".join(map(str, comparison.seeds))
    parts: list[RenderableType] = [Text(f"\nComparison · seeds {seeds}\n", "bold")]
    for pool in comparison.pools:
        parts += [Text(f"\n{pool}\n", "bold"), _accuracies(comparison, pool)]
    if comparison.contrasts:
        heading = f"\n{comparison.main_name} minus every other arm, in points\n"
        parts.append(Text(heading, "bold"))
        parts.append(_differences(comparison))
        if any(each.best_single for each in comparison.contrasts):
            parts.append(Text(BEST_SINGLE, "dim"))
    else:
        parts.append(Text("\nThere are no two trained arms on the same seeds."))
    if comparison.form:
        parts += form_tables(comparison.form)
    parts += [Text(f"\nNote: {note}", "yellow") for note in comparison.notes]
    return Group(*parts, Text(f"\n{METHOD}", "dim"))


def _accuracies(comparison: Comparison, pool: str) -> Table:
    table = _table()
    table.add_column("arm", overflow="fold", max_width=30)
    for heading in ("round", "n", "accuracy", "blind", "minus untrained", "could\nshow", "tokens"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in comparison.rows:
        if row.pool == pool:
            table.add_row(
                Text(row.arm, "bold" if row.arm in comparison.main else ""),
                str(row.round),
                str(row.n),
                percent_with_interval(row.accuracy, row.ci95),
                percent_with_interval(row.blind_accuracy, row.blind_ci95),
                points(row.gain),
                detectable(row.gain),
                amount(row.tokens) if row.tokens else NONE,
            )
    for ceiling in comparison.ceilings:
        if ceiling.pool == pool:
            share = percent_with_interval(ceiling.accuracy, ceiling.ci95)
            table.add_row(
                Text(ceiling.name, "italic"), NONE, str(ceiling.n), share, NONE, NONE, NONE, NONE
            )
    return table


def _differences(comparison: Comparison) -> Table:
    table = _table()
    table.add_column("difference", overflow="fold", max_width=44)
    table.add_column("pool")
    for heading in ("round", "n", "clus-\nters", "points", "could\nshow", "p", "Holm"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in comparison.contrasts:
        table.add_row(
            Text(
                f"{each.arm} − {each.other}{' *' if each.best_single else ''}",
                "bold" if each.best_single else "",
            ),
            each.pool,
            str(each.round),
            str(each.difference.n),
            str(each.difference.clusters),
            Text(points(each.difference), "bold" if each.best_single else ""),
            detectable(each.difference),
            p_value(each.mcnemar_p),
            p_value(each.holm_p),
        )
    return table


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
