"""What stages have written, read back.

Where it lies is the business of whoever holds the folder.
"""

from __future__ import annotations

from pathlib import Path

from cem_lightning.answering.records import Answer
from cem_lightning.knowledge.records import Passage
from cem_lightning.knowledge.supply.records import Item
from cem_lightning.mistakes.records import Mistake
from cem_lightning.mistakes.triage import Triaged
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import Question
from cem_lightning.storage.atomic import read_jsonl

POOLS = ("source", "heldout", "ood")
ASIDE = ("shots", "gate")  # taken out of source, and mostly empty


def read_stored_pools(folder: Path) -> Pools:
    """The question pools as `runner` has put them into the store."""

    def read(name: str) -> tuple[Question, ...]:
        return tuple(Question.from_dict(row) for row in read_jsonl(folder / f"{name}.jsonl"))

    source, heldout, ood = map(read, POOLS)
    shots, gate = (read(name) if (folder / f"{name}.jsonl").is_file() else () for name in ASIDE)
    return Pools(source, heldout, ood, shots=shots, gate=gate)


def read_answers(path: Path) -> list[Answer]:
    """Answers that `answer` has written."""
    return [Answer.from_dict(row) for row in read_jsonl(path)]


def read_mistakes(path: Path) -> list[Mistake]:
    """Mistakes that `collect` has written."""
    return [Mistake.from_dict(row) for row in read_jsonl(path)]


def read_triaged(path: Path) -> list[Triaged]:
    """Verdicts that `triage` has written."""
    return [Triaged.from_dict(row) for row in read_jsonl(path)]


def read_passages(path: Path) -> list[Passage]:
    """Passages that `acquire` or `supply` has written."""
    return [Passage.from_dict(row) for row in read_jsonl(path)]


def read_items(path: Path) -> list[Item]:
    """Items that `supply` has written."""
    return [Item.from_dict(row) for row in read_jsonl(path)]
