"""What action=trace shows on a terminal: one question through the rounds, as a table and a tree.

Only the looks; the story comes from `evolution.trace`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import shorten

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from cem_lightning.questions.records import Question
from cem_lightning.reporting.figures import NONE, percent
from cem_lightning.reporting.printable import printable_record
from cem_lightning.reporting.tables import make_console

_COLOURS = {"right": "green", "wrong": "red"}
_SHOWN = 4  # passages that state a held-out answer, a round
_CHARACTERS = 160  # of a passage
_CHOICES = 6  # columns of a table


@dataclass(frozen=True)
class TracedAnswer:
    """The answer after one round.

    Attributes:
        probabilities: of each choice, or of the accepted short answer; empty if too long.
        said: what the model wrote, or the choice it took; "" if neither.
        blind: outcome of the name-blind form; "" if that was not asked.
        open_book: outcome with passages in the prompt; "" if it was not asked so.
    """

    round: int
    outcome: str
    prediction: int | None
    probabilities: tuple[float, ...]
    said: str
    blind: str
    open_book: str


@dataclass(frozen=True)
class TracedPassage:
    """A passage that was found for it, or that states its answer.

    Attributes:
        digest: SHA-256 of the document it was cut from.
        fetched: when that came over the network, ISO 8601; "" if it lay on disk.
        revision: of the page; "" if its source counts none.
        passed: the filters that have let it in.
        written: of a synthetic one what it is of which passage, and who wrote it; "" of others.
        bits: gained by reading it, in log-likelihood of the right answer; None if not asked so.
        kept: whether it goes on serving the question after that.
    """

    id: str
    title: str
    origin: str
    licence: str
    score: float
    text: str
    digest: str = ""
    fetched: str = ""
    revision: str = ""
    passed: tuple[str, ...] = ()
    written: str = ""
    bits: float | None = None
    kept: bool = True


@dataclass(frozen=True)
class TracedDrop:
    """A document that was found for it and left out."""

    document: str
    reason: str
    detail: str


@dataclass(frozen=True)
class TracedExample:
    """A training example that was made from it.

    Attributes:
        tokens: length; and of these how many are trained.
        times: how often the round reads it.
    """

    number: int
    kind: str
    tokens: int
    trained: int
    times: int


@dataclass(frozen=True)
class TracedRound:
    """What a round made of the question.

    Attributes:
        mined: the round looked for mistakes in its answer.
        label: of the mistake; "" if it was none.
        points: knowledge points that were searched for.
        kind: of mistake, as triage tells it; "" if it was none.
        route: what triage decided; "" as before.
        opened: what it said with passages in the prompt, and the outcome; "" if not asked so.
        stating: passages of the round's training set that state the answer, with how often each
            was read; only of questions that are never trained on.
    """

    number: int
    mined: bool
    label: str
    confidence: float
    points: tuple[str, ...]
    kind: str
    route: str
    opened: str
    passages: tuple[TracedPassage, ...]
    dropped: tuple[TracedDrop, ...]
    examples: tuple[TracedExample, ...]
    stating: tuple[tuple[TracedPassage, int], ...]


@dataclass(frozen=True)
class Trace:
    """A question through all rounds of a run.

    Attributes:
        stopped: why the run ended early; "" if it did not.
    """

    name: str
    question: Question
    pool: str
    answers: tuple[TracedAnswer, ...]
    rounds: tuple[TracedRound, ...]
    stopped: str


def print_trace(trace: Trace, console: Console | None = None) -> None:
    """Print the question, its answers, and what every round made of it."""
    (console or make_console()).print(Group(*_everything(printable_record(trace))))


def _everything(trace: Trace) -> Iterator[RenderableType]:
    question = trace.question
    about = [trace.pool, question.kind, f"cluster {question.cluster}"]
    yield Text(f"\n{trace.name} · {question.id}", "bold")
    yield Text(" · ".join(filter(None, about)), "dim")
    yield Text(f"\n{question.question}")
    if question.blind is not None:
        yield Text(f"name-blind: {question.blind}", "dim")
    if question.short:
        yield Text(f"  accepted: {question.gold}", "green")
    else:
        for index, choice in enumerate(question.choices):
            right = index == question.answer
            yield Text(f"  {index + 1}. {choice}{' ✓' if right else ''}", "green" if right else "")
    yield Text("\nOutcome by round\n", "bold")
    yield _answers(trace)
    for current in trace.rounds:
        yield Text()
        yield _round(trace, current)
    if trace.stopped:
        yield Text(f"\nStopped early: {trace.stopped}.", "yellow")


def _answers(trace: Trace) -> Table:
    question = trace.question
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("after\nround", justify="right")
    table.add_column("outcome", no_wrap=True)
    if any(answer.blind for answer in trace.answers):
        table.add_column("name-blind", no_wrap=True)
    if any(answer.open_book for answer in trace.answers):
        table.add_column("open book", no_wrap=True)
    columns = range(len(question.choices))[:_CHOICES]
    for index in columns:
        gold = " ✓" if index == question.answer else ""
        heading = "accepted" if question.short else f"{index + 1}{gold}"
        table.add_column(f"p of\n{heading}", justify="right", no_wrap=True)
    if question.short or any(answer.said for answer in trace.answers):
        table.add_column("says", overflow="fold")
    for answer in trace.answers:
        row: list[RenderableType] = [str(answer.round), _outcome(answer.outcome)]
        if any(each.blind for each in trace.answers):
            row.append(_outcome(answer.blind))
        if any(each.open_book for each in trace.answers):
            row.append(_outcome(answer.open_book))
        for index in columns:
            given = percent(answer.probabilities[index]) if answer.probabilities else NONE
            row.append(Text(given, "bold" if index == answer.prediction else ""))
        said = shorten(answer.said, _CHARACTERS, placeholder=" …")
        table.add_row(*row, Text(said))
    return table


def _round(trace: Trace, current: TracedRound) -> Tree:
    tree = Tree(Text(f"Round {current.number}", "bold"))
    if current.label:
        label = f"mined: a mistake, {current.label}"
        if current.confidence:
            label += f" (probability of its answer {percent(current.confidence)})"
        tree.add(Text(label))
        tree.add(Text(f"knowledge points: {', '.join(current.points)}"))
        tree.add(_passages(current.passages))
        if current.dropped:
            branch = tree.add(Text(f"{len(current.dropped)} left out"))
            for each in current.dropped:
                branch.add(Text(f"{each.document}: {_words(each.reason)}, {each.detail}"))
        verdict = tree.add(Text(f"triage: {_words(current.kind)}, so {_words(current.route)}"))
        if current.opened:
            verdict.add(Text(f"with passages in the prompt: {current.opened}"))
    elif current.mined:
        tree.add(Text("mined: no mistake"))
    elif trace.pool == "source":
        tree.add(Text("not mined"))
    if trace.pool == "source":
        tree.add(_examples(current.examples))
    else:
        tree.add(_stating(trace, current))
    tree.add(_change(trace, current.number))
    return tree


def _passages(passages: Sequence[TracedPassage]) -> Tree:
    branch = Tree(Text(f"{_count(len(passages), 'passage')} found"))
    for passage in passages:
        branch.add(_passage(passage))
    return branch


def _passage(passage: TracedPassage, times: int | None = None) -> Tree:
    told = [
        f"{passage.id} {passage.title}".rstrip(),
        *([f"synthetic, {passage.written}"] if passage.written else []),
        f"score {passage.score:.2f}" if passage.score else "random draw",
        passage.origin or "origin not given",
        passage.licence or "licence not given",
    ]
    if passage.revision:
        told.append(f"revision {passage.revision}")
    if passage.fetched:
        told.append(f"fetched {passage.fetched}")
    if passage.digest:
        told.append(f"sha256 {passage.digest[:12]}")
    if times is not None:
        told.append(f"read {_count(times, 'time')}")
    leaf = Tree(Text(" · ".join(told)))
    leaf.add(Text(shorten(passage.text, _CHARACTERS, placeholder=" …"), "dim"))
    if passage.passed and times is None:
        leaf.add(Text(f"passed: {', '.join(passage.passed)}"))
    if passage.bits is not None:
        helps = "kept" if passage.kept else "does not help, left out"
        leaf.add(Text(f"reading it gives the right answer {passage.bits:+.2f} bits: {helps}"))
    return leaf


def _examples(examples: Sequence[TracedExample]) -> Tree:
    branch = Tree(Text(f"{_count(len(examples), 'training example')} made from it"))
    for each in examples:
        branch.add(
            Text(
                f"example {each.number} · {each.kind} · {each.tokens} tokens, {each.trained} "
                f"trained · read {_count(each.times, 'time')}"
            )
        )
    return branch


def _stating(trace: Trace, current: TracedRound) -> Tree:
    count = len(current.stating)
    branch = Tree(
        Text(
            f"never trained on; {_count(count, 'passage')} of the training set with the words "
            f"'{trace.question.gold}'" + (", whatever it is about" if count else "")
        )
    )
    for passage, times in current.stating[:_SHOWN]:
        branch.add(_passage(passage, times))
    if count > _SHOWN:
        branch.add(Text(f"and {count - _SHOWN} more"))
    return branch


def _change(trace: Trace, number: int) -> Text:
    """What became of the answer in this round."""
    before, after = (
        next((each for each in trace.answers if each.round == at), None)
        for at in (number - 1, number)
    )
    if before is None or after is None:
        return Text("after: not asked")
    text = Text("after: ").append_text(_outcome(before.outcome))
    text.append(" → ").append_text(_outcome(after.outcome))
    if before.probabilities and after.probabilities:
        gold = trace.question.answer
        was, now = before.probabilities[gold], after.probabilities[gold]
        text.append(f", probability of the right answer {percent(was)} → {percent(now)}")
    return text


def _outcome(outcome: str) -> Text:
    return Text(_words(outcome) or NONE, _COLOURS.get(outcome, ""))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _words(name: str) -> str:
    return name.replace("_", " ")
