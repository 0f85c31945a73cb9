"""What kind of mistakes a run has found: a table of their classes, and gains of form.

The counts are handed in with the metrics; what a class means is told in docs/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cem_lightning.reporting.figures import NONE
from cem_lightning.reporting.form import form_of, form_tables
from cem_lightning.reporting.run_folder import QUARANTINE, RunRecord


@dataclass(frozen=True)
class KindRow:
    """One class of a round's mistakes, as a table shows it.

    Attributes:
        right: "before → after" the round's training, by the way of asking.
        likelihood: how many have the right choice as the likeliest after it.
        open_book: right of those asked with passages in the prompt.
    """

    round: int
    name: str
    n: int
    route: str
    right: str
    likelihood: str
    open_book: str


def kind_rows(record: RunRecord) -> list[KindRow]:
    """The classes of every round's mistakes; none in records of before they were told apart."""
    return [
        KindRow(
            current["round"],
            name.replace("_", " "),
            each["n"],
            each["route"].replace("_", " "),
            f"{each['right_before']} → {each['right_after']}",
            str(each["likelihood_right_after"]),
            f"{each['open_book_right']} of {each['open_book_asked']}"
            if each["open_book_asked"]
            else NONE,
        )
        for current in record.rounds
        for name, each in current.get("triage", {}).items()
    ]


def quarantine_note(record: RunRecord) -> str:
    """How many questions a person is to look at, and where; "" if there are none."""
    if not (count := len(record.quarantine)):
        return ""
    questions = "1 question is" if count == 1 else f"{count} questions are"
    return (
        f"{questions} in quarantine and not trained on: {QUARANTINE} in the run folder lists what "
        "each test took. Look whether the accepted answers are right; correct them in the data, "
        "or set triage.routes to train on them."
    )


def kind_tables(record: RunRecord) -> Iterator[RenderableType]:
    """What the terminal shows of the kinds of mistakes; nothing if nothing was collected."""
    if rows := kind_rows(record):
        yield Text("\nWhat kind of mistakes, and how many are right after the round\n", "bold")
        table = _table("round · kind", "n", "right", "by like-\nlihood", "open\nbook")
        table.add_column("route", no_wrap=True)
        shown = 0
        for each in rows:
            name = f"{each.round} · {each.name}" if each.round != shown else f"    {each.name}"
            shown = each.round
            table.add_row(
                name, str(each.n), each.right, each.likelihood, each.open_book, each.route
            )
        yield table
        yield Text(
            "Right: by the way of asking, before → after the round. Open book: before it, with\n"
            "passages in the prompt (where some were found), the ceiling of retrieval for these.",
            "dim",
        )
    yield from form_tables(form_of(record))
    if note := quarantine_note(record):
        yield Text(f"\n{note}", "yellow")


def _table(first: str, *headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
