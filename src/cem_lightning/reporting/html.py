"""Pages for a browser: the report of a run and the comparison of several, one file each.

They open without a network and run no script. Questions and passages come from anywhere, so all
text is escaped and a content policy forbids whatever might still get in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from cem_lightning.corpus.config import KINDS
from cem_lightning.reporting import figures
from cem_lightning.reporting.charts import (
    Mark,
    Series,
    accuracy_chart,
    forest_plot,
    loss_chart,
)
from cem_lightning.reporting.compare import METHOD, Comparison
from cem_lightning.reporting.form import FORM, form_of
from cem_lightning.reporting.gains import (
    changes_by_kind,
    flow,
    gain_per_million_tokens,
    gain_since_start,
    ledger_counts,
    open_book,
    slices,
    steps,
)
from cem_lightning.reporting.guards import chosen_parts, stability
from cem_lightning.reporting.kinds import kind_rows, quarantine_note
from cem_lightning.reporting.run_folder import MistakeStory, RunRecord
from cem_lightning.storage.atomic import write_text

STORIES = 20  # mistakes shown in full
# with hyphens at which no line breaks
_POOL_WORDS = {"heldout": "held‑out", "source": "source", "ood": "out‑of‑domain"}
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def write_report(record: RunRecord, folder: Path) -> Path:
    """Write ``report.html`` into the run folder and return its path."""
    path = folder / "report.html"
    write_text(path, report_page(record))
    return path


def report_page(record: RunRecord) -> str:
    """The report of one run as one HTML document."""
    pools = record.pools
    trained = range(1, record.last_round + 1)
    return _render(
        "report.html.j2",
        record=record,
        metrics=record.metrics,
        title=f"{record.name} · {record.arm} · seed {record.seed}",
        headline=headline(record),
        final=_final(record),
        charts={pool: _accuracy(record, pool) for pool in pools},
        gains={
            (number, pool): gain_since_start(record, number, pool)
            for number in trained
            for pool in pools
        },
        rates={
            (number, pool): gain_per_million_tokens(record, number, pool)
            for number in trained
            for pool in pools
        },
        ceilings={pool: open_book(record, pool) for pool in pools},
        flows={(number, pool): flow(record, number, pool) for number in trained for pool in pools},
        steps=steps(record),
        ledgers={pool: ledger_counts(record, record.last_round, pool) for pool in pools},
        slices=[slices(record, each["round"]) for each in record.rounds] if trained else [],
        kinds={pool: changes_by_kind(record, pool) for pool in pools} if trained else {},
        largest=max(sum(each["tokens"].values()) for each in record.rounds),
        losses=_losses(record),
        mistake_kinds=kind_rows(record),
        form=form_of(record),
        stability=stability(record),
        chosen=chosen_parts(record),
        form_note=FORM,
        quarantine_note=quarantine_note(record),
        stories=chosen_stories(record),
        config=_flatten(record.config),
        KINDS=KINDS,
        LETTERS=_LETTERS,
        POOL_WORDS=_POOL_WORDS,
    )


def comparison_page(comparison: Comparison) -> str:
    """A comparison as one HTML document."""
    return _render(
        "comparison.html.j2",
        comparison=comparison,
        title="Comparison of arms",
        headline=comparison_headline(comparison),
        accuracies={pool: _arms(comparison, pool) for pool in comparison.pools},
        differences={pool: _contrasts(comparison, pool) for pool in comparison.pools},
        method=METHOD,
        form_note=FORM,
        POOL_WORDS=_POOL_WORDS,
    )


def headline(record: RunRecord) -> str:
    """The finding of a run in one sentence, without judgement."""
    pool = record.pools[0]
    scores = [record.rounds[each]["pools"][pool] for each in (0, record.last_round)]
    questions = f"{scores[0]['n']} {_POOL_WORDS.get(pool, pool)} questions"
    if not record.last_round:
        return f"Untrained, the model answers {scores[0]['accuracy']:.0%} of {questions}."
    rounds = "one round" if record.last_round == 1 else f"{record.last_round} rounds"
    tokens = record.tokens_until(record.last_round)
    return (
        f"After {rounds} and {tokens:,} training tokens the model answers "
        f"{scores[1]['accuracy']:.0%} of {questions}; before, it answered "
        f"{scores[0]['accuracy']:.0%}."
    )


def comparison_headline(comparison: Comparison) -> str:
    """The main arm against the best single one in a sentence, or what there is instead."""
    for each in comparison.contrasts:
        if each.best_single and each.pool == comparison.pools[0]:
            return (
                f"On {each.difference.n} {_POOL_WORDS.get(each.pool, each.pool)} answers, "
                f"{each.arm} minus {each.other}, the best single arm, is "
                f"{figures.points(each.difference)} points."
            )
    arms = list(dict.fromkeys(row.arm for row in comparison.rows))
    return f"{len(arms)} arms beside each other: {', '.join(arms)}."


def chosen_stories(record: RunRecord) -> list[MistakeStory]:
    """At most twenty mistakes, taken evenly from first to last, not for how they ended."""
    stories = record.stories
    if len(stories) <= STORIES:
        return list(stories)
    return [stories[each * len(stories) // STORIES] for each in range(STORIES)]


def _final(record: RunRecord) -> dict[str, Any]:
    """The figures at the head of the report, all of the first pool."""
    pool, last = record.pools[0], record.last_round
    return {
        "pool": pool,
        "gain": gain_since_start(record, last, pool) if last else None,
        "rate": gain_per_million_tokens(record, last, pool),
        "before": record.rounds[0]["pools"][pool],
        "now": record.rounds[last]["pools"][pool],
        "flow": _flow_since_start(record, pool),
        "tokens": record.tokens_until(last),
        "seconds": sum(sum(each["seconds"].values()) for each in record.rounds),
    }


def _flow_since_start(record: RunRecord, pool: str) -> tuple[int, int]:
    before, now = record.answered(0, pool), record.answered(record.last_round, pool)
    pairs = [(before[each].right, now[each].right) for each in before]
    return pairs.count((False, True)), pairs.count((True, False))


def _accuracy(record: RunRecord, pool: str) -> Markup:
    scores = [each["pools"][pool] for each in record.rounds]
    colour = f"var(--{pool})" if pool in _POOL_WORDS else "var(--ink)"
    series = []
    for name, value, interval, dashed in (
        ("name-blind", "blind_accuracy", "blind_ci95", True),
        ("accuracy", "accuracy", "ci95", False),
    ):
        if any(each.get(value) is None for each in scores):
            continue
        titles = [
            f"{name}, round {number}: "
            f"{figures.percent_with_interval(each[value], each.get(interval))} of {each['n']}"
            for number, each in enumerate(scores)
        ]
        intervals = [tuple(each[interval]) if interval in each else None for each in scores]
        values = [each[value] for each in scores]
        series.append(Series(name, values, intervals, colour, dashed, titles))
    found = open_book(record, pool)
    ceiling = None
    if found is not None:
        share = figures.percent_with_interval(found.accuracy, found.ci95)
        ceiling = (found.accuracy, f"open book, untrained: {share} of {found.n}")
    return accuracy_chart(f"Accuracy on the {pool} pool by round", series, ceiling)


def _losses(record: RunRecord) -> Markup | None:
    """Every column of the curves that is a loss, over all rounds end to end."""
    names = list(dict.fromkeys(key for row in record.curves for key in row))
    losses = [name for name in names if name == "loss" or name.startswith("loss/")]
    axis = "tokens" if "tokens" in names else "step"
    starts, reached, current = [], 0.0, None
    for row in record.curves:  # both axes start anew in every round
        if row.get("round") != current:
            current, offset = row.get("round"), reached
        reached = offset + float(row.get(axis, 0))
        starts.append(reached)
    curves = []
    for name in losses:
        kind = name.removeprefix("loss/")
        points = [
            (at, float(row[name]))
            for at, row in zip(starts, record.curves, strict=True)
            if name in row
        ]
        if points:
            colour = f"var(--{kind})" if kind in KINDS else "var(--ink)"
            curves.append((kind, colour, points))
    return loss_chart("Training loss", curves, axis) if curves else None


def _arms(comparison: Comparison, pool: str) -> Markup:
    """Accuracy of every arm after its last round."""
    rows = {row.arm: row for row in comparison.rows if row.pool == pool}
    marks = [
        Mark(
            f"{row.arm}, round {row.round}" if row.round else row.arm,
            row.accuracy,
            row.ci95,
            f"{figures.percent_with_interval(row.accuracy, row.ci95)} n={row.n}",
            f"var(--{pool})" if row.arm in comparison.main else "var(--muted)",
            strong=row.arm in comparison.main,
        )
        for row in rows.values()
    ]
    marks += [
        Mark(
            f"{each.name}, untrained",
            each.accuracy,
            each.ci95,
            f"{figures.percent_with_interval(each.accuracy, each.ci95)} n={each.n}",
            "var(--ceiling)",
        )
        for each in comparison.ceilings
        if each.pool == pool
    ]
    return forest_plot(f"Accuracy of every arm on the {pool} pool", marks, shares=True)


def _contrasts(comparison: Comparison, pool: str) -> Markup | None:
    marks = []
    for each in comparison.contrasts:
        if each.pool == pool:
            low, high = each.difference.low, each.difference.high
            marks.append(
                Mark(
                    f"{each.arm} − {each.other}",
                    each.difference.mean,
                    None if low is None or high is None else (low, high),
                    f"{figures.points(each.difference)} n={each.difference.n}",
                    f"var(--{pool})" if each.best_single else "var(--muted)",
                    strong=each.best_single,
                )
            )
    return forest_plot(f"Differences on the {pool} pool in points", marks) if marks else None


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            plain = isinstance(value, str)
            flat[prefix + key] = value if plain else json.dumps(value, ensure_ascii=False)
    return flat


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)


@cache
def _templates() -> Environment:
    """The templates, each compiled once."""
    files = resources.files("cem_lightning.reporting")
    environment = Environment(
        loader=FunctionLoader(lambda name: files.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = (
        "percent",
        "percent_with_interval",
        "points",
        "detectable",
        "p_value",
        "signed",
        "amount",
        "duration",
        "memory",
    )
    environment.filters |= {name: getattr(figures, name) for name in names}
    return environment
