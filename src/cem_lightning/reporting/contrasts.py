"""Accuracies and differences of arms, their seeds pooled, each with its interval.

Pairs answers by seed and question; what is put beside what, and how it is shown, is the business
of `compare`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cem_lightning.answering.statistics import (
    Difference,
    clustered_wilson_interval,
    holm,
    mcnemar,
    paired_cluster_bootstrap,
    wilson_interval,
)
from cem_lightning.reporting.arms import UNTRAINED, Arm, Clusters
from cem_lightning.reporting.run_folder import AnswerRow, RunRecord

_MAIN = "cem"
SINGLE_ARMS = ("cpt_only", "cit_only")
_UNMATCHED = 0.02  # difference in training tokens that is pointed out


@dataclass(frozen=True)
class Row:
    """One arm after one round on one pool, its seeds pooled.

    Attributes:
        n: answers, one for each question of each seed.
        ci95: 95% interval of the accuracy at the effective sample size of the clusters.
        blind_accuracy: with the subject masked, on the questions that have such a form.
        tokens: training tokens until then, mean over seeds.
        gain: minus round 0 of the same seeds, paired; None in round 0.
        by_seed: each seed's accuracy and number of questions.
    """

    arm: str
    round: int
    pool: str
    n: int
    accuracy: float
    ci95: tuple[float, float]
    blind_accuracy: float | None
    blind_ci95: tuple[float, float] | None
    tokens: float
    gain: Difference | None
    by_seed: dict[int, tuple[float, int]]


@dataclass(frozen=True)
class Contrast:
    """One arm minus another, paired by seed and question.

    Attributes:
        round: compared after this round, the last that both have reached.
        best_single: the other one is the better of CPT alone and CIT alone on held-out questions.
        by_seed: each seed's difference.
        mended: answers that this arm got right and the other one did not.
        lost: the reverse.
        mcnemar_p: exact, of these two; it takes the answers as independent.
        holm_p: the same adjusted for the number of arms that this one is compared with on the pool.
    """

    arm: str
    other: str
    pool: str
    round: int
    seeds: tuple[int, ...]
    difference: Difference
    best_single: bool
    by_seed: dict[int, float]
    mended: int
    lost: int
    mcnemar_p: float
    holm_p: float


@dataclass(frozen=True)
class Ceiling:
    """Accuracy of an untrained model with retrieved passages in the prompt.

    Attributes:
        name: "open book", with the arm if it is not that of all.
    """

    name: str
    pool: str
    n: int
    accuracy: float
    ci95: tuple[float, float]


def arm_row(arm: str, records: Arm, number: int, pool: str, clusters: Clusters) -> Row:
    """One arm after round `number` on one pool."""
    answered = {
        seed: list(record.answered(number, pool).values())
        for seed, record in records.items()
        if pool in record.pools
    }
    rows = [(clusters.name(seed, row), row) for seed, each in answered.items() for row in each]
    rights = [row.right for _, row in rows]
    blind = [(name, row.blind_right) for name, row in rows if row.blind_right is not None]
    blind_ci95 = None
    if blind:
        blind_ci95 = clustered_wilson_interval(
            [right for _, right in blind], [name for name, _ in blind]
        )
    return Row(
        arm=arm,
        round=number,
        pool=pool,
        n=len(rows),
        accuracy=sum(rights) / len(rights),
        ci95=clustered_wilson_interval(rights, [name for name, _ in rows]),
        blind_accuracy=sum(right for _, right in blind) / len(blind) if blind else None,
        blind_ci95=blind_ci95,
        tokens=sum(each.tokens_until(number) for each in records.values()) / len(records),
        gain=_difference(_pairs(records, 0, records, number, pool), clusters) if number else None,
        by_seed={
            seed: (sum(row.right for row in each) / len(each), len(each))
            for seed, each in answered.items()
        },
    )


def untrained_rows(arms: Mapping[str, Arm], pool: str, clusters: Clusters) -> list[Row]:
    """Round 0: one row if all arms started from the same answers, otherwise one for each arm."""
    start: dict[int, RunRecord] = {}
    same = True
    for records in arms.values():
        for seed, record in records.items():
            other = start.setdefault(seed, record)
            theirs, ours = other.answered(0, pool), record.answered(0, pool)
            same = same and all(theirs[each].prediction == ours[each].prediction for each in ours)
    if same:
        return [arm_row(UNTRAINED, start, 0, pool, clusters)]
    return [
        arm_row(
            arm if arm.startswith(UNTRAINED) else f"{UNTRAINED}, {arm}", records, 0, pool, clusters
        )
        for arm, records in arms.items()
        if any(pool in each.pools for each in records.values())
    ]


def _difference(
    pairs: Sequence[tuple[int, AnswerRow, AnswerRow]], clusters: Clusters
) -> Difference:
    return paired_cluster_bootstrap(
        [first.right for _, first, _ in pairs],
        [second.right for _, _, second in pairs],
        [clusters.name(seed, first) for seed, first, _ in pairs],
    )


def _pairs(
    before: Arm, round_before: int, after: Arm, round_after: int, pool: str
) -> list[tuple[int, AnswerRow, AnswerRow]]:
    """Seed, answer before and answer after of every question of the seeds that both have."""
    pairs = []
    for seed in sorted(after):
        if seed in before:
            second = after[seed].answered(round_after, pool)
            for question, first in before[seed].answered(round_before, pool).items():
                pairs.append((seed, first, second[question]))
    return pairs


def main_arms(arms: Mapping[str, Arm], runs: Sequence[RunRecord]) -> list[str]:
    """Those that every other arm is subtracted from.

    That is CEM, in as many variants as there are; if they are all there is, or there is none, the
    arm of the first trained run.
    """
    trained = {label: each for label, each in arms.items() if arm_of(each) != UNTRAINED}
    main = [label for label, records in trained.items() if arm_of(records) == _MAIN]
    if 0 < len(main) < len(trained):
        return main
    first = next((run for run in runs if run.last_round), None)
    return [label for label, each in trained.items() if any(run is first for run in each.values())]


def contrasts(
    arm: str,
    arms: Mapping[str, Arm],
    main: Sequence[str],
    pools: Sequence[str],
    clusters: Clusters,
) -> list[Contrast]:
    """A main arm minus every other arm after the last round that both have reached."""
    ours = arms[arm]
    others: dict[str, tuple[int, tuple[int, ...]]] = {}
    for other, theirs in arms.items():
        seeds = tuple(sorted(seed for seed in ours if seed in theirs))
        if other not in main and seeds:
            number = min(each[seed].last_round for each in (ours, theirs) for seed in seeds)
            if number:
                others[other] = (number, seeds)
    best = _best_single(arms, others)
    found: list[Contrast] = []
    for pool in pools:
        of_pool = []
        for other, (number, seeds) in others.items():
            pairs = _pairs(arms[other], number, ours, number, pool)
            if not pairs:
                continue
            flows = [(first.right, second.right) for _, first, second in pairs]
            mended, lost = flows.count((False, True)), flows.count((True, False))
            p = mcnemar(mended, lost)
            of_pool.append(
                Contrast(
                    arm,
                    other,
                    pool,
                    number,
                    seeds,
                    _difference(pairs, clusters),
                    best_single=other == best,
                    by_seed=_mean_by_seed(pairs),
                    mended=mended,
                    lost=lost,
                    mcnemar_p=p,
                    holm_p=p,
                )
            )
        adjusted = holm([each.mcnemar_p for each in of_pool])
        found += [replace(each, holm_p=p) for each, p in zip(of_pool, adjusted, strict=True)]
    return found


def _best_single(
    arms: Mapping[str, Arm], others: Mapping[str, tuple[int, tuple[int, ...]]]
) -> str | None:
    """The better of CPT alone and CIT alone on held-out questions, of those compared."""
    scores = {}
    for other, (number, seeds) in others.items():
        if arm_of(arms[other]) in SINGLE_ARMS:
            rows = [
                row
                for seed in seeds
                for row in arms[other][seed].answered(number, "heldout").values()
            ]
            if rows:
                scores[other] = sum(row.right for row in rows) / len(rows)
    return max(scores, key=lambda name: scores[name]) if scores else None


def _mean_by_seed(pairs: Sequence[tuple[int, AnswerRow, AnswerRow]]) -> dict[int, float]:
    changes: dict[int, list[int]] = {}
    for seed, first, second in pairs:
        changes.setdefault(seed, []).append(second.right - first.right)
    return {seed: sum(each) / len(each) for seed, each in changes.items()}


def arm_of(records: Arm) -> str:
    """The recipe's name of an arm that may carry a longer label."""
    return next(iter(records.values())).arm


def ceilings(arms: Mapping[str, Arm], pools: Sequence[str]) -> list[Ceiling]:
    """The open-book accuracy, one run for each seed.

    It does not depend on what was trained; where arms have other models or corpora and so another
    one, each has its own.
    """
    found = []
    for pool in pools:
        asked: dict[str, dict[int, tuple[float, int]]] = {}
        for arm, records in arms.items():
            for seed, run in records.items():
                scores = run.rounds[0]["pools"].get(pool, {})
                if "open_book_accuracy" in scores:
                    asked.setdefault(arm, {})[seed] = scores["open_book_accuracy"], scores["n"]
        values: dict[int, set[tuple[float, int]]] = {}
        for by_seed in asked.values():
            for seed, value in by_seed.items():
                values.setdefault(seed, set()).add(value)
        if all(len(each) == 1 for each in values.values()):
            asked = {"": {seed: value for seed, (value,) in values.items()}} if values else {}
        for arm, by_seed in asked.items():
            right = sum(round(accuracy * n) for accuracy, n in by_seed.values())
            n = sum(each for _, each in by_seed.values())
            label = f"open book, {arm}" if arm else "open book"
            found.append(Ceiling(label, pool, n, right / n, wilson_interval(right, n)))
    return found


def notes(arms: Mapping[str, Arm], made: Sequence[Contrast]) -> list[str]:
    """What a reader must know before taking a difference at face value."""
    lines = []
    for contrast in {(each.arm, each.other): each for each in made}.values():
        ours, theirs = (
            sum(arms[arm][seed].tokens_until(contrast.round) for seed in contrast.seeds)
            / len(contrast.seeds)
            for arm in (contrast.arm, contrast.other)
        )
        if abs(theirs - ours) > _UNMATCHED * max(ours, 1):
            lines.append(
                f"Not matched in training tokens: {contrast.other} had read {theirs:,.0f} "
                f"after round {contrast.round}, {contrast.arm} {ours:,.0f} "
                f"({theirs / max(ours, 1) - 1:+.1%})."
            )
        last = max(r.last_round for a in (contrast.arm, contrast.other) for r in arms[a].values())
        if contrast.round < last:
            lines.append(
                f"{contrast.arm} and {contrast.other} are compared after round {contrast.round}, "
                f"the last that all their runs have reached; one went on to round {last}."
            )
    seeds = {seed for records in arms.values() for seed in records}
    for arm, records in arms.items():
        missing = sorted(seeds - {*records})
        if missing and arm_of(records) != UNTRAINED:
            listed = ", ".join(map(str, missing))
            lines.append(f"{arm} has no run with seed {listed}; it is compared on the others.")
        for seed, record in records.items():
            if "stopped" in record.metrics:
                lines.append(f"{arm}, seed {seed}, stopped early: {record.metrics['stopped']}.")
    return lines
