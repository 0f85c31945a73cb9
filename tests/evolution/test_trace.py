"""action=trace: what it tells of a question is what the stages have written."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from cem_lightning.corpus.arrow import load_examples
from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.corpus.datamodule import CorpusDataModule
from cem_lightning.reporting.figures import percent
from cem_lightning.storage.atomic import read_jsonl
from tests.cli.test_command import command
from tests.evolution.finished import overrides, stages
from tests.workspace import Workspace


def trace(world: Workspace, question: str) -> str:
    typed = overrides(world, "action=trace", f"question={question}")
    return command(*typed, folder=world.folder).stdout


def mistakes(world: Workspace, number: int) -> list[dict[str, Any]]:
    return list(read_jsonl(stages(world, "collect")[number] / "mistakes.jsonl"))


def of_round(printed: str, number: int) -> str:
    """What is told of one round, on one line."""
    told = re.split(r"^Round \d+$", printed, flags=re.MULTILINE)[number]
    return " ".join(re.sub(r"[│├└─]", " ", told).split())


def test_a_mistake_is_followed_from_its_points_to_what_was_trained(finished: Workspace) -> None:
    acquired = stages(finished, "acquire")[1]
    for mistake in mistakes(finished, 1)[:3]:
        id = mistake["question"]["id"]
        told = of_round(trace(finished, id), 1)
        assert f"mined: a mistake, {mistake['label']}" in told
        assert f"knowledge points: {', '.join(mistake['points'])}" in told
        (verdict,) = (
            row
            for row in read_jsonl(stages(finished, "triage")[1] / "triaged.jsonl")
            if row["question"] == id
        )
        kind = verdict["triage_class"].replace("_", " ")
        assert f"triage: {kind}, so passages and instructions" in told
        assert ("with passages in the prompt:" in told) == (verdict["open_book"] is not None)
        found = [row for row in read_jsonl(acquired / "passages.jsonl") if id in row["serves"]]
        assert f"{len(found)} passage" in told
        for row in found:
            assert f"{row['id']} {row['title']} · score {row['score']:.2f}" in told
            assert f"{row['origin']} · {row['licence']}" in told
        for row in read_jsonl(acquired / "dropped.jsonl"):
            if row["question"] == id:
                reason = row["reason"].replace("_", " ")
                assert f"{row['document']}: {reason}, {row['detail']}" in told


def test_examples_are_told_with_how_often_they_were_read(finished: Workspace) -> None:
    examples = stages(finished, "assemble")[1] / "examples"
    job = json.loads((stages(finished, "train")[1] / "job.json").read_text())["config"]
    trainer = job["trainer"]
    read = Counter(
        CorpusDataModule(
            examples,
            RecipeConfig(**job["recipe"]),
            seed=job["seed"],
            batch=trainer["batch"],
            pack_tokens=trainer["pack_tokens"],
        ).plan.order.tolist()
    )
    kinds = set()
    for id in [row["question"]["id"] for row in mistakes(finished, 1)[:3]]:
        told = of_round(trace(finished, id), 1)
        for at, example in enumerate(load_examples(examples)):
            times = "1 time" if read[at] == 1 else f"{read[at]} times"
            line = (
                f"example {at} · {example.kind} · {len(example.ids)} tokens, {example.targets} "
                f"trained · read {times}"
            )
            assert (line in told) == (id in example.question_ids)
            kinds |= {example.kind} if line in told else set()
    assert kinds == {"passage", "normative"} and max(read.values()) > 1


def test_outcomes_and_probabilities_are_those_of_every_round(finished: Workspace) -> None:
    printed = trace(finished, "colour-0")
    table = [line.split() for line in printed.splitlines()]
    chances = []
    for number, folder in stages(finished, "answer").items():
        rows = read_jsonl(folder / "answers" / "source.jsonl")
        (answer,) = (row for row in rows if row["question"] == "colour-0")
        (blind,) = (
            row
            for row in read_jsonl(folder / "blind" / "source.jsonl")
            if row["question"] == "colour-0"
        )
        row = [str(number), answer["outcome"], blind["outcome"]]
        row += [percent(each) for each in answer["probabilities"]]
        assert row in [line[: len(row)] for line in table]
        chances.append(percent(answer["probabilities"][3]))
    assert f"probability of the right answer {chances[0]} → {chances[1]}" in of_round(printed, 1)
    assert "4. red ✓" in printed


def test_a_question_that_a_round_did_not_mine_says_so(finished: Workspace) -> None:
    mined = {row["question"]["id"] for row in mistakes(finished, 2)}
    (first, *_) = sorted(mined)
    assert "not mined" in of_round(trace(finished, first), 1)
    assert "mined: a mistake" in of_round(trace(finished, first), 2)


def test_a_document_that_leaks_is_among_what_was_left_out(finished: Workspace) -> None:
    assert "leak, age-0 (same question)" in trace(finished, "short-1")


def test_a_short_answer_is_told_as_it_was_written(finished: Workspace) -> None:
    printed = trace(finished, "short-1")
    assert "accepted: the warden" in printed
    rows = read_jsonl(stages(finished, "answer")[0] / "answers" / "source.jsonl")
    (answer,) = (row for row in rows if row["question"] == "short-1")
    assert answer["text"].split()[0] in printed


def test_a_held_out_question_names_the_passages_with_its_answer(finished: Workspace) -> None:
    printed = trace(finished, "age-0")
    assert "heldout" in printed and "open book" in printed
    for number, folder in stages(finished, "acquire").items():
        told = of_round(printed, number)
        assert "never trained on" in told and "mined" not in told
        stating = [
            row["id"] for row in read_jsonl(folder / "passages.jsonl") if "20 years" in row["text"]
        ]
        assert stating  # the question about the gruk's age is that passage's
        assert [id for id in stating if id in told] == stating
        assert f"{len(stating)} passage" in told
    assert "0 passages" in of_round(trace(finished, "sum-0"), 1)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [((), "question=ID"), (("question=colour0",), "did you mean 'colour-0'")],
)
def test_without_a_question_that_exists_it_is_refused(
    finished: Workspace, typed: tuple[str, ...], expected: str
) -> None:
    told = command(
        *overrides(finished, "action=trace", *typed), folder=finished.folder, expect=2
    ).stderr
    assert "question" in told and expected in told


def test_a_run_that_is_not_finished_is_refused_with_the_next_step(workspace: Workspace) -> None:
    typed = workspace.overrides("action=trace", "question=colour-0")
    told = command(*typed, folder=workspace.folder, expect=2).stderr
    assert "action=run" in told
