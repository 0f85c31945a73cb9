"""The tables of one run on a terminal: scores by round and pool, and what each round took.

Plain text where there is no terminal; the page for a browser is made by `html`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cem_lightning.corpus.config import KINDS
from cem_lightning.reporting.figures import (
    NONE,
    amount,
    detectable,
    duration,
    memory,
    p_value,
    percent,
    percent_with_interval,
    points,
    signed,
)
from cem_lightning.reporting.gains import (
    gain_per_million_tokens,
    gain_since_start,
    ledger_counts,
    open_book,
    slices,
    steps,
)
from cem_lightning.reporting.kinds import kind_tables
from cem_lightning.reporting.run_folder import RunRecord

_WIDTH = 100  # of text that goes into a file


def make_console() -> Console:
    """Standard output: as wide as the terminal, or as the tables need where there is none."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)


def print_run(record: RunRecord, console: Console | None = None) -> None:
    """Print the tables of a finished run."""
    (console or make_console()).print(run_tables(record))


def run_tables(record: RunRecord) -> RenderableType:
    """Everything the terminal shows of a run, at most 100 columns wide."""
    parts: list[RenderableType] = [
        Text(f"\n{record.name} · {record.arm} · seed {record.seed}\n", "bold"),
        _scores(record),
        Text(
            "[a, b] is a 95% interval: Wilson's for an accuracy, a bootstrap paired by question\n"
            "and clustered for a gain. Blind: subject masked. Gains in points since round 0, also\n"
            "per million training tokens. Could show: the smallest true gain found at 80% power.",
            "dim",
        ),
    ]
    if record.last_round:
        parts += _changed(record)
    parts += [
        Text("\nWhat each round learned from, trained on (tokens by kind) and took\n", "bold"),
        _work(record),
    ]
    if any(current["reused"] for current in record.rounds):
        parts.append(
            Text("* some stages reused from an earlier run, counted as long as they took", "dim")
        )
    parts += kind_tables(record)
    if any(row.slice for row in record.answers) and record.last_round:
        parts += [
            Text("\nSource pool by the round that mined it; a later fall is forgetting\n", "bold"),
            _slices(record),
        ]
        parts += [Text(line, "dim") for line in _transfer(record)]
    if record.has_short_answers:
        parts += [
            Text("\nShort answers: F1 / share that hold the accepted answer at all\n", "bold"),
            _short_answers(record),
        ]
    parts.append(Text(f"\nPeak memory {memory(record.metrics['peak_memory_bytes'])}."))
    if "stopped" in record.metrics:
        parts.append(Text(f"Stopped early: {record.metrics['stopped']}.", "yellow"))
    return Group(*parts)


def _scores(record: RunRecord) -> Table:
    table = _table()
    table.add_column("round · pool", no_wrap=True)
    for heading in (
        "n", "accuracy", "blind", "gain", "could\nshow", "per M\ntokens", "unpars.\n/long"
    ):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for current in record.rounds:
        number = current["round"]
        for position, pool in enumerate(record.pools):
            scores = current["pools"][pool]
            rate = gain_per_million_tokens(record, number, pool)
            gain = gain_since_start(record, number, pool) if number else None
            table.add_row(
                f"{number} · {pool}" if position == 0 else f"    {pool}",
                str(scores["n"]),
                percent_with_interval(scores["accuracy"], scores.get("ci95")),
                percent_with_interval(scores["blind_accuracy"], scores.get("blind_ci95")),
                points(gain),
                detectable(gain),
                signed(rate, 0) if rate is not None else NONE,
                f"{scores['unparsable']}/{scores['too_long']}",
                end_section=position == len(record.pools) - 1,
            )
        ceilings = [open_book(record, pool) for pool in record.pools if number == 0]
        for ceiling in filter(None, ceilings):
            share = percent_with_interval(ceiling.accuracy, ceiling.ci95)
            table.add_row(f"    {ceiling.name}", str(ceiling.n), share, end_section=True)
    return table


def _changed(record: RunRecord) -> list[RenderableType]:
    """The verdicts, what was mended and lost, and what became of the questions."""
    parts: list[RenderableType] = []
    for current in record.rounds:
        if "verdict" in current:
            parts.append(_verdict(current))
    if "noise" in record.metrics:
        parts.append(Text(_noise(record.metrics["noise"]), "dim"))
    table = _table()
    table.add_column("rounds · pool", no_wrap=True)
    for heading in ("n", "mended", "lost", "gain", "could\nshow", "McNemar\np"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in steps(record):
        table.add_row(
            f"{each.before} → {each.now} · {each.pool}",
            *map(str, (each.gain.n, each.mended, each.lost)),
            points(each.gain),
            detectable(each.gain),
            p_value(each.mcnemar_p),
            end_section=each.pool == record.pools[-1],
        )
    became = _table()
    became.add_column("pool")
    counts = {pool: ledger_counts(record, record.last_round, pool) for pool in record.pools}
    for heading in next(iter(counts.values())):
        became.add_column(heading.replace("_", " "), justify="right", no_wrap=True)
    for pool, each_state in counts.items():
        became.add_row(pool, *map(str, each_state.values()))
    return [
        *parts,
        Text(
            "\nWhat changed: not right before and right now (mended), and the reverse (lost)\n",
            "bold",
        ),
        table,
        Text(f"\nWhat became of the questions by round {record.last_round}\n", "bold"),
        became,
    ]


def _verdict(current: Mapping[str, Any]) -> Text:
    verdict = current["verdict"]
    colour = {"ACCEPT": "green", "REJECT": "red"}.get(verdict["decision"], "yellow")
    dropped = "" if verdict["kept"] else " Its model was not carried on."
    return Text.assemble(
        f"\nRound {current['round']} against round {verdict['against']}: ",
        (verdict["decision"], f"bold {colour}"),
        f". {verdict['reason']}{dropped}",
    )


def _noise(noise: Mapping[str, Any]) -> str:
    ways = {"batching": "in other batches", "order": "with the choices reversed"}
    flips = [
        f"{percent(noise[way]['flips'])} of {noise[way]['n']} {words}"
        for way, words in ways.items()
        if noise.get(way)
    ]
    return (
        f"\nNoise floor {noise['floor'] * 100:.1f} points: without training the prediction moved "
        f"for {', '.join(flips)}."
    )


def _transfer(record: RunRecord) -> Iterator[str]:
    """Transfer and forgetting in a line each, in points."""
    found = record.metrics.get("transfer", {})
    reasons = {each["reason"] for each in found.values()}
    if len(reasons) == 1 and "" not in reasons:
        yield f"Transfer and forgetting are not defined: {reasons.pop()}."
        return
    for name, each in found.items():
        if each["value"] is not None:
            slices_ = "1 slice" if each["slices"] == 1 else f"{each['slices']} slices"
            yield (
                f"{name.replace('_', ' ').capitalize()} {signed(each['value'] * 100)} points "
                f"(n = {each['n']}, {slices_})"
            )


def _work(record: RunRecord) -> Table:
    table = _table()
    table.add_column("round")
    for heading in ("wrong/\nambig.", "pass-\nages", *KINDS, "tokens", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for current in record.rounds:
        mistakes = current.get("mistakes")
        tokens = current["tokens"]
        reused = len(current["reused"])
        table.add_row(
            str(current["round"]),
            f"{mistakes['wrong']}/{mistakes['ambiguous']}" if mistakes else NONE,
            amount(current["passages"]) if "passages" in current else NONE,
            *(amount(tokens[kind]) if tokens.get(kind) else NONE for kind in KINDS),
            amount(sum(tokens.values())) if any(tokens.values()) else NONE,
            duration(sum(current["seconds"].values())) + ("*" if reused else ""),
        )
    return table


def _slices(record: RunRecord) -> Table:
    """Forgetting: the source pool by the round that mined it."""
    table = _table()
    table.add_column("round")
    for group in slices(record, 0):
        table.add_column(f"mined in {group.name}\n(n = {group.n})", justify="right", no_wrap=True)
    for current in record.rounds:
        groups = slices(record, current["round"])
        table.add_row(
            str(current["round"]),
            *(percent_with_interval(group.accuracy, group.ci95) for group in groups),
        )
    return table


def _short_answers(record: RunRecord) -> Table:
    """What accuracy, which counts exact matches, does not see: half a right answer, and form."""
    table = _table()
    table.add_column("round")
    start = record.rounds[0]["pools"]
    pools = [pool for pool in record.pools if "f1" in start[pool]]
    for pool in pools:
        heading = f"{pool}\n(n = {start[pool]['short']})"
        table.add_column(heading, justify="right", no_wrap=True)
    for current in record.rounds:
        scores = [current["pools"][pool] for pool in pools]
        shares = [f"{percent(each['f1'])} / {percent(each['held'])}" for each in scores]
        table.add_row(str(current["round"]), *shares)
    return table


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
