"""What action=check shows on a terminal: pools, corpus, recipe, forecast, and what to look at.

Only the words and tables; the findings come from `evolution.check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cem_lightning.reporting.figures import NONE, amount, duration, memory, percent
from cem_lightning.reporting.findings import (
    CorpusFindings,
    Findings,
    Forecast,
    RecipeFindings,
    Spread,
)
from cem_lightning.reporting.printable import printable_record
from cem_lightning.reporting.tables import make_console

_KINDS = 5  # named of a pool's kinds
_UNREAD = 12  # named of the columns that are not read
_LEAKS = 5  # named of the documents that leak


def print_findings(findings: Findings, console: Console | None = None) -> None:
    """Print everything that was found, problems last."""
    (console or make_console()).print(_everything(printable_record(findings)))


def _everything(findings: Findings) -> RenderableType:
    parts: list[RenderableType] = [
        _heading(f"{findings.name} · check · {findings.model}"),
        _pools(findings),
        Text("\n".join(_pool_lines(findings)), "dim"),
    ]
    if any(pool.cues for pool in findings.pools):
        parts += [
            _heading("Surface cues: accuracy of strategies that know nothing"),
            _cues(findings),
            Text("! beats guessing by more than two standard errors", "dim"),
        ]
    parts += [_heading(f"Corpus ({findings.source})"), _corpus(findings.corpus)]
    if findings.rounds:
        parts += [
            _heading(f"Recipe {findings.recipe.name}: tokens of a round"),
            _recipe(findings.recipe),
        ]
    parts += [
        _heading("Forecast, an estimate"),
        _costs(findings.forecast),
        Text("\n".join(_forecast_lines(findings))),
        _problems(findings),
    ]
    return Group(*parts)


def _pools(findings: Findings) -> Table:
    table = _table()
    table.add_column("pool", no_wrap=True)
    table.add_column("")
    for heading in ("choices", "characters\nmedian/max", "tokens\nmedian/max", "too\nlong"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("repeated", justify="right")
    for pool in findings.pools:
        table.add_row(
            pool.name,
            amount(pool.questions, "questions"),
            _choices(pool.choices),
            _spread(pool.characters),
            _spread(pool.tokens),
            amount(pool.too_long),
            amount(pool.repeated),
        )
    return table


def _pool_lines(findings: Findings) -> Iterator[str]:
    yield (
        f"Characters of the question; tokens of prompt and longest response, of {findings.context} "
        "in the context."
    )
    for pool in findings.pools:
        if len(pool.kinds) > 1 or "" not in pool.kinds:
            yield f"{pool.name}: {_most(pool.kinds, 'of no kind')}"
        if pool.unread:
            more = len(pool.unread) - _UNREAD
            named = ", ".join(pool.unread[:_UNREAD]) + (f" and {more} others" if more > 0 else "")
            yield f"{pool.name}: columns not read: {named}"
    if findings.left_out:
        total = sum(findings.left_out.values())
        yield f"left out: {amount(total, 'rows')}: {_most(findings.left_out, '')}"
    if findings.rounds:
        sizes = list(dict.fromkeys(findings.mined))
        each = " and ".join(map(str, sizes)) or "no"
        yield (
            f"The source pool feeds {len(findings.mined)} of {findings.rounds} rounds with {each} "
            "questions each."
        )


def _cues(findings: Findings) -> Table:
    table = _table()
    table.add_column("pool", no_wrap=True)
    table.add_column("guessing", justify="right")
    shown = [pool for pool in findings.pools if pool.cues]
    for cue in shown[0].cues:
        table.add_column(cue.name.replace("_", "\n"), justify="right")
    for pool in shown:
        accuracies = [
            Text(f"{percent(cue.accuracy)}!", "yellow") if cue.tells else percent(cue.accuracy)
            for cue in pool.cues
        ]
        table.add_row(pool.name, percent(pool.chance), *accuracies)
    return table


def _corpus(corpus: CorpusFindings | None) -> Text:
    if corpus is None:
        return Text("Found as the rounds need it; nothing was asked of a network now.")
    count = corpus.documents
    lines = [
        f"{amount(count, 'documents')}, {amount(corpus.characters, 'characters')}, "
        f"{amount(corpus.tokens, 'tokens')}",
        f"licences: {_most(corpus.licences, 'none given')}",
        f"without a title {percent(corpus.without_title / count)}, "
        f"without an origin {percent(corpus.without_origin / count)}",
        f"{amount(corpus.copies)} are word for word copies of others; no text worth reading: "
        + (", ".join(f"{amount(n)} {why}" for why, n in corpus.unfit.items()) or "none"),
        f"{amount(len(corpus.leaks))} hold a question of heldout or ood",
        *(f"  {leak}" for leak in corpus.leaks[:_LEAKS]),
    ]
    if len(corpus.leaks) > _LEAKS:
        lines.append(f"  and {len(corpus.leaks) - _LEAKS} more")
    return Text("\n".join(lines))


def _recipe(recipe: RecipeFindings) -> Table:
    table = _table()
    for kind in (*recipe.tokens, "all", "steps"):
        table.add_column(kind, justify="right", no_wrap=True)
    whole = sum(recipe.tokens.values())
    table.add_row(*map(amount, recipe.tokens.values()), amount(whole), f"about {recipe.steps}")
    return table


def _costs(forecast: Forecast) -> Table:
    table = _table()
    table.add_column("work", no_wrap=True)
    for heading in ("rounds", "in the\nstore", "tokens\na round", "tokens\na second", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for cost in forecast.costs:
        rate = forecast.training_rate if cost.work == "training" else forecast.asking_rate
        table.add_row(
            cost.work,
            str(cost.rounds),
            str(cost.stored) if cost.stored else NONE,
            amount(cost.tokens),
            f"{rate:,.0f}",
            duration(cost.seconds),
        )
    table.rows[-1].end_section = True
    table.add_row("all", "", "", "", "", duration(forecast.seconds))
    return table


def _forecast_lines(findings: Findings) -> Iterator[str]:
    forecast = findings.forecast
    where = (
        "the GPU" if forecast.device == "cuda" else f"the CPU ({forecast.threads} of its threads)"
    )
    yield (
        f"\nOn {where}; asking was tried on a few questions, training is reckoned from a forward "
        "pass."
    )
    trained = "all" if forecast.trained == forecast.parameters else amount(forecast.trained)
    model = amount(forecast.parameters, "parameters")
    yield f"Model: {model}" + (f", {trained} trained." if findings.rounds else ", none trained.")
    yield f"Peak memory: about {memory(forecast.memory)}."
    if forecast.disk:
        yield f"Weights of all rounds in the store: about {memory(forecast.disk)}."
    for requests in forecast.requests:
        yield (
            f"Requests to {requests.source}: at most {amount(requests.total)} "
            f"({amount(requests.a_round)} a round, {amount(requests.open_book)} for the open "
            f"book), at most {duration(requests.seconds)} on top."
        )
    for writing in forecast.writing:
        yield f"{writing.what.capitalize()}: at most {writing.total}, on top."


def _problems(findings: Findings) -> Text:
    count = len(findings.problems)
    if not count:
        return Text("\nNothing to look at.", "green")
    text = Text(f"\n{count} {'thing' if count == 1 else 'things'} to look at\n", "bold yellow")
    for number, problem in enumerate(findings.problems, start=1):
        text.append(f"  {number}. {problem.key}: ", "bold").append(problem.text, "default")
        text.append(f"; {problem.remedy}.\n", "default")
    text.right_crop(1)
    return text


def _most(counts: Mapping[str, int], unnamed: str) -> str:
    named = [f"{name or unnamed} {amount(count)}" for name, count in list(counts.items())[:_KINDS]]
    rest = len(counts) - len(named)
    return ", ".join(named) + (f" and {rest} others" if rest else "")


def _choices(choices: Mapping[int, int]) -> str:
    """ "4", or "2–5", with short answers named."""
    listed = [number for number in choices if number > 1]
    span = f"{listed[0]}–{listed[-1]}" if len(listed) > 1 else "".join(map(str, listed))
    return ", ".join(filter(None, [span, f"{choices[1]} short" if 1 in choices else ""]))


def _spread(spread: Spread) -> str:
    return f"{amount(spread.median)}/{amount(spread.longest)}"


def _heading(text: str) -> Text:
    return Text(f"\n{text}\n", "bold")


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
