"""What triage came to: what each kind of mistake gained, and the questions put into quarantine.

Reads what the stages have written; classes and routes are decided in `mistakes.triage`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cem_lightning.answering.records import Answer
from cem_lightning.evolution.loop import Round
from cem_lightning.evolution.stored import read_mistakes, read_passages, read_triaged
from cem_lightning.mistakes.triage import CLASSES, Triaged
from cem_lightning.questions.records import Question


def verdicts(current: Round) -> dict[str, Triaged]:
    """What triage says of the mistakes of a round, by question id; nothing in round 0."""
    if "triage" not in current.results:
        return {}
    path = current.results["triage"].folder / "triaged.jsonl"
    return {each.question: each for each in read_triaged(path)}


def likeliest_is_right(answer: Answer, question: Question) -> bool:
    """Whether the right choice has the highest likelihood, whatever the model wrote.

    A short answer, which has no other choices, counts as it was written.
    """
    return answer.right if answer.likeliest is None else answer.likeliest == question.answer


def triage_metrics(
    current: Round, before: Mapping[str, Answer], after: Mapping[str, Answer]
) -> dict[str, dict[str, Any]]:
    """For every class among the mistakes of a round its counts, in the order of precedence.

    Args:
        before: answers to the source pool that the mistakes were collected from.
        after: the same after the round's training.
    """
    found = verdicts(current)
    path = current.results["collect"].folder / "mistakes.jsonl"
    questions = {each.question.id: each.question for each in read_mistakes(path)}
    rows: dict[str, dict[str, Any]] = {}
    for name in CLASSES:
        own = [each for each in found.values() if each.triage_class == name]
        if own:
            rows[name] = {
                "n": len(own),
                "route": own[0].route,
                "right_before": sum(before[each.question].right for each in own),
                "right_after": sum(after[each.question].right for each in own),
                "likelihood_right_after": sum(
                    likeliest_is_right(after[each.question], questions[each.question])
                    for each in own
                ),
                "open_book_asked": sum(each.open_book is not None for each in own),
                "open_book_right": sum(each.helped for each in own),
            }
    return rows


def quarantine(rounds: Sequence[Round]) -> Iterator[dict[str, Any]]:
    """The questions that a person is to look at, with what each test took and their passages."""
    for current in rounds:
        held = {id: each for id, each in verdicts(current).items() if each.quarantined}
        if not held:
            continue
        passages = read_passages(current.results["acquire"].folder / "passages.jsonl")
        for mistake in read_mistakes(current.results["collect"].folder / "mistakes.jsonl"):
            question = mistake.question
            if question.id in held:
                yield {
                    "id": question.id,
                    "round": current.number,
                    "triage_class": held[question.id].triage_class,
                    "question": question.question,
                    "choices": list(question.choices),
                    "gold": question.answer,
                    "tests": held[question.id].tests,
                    "passages": [
                        {"id": each.id, "title": each.title, "origin": each.origin,
                         "licence": each.licence, "text": each.text}
                        for each in passages
                        if question.id in each.serves
                    ],
                }  # fmt: skip
