"""The record of one finished evolution and the files it is kept in.

Computes no score: whoever ran the evolution hands them in, and every view of it starts here.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cem_lightning.errors import UserError
from cem_lightning.storage.atomic import (
    read_jsonl,
    write_bytes,
    write_json,
    write_jsonl,
    write_text,
)

FINISHED = "metrics.json"  # written last
QUARANTINE = "quarantine.jsonl"  # only if there are any
POOLS = ("heldout", "source", "ood")  # in the order of what a reader asks first


@dataclass(frozen=True)
class AnswerRow:
    """One answer of one round.

    Attributes:
        round: 0 before any training.
        pool: "source", "heldout" or "ood".
        question: the question's id.
        cluster: questions of one cluster are resampled together.
        kind: the relation asked for.
        prediction: position of the choice taken; None if unparsable or too long.
        outcome: "right", "wrong", "unparsable" or "too_long".
        right: whether the outcome is "right".
        blind_right: the same with the subject masked; None if it was not asked so.
        confidence: probability of the prediction, 0 to 1; 0 where there is none.
        slice: which round's slice of the source pool the question belongs to; 0 outside of it.
        text: what the model wrote, where it was asked to write; else "".
        f1: words shared with the accepted answer of a short-answer question, 0 to 1; else None.
        entropy: of the choices' probabilities, in nats; None where no two choices were scored.
        margin: the best probability minus the second best, 0 to 1; None as before.
        agreement: share of the cyclic orders of the choices that took the prediction, 0 to 1;
            None if there is no prediction, or one order was asked.
        state: what became of the question until then: "known", "learned", "forgotten", "relearned"
            or "never_learned"; "" in records of before it was followed.
        likelihood_right: whether the right choice was the likeliest, whatever was written; what
            `right` gains beyond it is a gain of form. None in records of before it was kept.
    """

    round: int
    pool: str
    question: str
    cluster: str
    kind: str
    prediction: int | None
    outcome: str
    right: bool
    blind_right: bool | None
    confidence: float
    slice: int = 0
    text: str = ""
    f1: float | None = None
    entropy: float | None = None
    margin: float | None = None
    agreement: float | None = None
    state: str = ""
    likelihood_right: bool | None = None


@dataclass(frozen=True)
class StoryPassage:
    """A passage that was fetched for a mistake."""

    id: str
    title: str
    text: str
    origin: str
    licence: str


@dataclass(frozen=True)
class MistakeStory:
    """What became of one mistake: what was fetched for it, and how the answer changed.

    Attributes:
        id: the question's id.
        round: the round that collected it, 1 for the first.
        question: the stem as it was asked.
        choices: of a short-answer question the accepted answer alone.
        gold: position of the right choice.
        label: "wrong", "ambiguous" or "format".
        answer_before: position of the choice taken before that round's training; None if none.
        answer_after: the same after it.
        said_before: the text the model wrote before that training, or else the choice it took;
            "" if it said nothing.
        said_after: the same after it.
        triage_class: what kind of mistake it is; "" in records of before they were told apart.
        route: what training made of it; "" as before.
    """

    id: str
    round: int
    question: str
    choices: tuple[str, ...]
    gold: int
    label: str
    passages: tuple[StoryPassage, ...]
    answer_before: int | None
    answer_after: int | None
    said_before: str
    said_after: str
    triage_class: str = ""
    route: str = ""

    @property
    def short(self) -> bool:
        """Whether there was nothing to choose from."""
        return len(self.choices) == 1


@dataclass(frozen=True)
class RunRecord:
    """Everything a reader may want to see of a finished evolution.

    Attributes:
        name: the name of the run, unique among the runs of an experiment.
        arm: the recipe's name ("cem", "cpt_only", ...).
        seed: of the run.
        config: the composed configuration as plain values.
        metrics: the documented layout of ``metrics.json``.
        answers: every round's answer to every question, in a stable order.
        stories: what became of the collected mistakes.
        curves: rows of the training log with "round", "step" and numbers; no empty values.
        quarantine: questions that a person is to look at, with what each test took.
    """

    name: str
    arm: str
    seed: int
    config: dict[str, Any]
    metrics: dict[str, Any]
    answers: tuple[AnswerRow, ...]
    stories: tuple[MistakeStory, ...]
    curves: list[dict[str, Any]]
    quarantine: tuple[dict[str, Any], ...] = ()

    @property
    def rounds(self) -> list[dict[str, Any]]:
        """Per-round part of the metrics, round 0 first."""
        return list(self.metrics["rounds"])

    @property
    def last_round(self) -> int:
        """Number of the last finished round; 0 if nothing was trained."""
        return len(self.metrics["rounds"]) - 1

    @property
    def pools(self) -> list[str]:
        """Names of the pools asked, heldout first."""
        present = self.metrics["rounds"][0]["pools"]
        return sorted(present, key=lambda pool: (pool not in POOLS, (*POOLS, pool).index(pool)))

    @property
    def has_short_answers(self) -> bool:
        """Whether any pool has short-answer questions, and so an F1."""
        return any("f1" in scores for scores in self.rounds[0]["pools"].values())

    def answered(self, round_: int, pool: str) -> dict[str, AnswerRow]:
        """The answers of one round to one pool by question id."""
        return {
            row.question: row for row in self.answers if row.round == round_ and row.pool == pool
        }

    def tokens_until(self, round_: int) -> int:
        """Tokens trained on in all rounds up to and with this one."""
        return sum(sum(each["tokens"].values()) for each in self.rounds[: round_ + 1])

    def write(self, folder: Path) -> None:
        """Write the files; ``metrics.json`` comes last and marks the run as finished."""
        write_bytes(folder / "answers.parquet", _answers_to_parquet(self.answers))
        write_jsonl(folder / "mistakes.jsonl", (asdict(story) for story in self.stories))
        write_text(folder / "curves.csv", _curves_to_csv(self.curves))
        if self.quarantine:
            write_jsonl(folder / QUARANTINE, self.quarantine)
        else:
            (folder / QUARANTINE).unlink(missing_ok=True)
        identity = {"name": self.name, "arm": self.arm, "seed": self.seed}
        write_json(folder / FINISHED, self.metrics | identity | {"config": self.config})

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """The record kept in `folder`.

        Raises:
            UserError: the folder is not that of a finished run.
        """
        try:
            metrics = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
            config = metrics.pop("config")
            _check(metrics)
            lines = (folder / "mistakes.jsonl").read_text(encoding="utf-8").split("\n")
            held = folder / QUARANTINE
            return cls(
                name=metrics["name"],
                arm=metrics["arm"],
                seed=metrics["seed"],
                config=config,
                metrics=metrics,
                answers=_answers_from_parquet((folder / "answers.parquet").read_bytes()),
                stories=tuple(_story(json.loads(line)) for line in lines if line),
                curves=curves_from_csv((folder / "curves.csv").read_text(encoding="utf-8")),
                quarantine=tuple(read_jsonl(held)) if held.is_file() else (),
            )
        except (OSError, LookupError, ValueError, TypeError, AttributeError) as error:
            said = " ".join(str(error).split())  # some readers need several lines
            reason = said if isinstance(error, OSError) else f"{type(error).__name__}: {said}"
            raise UserError(
                f"{folder} is not the folder of a finished run ({reason}). Give a folder in which "
                "a run has ended, or give the run's command again to finish it."
            ) from error


def _check(metrics: Mapping[str, Any]) -> None:
    """Whether the metrics have the shape that every view relies on.

    Raises:
        LookupError, TypeError, ValueError: they have not.
    """
    if not metrics["rounds"] or not isinstance(metrics["seed"], int):
        raise ValueError("no rounds, or a seed that is no number")
    for current in metrics["rounds"]:
        sum(current["tokens"].values())
        for pool in current["pools"].values():
            float(pool["accuracy"])


def _answers_to_parquet(answers: Sequence[AnswerRow]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"int": pa.int32(), "float": pa.float64(), "str": pa.string(), "bool": pa.bool_()}
    schema = pa.schema(
        [(each.name, types[str(each.type).removesuffix(" | None")]) for each in fields(AnswerRow)]
    )
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in answers], schema=schema), buffer)
    return buffer.getvalue()


def _answers_from_parquet(data: bytes) -> tuple[AnswerRow, ...]:
    import pyarrow.parquet as pq

    return tuple(AnswerRow(**row) for row in pq.read_table(io.BytesIO(data)).to_pylist())


def _story(values: Mapping[str, Any]) -> MistakeStory:
    passages = tuple(StoryPassage(**each) for each in values["passages"])
    return MistakeStory(
        **{**values, "choices": tuple(values["choices"]), "passages": passages},
    )


def _curves_to_csv(curves: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in curves for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(curves)
    return text.getvalue()


def curves_from_csv(text: str) -> list[dict[str, Any]]:
    """The rows of a table of curves, without its empty values."""
    return [
        {name: _number(value) for name, value in row.items() if value != ""}
        for row in csv.DictReader(io.StringIO(text))
    ]


def _number(text: str) -> int | float | str:
    for convert in (int, float):
        try:
            value = convert(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text
