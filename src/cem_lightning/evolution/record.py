"""What an evolution came to: scores of every round and pool, and stories of mistakes.

Reads the results of the stages; computes nothing that a stage could have kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from cem_lightning.answering import ledger
from cem_lightning.answering.calibration import calibration
from cem_lightning.answering.matching import holds, token_f1
from cem_lightning.answering.records import Answer
from cem_lightning.answering.statistics import transitions, wilson_interval
from cem_lightning.corpus.config import KINDS
from cem_lightning.evolution.changes import changes_until, matrix, states, transfer
from cem_lightning.evolution.config import Config
from cem_lightning.evolution.loop import Course, Round
from cem_lightning.evolution.mistake_kinds import (
    likeliest_is_right,
    quarantine,
    triage_metrics,
    verdicts,
)
from cem_lightning.evolution.stored import POOLS, read_answers, read_mistakes, read_passages
from cem_lightning.mistakes.records import LABELS
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import Question
from cem_lightning.reporting.run_folder import (
    AnswerRow,
    MistakeStory,
    RunRecord,
    StoryPassage,
    curves_from_csv,
)
from cem_lightning.storage.digests import digest_value

UNTRAINED = "untrained"


def make_record(config: Config, pools: Pools, course: Course) -> RunRecord:
    """The record of a finished evolution."""
    answers = {
        current.number: {name: current.answers(name) for name in POOLS} for current in course.rounds
    }
    metrics: dict[str, Any] = {
        "name": config.name,
        "arm": arm(config),
        "seed": config.seed,
        "rounds": [
            _round_metrics(current, course.rounds, pools, answers) for current in course.rounds
        ],
        "peak_memory_bytes": max(
            result.record["peak_memory_bytes"]
            for current in course.rounds
            for result in current.results.values()
        ),
    }
    if course.rounds[1:]:
        by_round = [answers[each.number] for each in course.rounds]
        metrics["matrix"] = matrix(by_round, _columns(course.rounds, pools))
        slices = [each.mined for each in course.rounds[1:]]
        metrics["transfer"] = transfer([each["source"] for each in by_round], slices)
        metrics["last_model"] = course.last.number
    if (noise := course.rounds[0].noise) is not None:
        metrics["noise"] = noise
    metrics["versions"] = course.rounds[-1].results["answer"].record["environment"]
    if course.stopped:
        metrics["stopped"] = course.stopped
    return RunRecord(
        name=config.name,
        arm=metrics["arm"],
        seed=config.seed,
        config=config.identity(rounds=True),
        metrics=metrics,
        answers=tuple(_rows(course.rounds, pools, answers)),
        stories=tuple(
            story
            for before, after in zip(course.rounds, course.rounds[1:], strict=False)
            for story in _stories(after, answers[before.number], answers[after.number])
        ),
        curves=[row for current in course.rounds for row in _curves(current)],
        quarantine=tuple(quarantine([*course.rounds, *filter(None, [course.untrained])])),
    )


def arm(config: Config) -> str:
    """What the run is called beside others: its recipe, unless nothing is trained."""
    return config.recipe.name if config.rounds else UNTRAINED


def _round_metrics(
    current: Round,
    rounds: Sequence[Round],
    pools: Pools,
    answers: dict[int, dict[str, dict[str, Answer]]],
) -> dict[str, Any]:
    results = current.results
    values: dict[str, Any] = {
        "round": current.number,
        "asked": {
            key: results["answer"].record[key]
            for key in ("wording", "tokenizer", "scorer", "shots")
        },
        "pools": {
            name: _pool_metrics(current, name, getattr(pools, name), answers)
            for name in POOLS
            if getattr(pools, name)
        },
        "tokens": dict.fromkeys(KINDS, 0),
        "seconds": {stage: result.seconds for stage, result in results.items()},
        "reused": [stage for stage, result in results.items() if result.reused],
    }
    slices = {
        str(each.number): _accuracy(answers[current.number]["source"], each.mined)
        for each in rounds
        if each.mined
    }
    values["pools"]["source"]["slices"] = slices
    if current.weights is not None:
        values["tokens"] |= results["train"].record["tokens"]
        values["mistakes"] = {label: results["collect"].record[label] for label in LABELS}
        made_by = current.verdict.against if current.verdict else current.number - 1
        values["triage"] = triage_metrics(
            current, answers[made_by]["source"], answers[current.number]["source"]
        )
        values["passages"] = results["acquire"].record["passages"]
        values["dropped"] = results["acquire"].record["dropped"]
        if read := results["triage"].record["usefulness"]:
            values["usefulness"] = read
        if "supply" in results:
            record = results["supply"].record
            values["supply"] = {key: record[key] for key in ("kept", "rejected")}
        values["model"] = current.weights.digest
        values["training"] = _training(list(_curves(current)))
        if gate := results["train"].record["gate"]:
            part = results["train"].record["part"]
            values["interpolation"] = {"part": part, "right": gate, "n": len(pools.gate)}
    if current.verdict is not None:
        values["verdict"] = asdict(current.verdict)
    return values


def _training(curve: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Speed, memory and use of the device over the steps of a round."""
    known = [row for row in curve if "mfu" in row]
    read = [after - before for before, after in pairwise([0, *(row["tokens"] for row in curve)])]
    took = [count / row["tokens_per_second"] for count, row in zip(read, curve, strict=True)]
    return {
        "tokens_per_second": sum(read) / sum(took),
        "memory_bytes": max(row["memory_bytes"] for row in curve),
        "mfu": sum(row["mfu"] for row in known) / len(known) if known else None,
    }


def _columns(rounds: Sequence[Round], pools: Pools) -> dict[str, tuple[str, Sequence[Question]]]:
    """The columns of the matrix: the source pool by the round that mined it, and the others."""
    columns: dict[str, tuple[str, Sequence[Question]]] = {
        f"mined in {each.number}": ("source", each.mined) for each in rounds if each.mined
    }
    others = {"heldout": pools.heldout, "ood": pools.ood}
    return columns | {name: (name, pool) for name, pool in others.items() if pool}


def _pool_metrics(
    current: Round,
    name: str,
    questions: Sequence[Question],
    answers: dict[int, dict[str, dict[str, Answer]]],
) -> dict[str, Any]:
    now = answers[current.number][name]
    ordered = [now[question.id] for question in questions]
    right = [answer.right for answer in ordered]
    before = answers.get(current.number - 1, {}).get(name, now)
    mended, lost = transitions([before[question.id].right for question in questions], right)
    values: dict[str, Any] = {
        "n": len(ordered),
        "accuracy": sum(right) / len(right),
        "ci95": list(wilson_interval(sum(right), len(right))),
        "blind_accuracy": None,
        "mended": mended,
        "lost": lost,
        "unparsable": sum(answer.outcome == "unparsable" for answer in ordered),
        "too_long": sum(answer.outcome == "too_long" for answer in ordered),
        "digest": digest_value([[each.question, each.log_likelihoods] for each in ordered]),
    }
    known = [likeliest_is_right(now[question.id], question) for question in questions]
    values["likelihood_accuracy"] = sum(known) / len(known)
    values["format_gap"] = (sum(known) - sum(right)) / len(right)
    by_round = [answers[number][name] for number in range(current.number + 1)]
    values["changes"] = changes_until(by_round, questions)
    values["ledger"] = ledger.count(states(by_round, questions).values())
    values["calibration"] = calibration(ordered)
    permuted = [(now[each.id].debiased, each.answer) for each in questions if now[each.id].orders]
    if permuted:
        values["debiased_n"] = len(permuted)
        values["debiased_accuracy"] = sum(took == gold for took, gold in permuted) / len(permuted)
    short = [(now[question.id].text, question.gold) for question in questions if question.short]
    if short:
        values["short"] = len(short)
        values["f1"] = sum(token_f1(*each) for each in short) / len(short)
        values["held"] = sum(holds(*each) for each in short) / len(short)
    blind = list(current.answers(name, "blind").values())
    if blind:
        seen = sum(answer.right for answer in blind)
        values["blind_accuracy"] = seen / len(blind)
        values["blind_ci95"] = list(wilson_interval(seen, len(blind)))
    if name == "heldout" and "open_book" in current.results:
        found = read_answers(current.results["open_book"].folder / "answers.jsonl")
        values["open_book_accuracy"] = sum(answer.right for answer in found) / len(found)
    return values


def _accuracy(answers: dict[str, Answer], questions: Sequence[Question]) -> float:
    return sum(answers[question.id].right for question in questions) / len(questions)


def _rows(
    rounds: Sequence[Round], pools: Pools, answers: dict[int, dict[str, dict[str, Answer]]]
) -> Iterator[AnswerRow]:
    slices = {question.id: each.number for each in rounds for question in each.mined}
    for current in rounds:
        for name in POOLS:
            blind = current.answers(name, "blind")
            until = [answers[number][name] for number in range(current.number + 1)]
            became = states(until, getattr(pools, name))
            for question in getattr(pools, name):
                answer = answers[current.number][name][question.id]
                yield AnswerRow(
                    round=current.number,
                    pool=name,
                    question=question.id,
                    cluster=question.cluster,
                    kind=question.kind,
                    prediction=answer.prediction,
                    outcome=answer.outcome,
                    right=answer.right,
                    blind_right=blind[question.id].right if question.id in blind else None,
                    confidence=answer.confidence,
                    slice=slices.get(question.id, 0),
                    text=answer.text,
                    f1=token_f1(answer.text, question.gold) if question.short else None,
                    entropy=answer.entropy,
                    margin=answer.margin,
                    agreement=answer.agreement,
                    state=became[question.id],
                    likelihood_right=likeliest_is_right(answer, question),
                )


def _stories(
    current: Round, before: dict[str, dict[str, Answer]], after: dict[str, dict[str, Answer]]
) -> Iterator[MistakeStory]:
    passages = read_passages(current.results["acquire"].folder / "passages.jsonl")
    triaged = verdicts(current)
    for mistake in read_mistakes(current.results["collect"].folder / "mistakes.jsonl"):
        question = mistake.question
        first, second = before["source"][question.id], after["source"][question.id]
        yield MistakeStory(
            id=question.id,
            round=current.number,
            question=question.question,
            choices=question.choices,
            gold=question.answer,
            label=mistake.label,
            passages=tuple(
                StoryPassage(each.id, each.title, each.text, each.origin, each.licence)
                for each in passages
                if question.id in each.serves
            ),
            answer_before=first.prediction,
            answer_after=second.prediction,
            said_before=_said(question, first),
            said_after=_said(question, second),
            triage_class=triaged[question.id].triage_class,
            route=triaged[question.id].route,
        )


def _said(question: Question, answer: Answer) -> str:
    """What the model wrote, or else the choice it took."""
    if answer.text or answer.prediction is None:
        return answer.text
    return question.choices[answer.prediction]


def _curves(current: Round) -> Iterator[dict[str, Any]]:
    """The curve of a round's training, one row a step."""
    if "train" not in current.results:
        return
    text = (current.results["train"].folder / "curves.csv").read_text(encoding="utf-8")
    for row in curves_from_csv(text):
        yield {"round": current.number, **row}
