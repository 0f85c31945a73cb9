"""Gain of form and gain of knowledge apart.

An answer can become right because the model learned what is so, or because it learned to say it in
the form asked for. Whether the right choice is the likeliest one, whatever was written, does not
depend on the form: what a gain has beyond that of the likelihood is form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cem_lightning.answering.statistics import Difference, paired_cluster_bootstrap
from cem_lightning.reporting.arms import Arm, Clusters
from cem_lightning.reporting.figures import NONE, percent, points, signed
from cem_lightning.reporting.run_folder import AnswerRow, RunRecord

FORM = (
    "Knowledge: the gain by likelihood, in answers whose right choice is the likeliest, whatever "
    "was written. Form: what the gain has beyond that."
)


@dataclass(frozen=True)
class FormRow:
    """One arm after one round on one pool, its seeds pooled, against round 0 of the same seeds.

    Attributes:
        n: answers, one for each question of each seed.
        accuracy: as asked.
        likelihood_accuracy: share of the answers whose right choice is the likeliest.
        gain: in accuracy; the sum of the other two.
        knowledge: in accuracy by likelihood.
        form: the rest.
    """

    arm: str
    round: int
    pool: str
    n: int
    accuracy: float
    likelihood_accuracy: float
    gain: Difference | None
    knowledge: Difference | None
    form: Difference | None


def form_rows(
    arms: Mapping[str, Arm], pools: Sequence[str], clusters: Clusters
) -> tuple[FormRow, ...]:
    """Every round of every arm, of the pools where form and likelihood ever differ.

    Round 0 has no gains. Empty where answers are chosen by likelihood (cloze, letters), and for
    records of before the likeliest choice was kept.
    """
    found = []
    for pool in pools:
        rows = [
            _row(arm, records, number, pool, clusters)
            for arm, records in arms.items()
            for number in range(min(each.last_round for each in records.values()) + 1)
            if all(pool in each.pools for each in records.values())
        ]
        kept = [each for each in rows if each is not None]
        if any(each.accuracy != each.likelihood_accuracy for each in kept):
            found += kept
    return tuple(found)


def form_of(record: RunRecord) -> tuple[FormRow, ...]:
    """The rows of one run."""
    return form_rows({record.arm: {record.seed: record}}, record.pools, Clusters([record]))


def form_tables(rows: Sequence[FormRow]) -> Iterator[RenderableType]:
    """What the terminal shows of them; nothing if there are none."""
    if not rows:
        return
    yield Text("\nGain of form and of knowledge, in points since round 0\n", "bold")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("arm", overflow="fold", min_width=10, max_width=22)
    table.add_column("round · pool", no_wrap=True)
    for heading in ("n", "right", "by like-\nlihood", "gain", "knowledge", "form"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in rows:
        table.add_row(
            Text(each.arm),
            f"{each.round} · {each.pool}",
            str(each.n),
            percent(each.accuracy),
            percent(each.likelihood_accuracy),
            NONE if each.gain is None else signed(each.gain.mean * 100),
            *(points(part) for part in (each.knowledge, each.form)),
        )
    yield table
    yield Text(FORM, "dim")


def _row(arm: str, records: Arm, number: int, pool: str, clusters: Clusters) -> FormRow | None:
    before: list[AnswerRow] = []
    after: list[AnswerRow] = []
    names = []
    for seed, record in sorted(records.items()):
        last = record.answered(number, pool)
        for question, first in record.answered(0, pool).items():
            before.append(first)
            after.append(last[question])
            names.append(clusters.name(seed, first))
    if not after or any(each.likelihood_right is None for each in (*before, *after)):
        return None

    def difference(first: list[float], second: list[float]) -> Difference | None:
        return paired_cluster_bootstrap(first, second, names) if number else None

    asked = [[float(each.right) for each in rows] for rows in (before, after)]
    known = [[float(bool(each.likelihood_right)) for each in rows] for rows in (before, after)]
    said = [
        [right - likeliest for right, likeliest in zip(*each, strict=True)]
        for each in zip(asked, known, strict=True)
    ]
    return FormRow(
        arm,
        number,
        pool,
        len(after),
        sum(asked[1]) / len(after),
        sum(known[1]) / len(after),
        difference(*asked),
        difference(*known),
        difference(*said),
    )
