"""What action=inspect shows on a terminal: prompts and training examples, token by token.

Colour helps and is not needed: brackets and bars say the same in a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.text import Text

from cem_lightning.reporting.figures import amount
from cem_lightning.reporting.printable import printable
from cem_lightning.reporting.tables import make_console

_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class Piece:
    """A token; or several where only together they make a character.

    Attributes:
        text: as the tokenizer decodes it.
        taught: its prediction is trained, or scored.
        control: a control token, not text that looks like one.
    """

    ids: tuple[int, ...]
    text: str
    taught: bool
    control: bool


@dataclass(frozen=True)
class ShownResponse:
    """A response that is scored after the prompt."""

    label: str
    right: bool
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class ShownPrompt:
    """A question in one of its forms, as the model sees it.

    Attributes:
        form: "closed book", "name-blind" or "open book".
        note: how the answer is made of it.
    """

    form: str
    pieces: tuple[Piece, ...]
    responses: tuple[ShownResponse, ...]
    note: str


@dataclass(frozen=True)
class ShownQuestion:
    """A question with its prompts."""

    id: str
    pool: str
    prompts: tuple[ShownPrompt, ...]


@dataclass(frozen=True)
class ShownExample:
    """A training example.

    Attributes:
        number: its row in the round's examples, from 0.
        prompt: tokens before the first one that is trained.
        trained: tokens whose prediction is trained.
        questions: ids of the questions it was made for.
        passages: "id title" of the passages it holds.
    """

    number: int
    kind: str
    prompt: int
    trained: int
    questions: tuple[str, ...]
    passages: tuple[str, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class ShownRound:
    """Training examples of a round.

    Attributes:
        kinds: all examples of the round by kind.
        matching: how many fit what was asked for.
        wanted: what was asked for, in words; "" if all.
        examples: the first of them.
    """

    number: int
    kinds: Mapping[str, int]
    matching: int
    wanted: str
    examples: tuple[ShownExample, ...]


@dataclass(frozen=True)
class Inspection:
    """Everything that action=inspect shows.

    Attributes:
        notes: what is not shown and why.
    """

    name: str
    model: str
    questions: tuple[ShownQuestion, ...]
    round: ShownRound | None
    notes: tuple[str, ...]


def print_inspection(inspection: Inspection, console: Console | None = None) -> None:
    """Print prompts, then examples."""
    console = console or make_console()
    console.print(Group(*_everything(inspection, console.width)))


def _everything(inspection: Inspection, width: int) -> Iterator[RenderableType]:
    yield Text(f"\n{inspection.name} · inspect · {inspection.model}", "bold")
    yield Text.assemble(
        "token",
        ("|", "dim"),
        "token, ",
        ("[trained or scored]", "bold green"),
        ", ",
        ("⟦control token⟧", "bold magenta"),
        ", 字₃ one character in 3 tokens, ↵ line break",
    )
    for question in inspection.questions:
        yield Text(f"\n{question.pool} · {question.id}", "bold cyan")
        for prompt in question.prompts:
            yield from _prompt(prompt, width)
    if inspection.round is not None:
        yield from _round(inspection.round, width)
    for note in inspection.notes:
        yield Text(f"\n{note}", "yellow")


def _prompt(prompt: ShownPrompt, width: int) -> Iterator[RenderableType]:
    count = _count(prompt.pieces)
    yield Text(f"\n{prompt.form}, {amount(count, 'tokens')}, {prompt.note}", "bold")
    yield _text(prompt.pieces, width)
    yield _ids(prompt.pieces)
    for response in prompt.responses:
        label = f"{response.label} {'✓' if response.right else ' '} "
        text = _text(response.pieces, width, Text(label, "bold"))
        ids = _ids(response.pieces)
        fits = text.cell_len + 2 + ids.cell_len <= width and "\n" not in text.plain
        if fits:
            yield text.append("  ").append_text(ids)
        else:
            yield text
            yield ids


def _round(shown: ShownRound, width: int) -> Iterator[RenderableType]:
    kinds = ", ".join(f"{kind} {count}" for kind, count in shown.kinds.items())
    yield Text(f"\nTraining examples of round {shown.number}: {kinds}", "bold cyan")
    wanted = f" {shown.wanted}" if shown.wanted else ""
    yield Text(f"{shown.matching} of them{wanted}, {len(shown.examples)} shown", "dim")
    for example in shown.examples:
        total = _count(example.pieces)
        yield Text(
            f"\nexample {example.number} · {example.kind} · {amount(total, 'tokens')}, "
            f"{example.trained} trained"
            + (f", the prompt ends after token {example.prompt}" if example.prompt else ""),
            "bold",
        )
        if example.questions:
            yield Text(f"for {', '.join(example.questions)}", "dim")
        if example.passages:
            yield Text(f"from {'; '.join(example.passages)}", "dim")
        yield _text(example.pieces, width)
        yield _ids(example.pieces)


def _text(pieces: Sequence[Piece], width: int, label: Text | None = None) -> Text:
    """All tokens with their borders, in lines that end between tokens.

    Args:
        width: longest line, in columns.
        label: what stands before them.
    """
    text = (label or Text()).copy()
    text.no_wrap, text.overflow = True, "ignore"
    column = text.cell_len
    open_end = False  # a token that is neither bracketed nor followed by a border yet
    for piece in pieces:
        shown = "".join(_visible(piece.text))
        if len(piece.ids) > 1:
            shown += str(len(piece.ids)).translate(_SUBSCRIPT)
        if piece.control:
            shown = f"⟦{shown}⟧"
        style = "bold magenta" if piece.control else "bold green" if piece.taught else ""
        token = Text()
        if open_end and not piece.taught:
            token.append("|", "dim")
        if piece.taught:
            token.append("[", "green").append(shown, style).append("]", "green")
        else:
            token.append(shown, style)
        if column and column + token.cell_len > width:
            text.append("\n")
            column = 0
        text.append_text(token)
        column += token.cell_len
        broken = "\n" in piece.text
        if broken:
            text.append("\n")
            column = 0
        open_end = not (piece.taught or broken)
    if text.plain.endswith("\n"):
        text.right_crop(1)
    return text


def _visible(text: str) -> Iterator[str]:
    """Characters as they can be seen; none of them moves the cursor."""
    for each in text:
        if each == "\n":
            yield "↵"
        elif each == "\t":
            yield "⇥"
        else:
            yield printable(each)


def _ids(pieces: Iterable[Piece]) -> Text:
    return Text(" ".join(str(each) for piece in pieces for each in piece.ids), "dim")


def _count(pieces: Iterable[Piece]) -> int:
    return sum(len(piece.ids) for piece in pieces)
