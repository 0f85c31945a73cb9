"""action=trace: one question through the rounds of a finished run.

Gathers from the stages' results what they say of it; `reporting.trace` shows it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cem_lightning.answering.records import Answer
from cem_lightning.corpus.assemble import states
from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.corpus.examples import Example
from cem_lightning.corpus.schedule import schedule
from cem_lightning.errors import UserError
from cem_lightning.evolution.config import Config
from cem_lightning.evolution.inspection import find_question, passages_so_far
from cem_lightning.evolution.loop import Course, Round
from cem_lightning.evolution.mistake_kinds import verdicts
from cem_lightning.evolution.prepare import prepare, stored_course
from cem_lightning.evolution.stored import read_answers, read_mistakes, read_passages
from cem_lightning.knowledge.records import Passage, Written
from cem_lightning.questions.records import PoolName, Question
from cem_lightning.reporting.trace import (
    Trace,
    TracedAnswer,
    TracedDrop,
    TracedExample,
    TracedPassage,
    TracedRound,
    print_trace,
)
from cem_lightning.storage.atomic import read_jsonl


def trace(config: Config) -> None:
    """Print what happened to `question` in every round.

    Raises:
        UserError: if no question is named, there is none of that id, or the run is not finished.
    """
    if config.question is None:
        raise UserError(
            "question: must be set to the id of a question, for instance question=ID; "
            "mistakes.jsonl in the run folder lists those that were trained on."
        )
    prepared = prepare(config)
    pool, question = find_question(prepared.pools, config.question)
    _, course = stored_course(prepared)
    print_trace(follow(config.name, course, pool, question))


def follow(name: str, course: Course, pool: PoolName, question: Question) -> Trace:
    """The story of a question.

    Args:
        name: of the run.
    """
    mined = {each.number for each in course.rounds if question in each.mined}
    return Trace(
        name=name,
        question=question,
        pool=pool,
        answers=tuple(_answer(each, pool, question) for each in course.rounds),
        rounds=tuple(
            _round(each, course, pool, question, each.number in mined) for each in course.rounds[1:]
        ),
        stopped=course.stopped or "",
    )


def _answer(current: Round, pool: PoolName, question: Question) -> TracedAnswer:
    folder = current.results["answer"].folder
    answer = _find(folder / "answers" / f"{pool}.jsonl", question)
    blind = _find(folder / "blind" / f"{pool}.jsonl", question)
    opened = None
    if pool == "heldout" and "open_book" in current.results:
        opened = _find(current.results["open_book"].folder / "answers.jsonl", question)
    if answer is None:
        raise LookupError(f"round {current.number} has no answer to {question.id!r}")
    return TracedAnswer(
        round=current.number,
        outcome=answer.outcome,
        prediction=answer.prediction,
        probabilities=answer.probabilities,
        said=_said(answer, question),
        blind=blind.outcome if blind else "",
        open_book=opened.outcome if opened else "",
    )


def _said(answer: Answer, question: Question) -> str:
    """What the model wrote, or else the choice it took."""
    if answer.text or answer.prediction is None:
        return answer.text
    return question.choices[answer.prediction]


def _find(path: Path, question: Question) -> Answer | None:
    """The answer to a question; None if it was not asked so."""
    if not path.is_file():
        return None
    return next((each for each in read_answers(path) if each.question == question.id), None)


def _round(
    current: Round, course: Course, pool: PoolName, question: Question, mined: bool
) -> TracedRound:
    results = current.results
    mistakes = read_mistakes(results["collect"].folder / "mistakes.jsonl")
    mistake = next((each for each in mistakes if each.question.id == question.id), None)
    verdict = verdicts(current).get(question.id)
    opened = _find(results["triage"].folder / "open_book.jsonl", question)
    read = list(_read(current))
    found = read_passages(results["acquire"].folder / "passages.jsonl")
    if "supply" in results:
        found += read_passages(results["supply"].folder / "synthetic.jsonl")
    serving = {each.id for each in found if question.id in each.serves}
    readings = {
        row["passage"]: row
        for row in read_jsonl(results["triage"].folder / "readings.jsonl")
        if row["question"] == question.id
    }
    return TracedRound(
        number=current.number,
        mined=mined,
        label=mistake.label if mistake else "",
        confidence=mistake.confidence if mistake else 0.0,
        points=mistake.points if mistake else (),
        kind=verdict.triage_class if verdict else "",
        route=verdict.route if verdict else "",
        opened=f"{_said(opened, question)}, {opened.outcome}" if opened else "",
        passages=tuple(
            _passage(each, readings.get(each.id)) for each in found if each.id in serving
        ),
        dropped=tuple(_dropped(current, question, serving)),
        examples=tuple(
            TracedExample(at, example.kind, len(example.ids), example.targets, times)
            for at, (example, times) in enumerate(read)
            if question.id in example.question_ids
        ),
        stating=() if pool == "source" else tuple(_stating(read, course, current, question)),
    )


def _dropped(current: Round, question: Question, serving: set[str]) -> Iterator[TracedDrop]:
    """What was found for a question, or written about its passages, and was left out."""
    for row in read_jsonl(current.results["acquire"].folder / "dropped.jsonl"):
        if row["question"] == question.id:
            yield TracedDrop(row["document"], row["reason"], row["detail"])
    if "supply" not in current.results:
        return
    for row in read_jsonl(current.results["supply"].folder / "rejected.jsonl"):
        written = Written(**row["written"])
        if question.id == row["question"] or (not row["question"] and written.parent in serving):
            yield TracedDrop(_told(written), row["reason"], row["detail"])


def _told(written: Written) -> str:
    return f"{written.kind} of {written.parent} by {written.by}"


def _read(current: Round) -> Iterator[tuple[Example, int]]:
    """The examples of a round, and how often its training read each."""
    from cem_lightning.corpus.arrow import load_examples

    examples = load_examples(current.corpus["examples"].path)
    job = json.loads((current.results["train"].folder / "job.json").read_text(encoding="utf-8"))
    order = schedule(
        [example.kind for example in examples],
        [len(example.ids) for example in examples],
        RecipeConfig(**job["config"]["recipe"]),
        job["config"]["seed"],
    )
    times = Counter(order)
    yield from ((example, times[at]) for at, example in enumerate(examples))


def _stating(
    read: list[tuple[Example, int]], course: Course, current: Round, question: Question
) -> Iterator[tuple[TracedPassage, int]]:
    """The passages that a round's training read and that hold the answer, most often read first."""
    known = passages_so_far(course, current)
    times: Counter[str] = Counter()
    for example, count in read:
        for id in example.passage_ids:
            times[id] += count
    for id, count in times.most_common():
        if count and states(known[id].text, question.gold):
            yield _passage(known[id]), count


def _passage(passage: Passage, reading: Mapping[str, Any] | None = None) -> TracedPassage:
    return TracedPassage(
        id=passage.id,
        title=passage.title,
        origin=passage.origin,
        licence=passage.licence,
        score=passage.score,
        text=passage.text,
        digest=passage.digest,
        fetched=passage.fetched,
        revision=passage.revision,
        passed=passage.passed,
        written=_told(passage.written) if passage.written else "",
        bits=reading["bits"] if reading else None,
        kept=reading is None or reading["kept"],
    )
