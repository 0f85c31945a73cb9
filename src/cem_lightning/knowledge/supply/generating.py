"""Synthetic texts about passages: asked for, judged, and kept with what they were made from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from cem_lightning.knowledge.records import Passage, Written
from cem_lightning.knowledge.supply.generators import Generator
from cem_lightning.knowledge.supply.kinds import Task
from cem_lightning.knowledge.supply.reading import reading_items
from cem_lightning.knowledge.supply.records import PASSED, Item, Rejected, Supplied
from cem_lightning.knowledge.supply.validating import Fault, fault_of, pair_fault, pairs
from cem_lightning.questions.normalise import normalised


def synthesize(
    tasks: Sequence[Task],
    generator: Generator,
    leaked: Callable[[str], str],
    advance: Callable[[int], None],
) -> Supplied:
    """Have a model write about passages, and keep what claims nothing new and leaks nothing.

    Args:
        leaked: the held-out questions in a text; "" if there is none.
        advance: called with the number of requests done.

    Raises:
        UserError: if the generator cannot be asked.
    """
    answers = generator.complete([task.messages for task in tasks], advance)
    kept: dict[tuple[str, str], Passage | Item] = {}
    rejected: list[Rejected] = []
    for task, text in zip(tasks, answers, strict=True):
        for found in _judged(task, text, generator.name):
            if isinstance(found, Rejected):
                rejected.append(found)
                continue
            own = _text(found)
            same = (task.passage.id, normalised(own))
            if same in kept:
                rejected.append(_reject(task, generator.name, ("copy", "written before"), own))
            elif told := leaked(own):
                rejected.append(_reject(task, generator.name, ("leak", told), own))
            else:
                kept[same] = found
    return Supplied(
        tuple(each for each in kept.values() if isinstance(each, Passage)),
        tuple(each for each in kept.values() if isinstance(each, Item)),
        tuple(rejected),
    )


def read(passages: Iterable[Passage], seed: int) -> Iterator[Item]:
    """What rules find to be done with passages."""
    for passage in passages:
        for item in reading_items(passage.text, passage.title, seed):
            yield Item(item.instruction, item.response, Written("reading", passage.id, "rules"))


def _judged(task: Task, text: str, by: str) -> Iterator[Passage | Item | Rejected]:
    """What a model has written to a task, one by one."""
    if task.kind != "qa":
        fault = fault_of(task, text)
        yield _reject(task, by, fault, text) if fault else _rewritten(task, text, by)
        return
    if not text:
        yield _reject(task, by, ("empty", ""), text)
        return
    try:
        found = pairs(text)
    except ValueError as error:
        yield _reject(task, by, ("schema", str(error)), text)
        return
    for question, answer in found[: task.most]:
        item = Item(question, answer, task.written(by))
        fault = pair_fault(task, question, answer)
        yield _reject(task, by, fault, _text(item)) if fault else item


def _rewritten(task: Task, text: str, by: str) -> Passage:
    """A passage in its parent's place: from the same document, for the same mistakes or one."""
    return replace(
        task.passage,
        id=hashlib.sha256(text.encode()).hexdigest()[:16],
        text=text,
        serves=(task.question,) if task.question else task.passage.serves,
        passed=PASSED,
        written=task.written(by),
    )


def _text(made: Passage | Item) -> str:
    return made.text if isinstance(made, Passage) else f"{made.instruction}\n{made.response}"


def _reject(task: Task, by: str, fault: Fault, text: str) -> Rejected:
    reason, detail = fault
    return Rejected(text, reason, detail, task.question, task.written(by))
