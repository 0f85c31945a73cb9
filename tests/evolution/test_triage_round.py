"""Whole rounds in which triage decides what is trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.corpus.arrow import load_examples
from cem_lightning.evolution.run import run
from cem_lightning.evolution.runner import run_stage
from cem_lightning.mistakes.points import knowledge_points
from cem_lightning.progress import SilentProgress
from cem_lightning.questions.records import Question
from cem_lightning.reporting.run_folder import RunRecord
from cem_lightning.storage.atomic import read_jsonl, write_jsonl
from tests.evolution.finished import stages
from tests.workspace import Workspace, make_workspace

ROUTES = ("unstable", "ambiguous", "knowledge_gap", "unhelped", "suspect_gold")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("triaged"))


@pytest.fixture(scope="module")
def plain(world: Workspace) -> Path:
    """A round as it is by default."""
    return started(world, "plain")


@pytest.fixture(scope="module")
def held(world: Workspace, plain: Path) -> Path:
    """Two rounds that put into quarantine what passages do not help."""
    return started(world, "run", "rounds=2", "triage.routes.unhelped=quarantine")


def started(world: Workspace, name: str, *more: str) -> Path:
    return run(
        world.config(
            "rounds=1",
            "data.slice=8",
            "recipe.tokens=400",
            "answering.blind=false",
            "answering.open_book_passages=0",
            f"run_dir={world.folder / name}",
            *more,
        )
    )


def count(world: Workspace, stage: str) -> int:
    return len(list((world.folder / "store" / stage).glob("*/record.json")))


def rows(path: Path) -> list[dict[str, Any]]:
    return list(read_jsonl(path))


def test_the_default_trains_on_what_no_triage_would(world: Workspace, plain: Path) -> None:
    before = count(world, "triage"), count(world, "train")
    off = RunRecord.read(started(world, "off", "triage.open_book_passages=0"))
    assert (count(world, "triage"), count(world, "train")) == (before[0] + 1, before[1])
    kinds = set(off.rounds[1]["triage"])
    assert "wrong" in kinds and kinds <= {"wrong", "ambiguous"}
    found = RunRecord.read(plain).rounds[1]["triage"]
    assert "wrong" not in found
    assert sum(each["n"] for each in found.values()) == sum(
        each["n"] for each in off.rounds[1]["triage"].values()
    )
    assert not (plain / "quarantine.jsonl").exists()


def test_every_class_has_its_row_in_the_scores(plain: Path) -> None:
    record = RunRecord.read(plain)
    after = record.answered(1, "source")
    for name, row in record.rounds[1]["triage"].items():
        own = [each for each in record.stories if each.triage_class == name]
        assert row["n"] == len(own) > 0
        assert {each.route for each in own} == {row["route"]}
        assert row["right_after"] == sum(after[each.id].right for each in own)
        assert row["right_after"] == row["likelihood_right_after"], "a cloze has no form to fail"
        assert row["right_before"] == (row["n"] if name == "ambiguous" else 0)
        assert row["open_book_asked"] == sum(bool(each.passages) for each in own)
        if name == "knowledge_gap":
            assert row["open_book_right"] == row["n"]
        if name == "unhelped":
            assert row["open_book_right"] == 0
    for current in record.rounds:
        assert all(pool["format_gap"] == 0 for pool in current["pools"].values())


def test_quarantine_is_listed_and_not_trained_on(
    world: Workspace, held: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = RunRecord.read(held)
    listed = rows(held / "quarantine.jsonl")
    unhelped = [each for each in record.stories if each.triage_class == "unhelped"]
    assert [(each["round"], each["id"]) for each in listed] == [(e.round, e.id) for e in unhelped]
    for row, story in zip(listed, unhelped, strict=True):
        assert row["tests"]["own order"] == story.answer_before != row["gold"]
        assert [each["id"] for each in row["passages"]] == [each.id for each in story.passages]
        assert ("open book" in row["tests"]) == bool(row["passages"])
    assert list(record.quarantine) == listed
    for number, folder in stages(world, "assemble").items():
        used = {id for each in load_examples(folder / "examples") for id in each.question_ids}
        assert used, "something is trained on"
        assert not used & {each["id"] for each in listed if each["round"] <= number}
    shown = run(world.config(*_same(held)))  # all from the store
    assert shown == held
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{len(listed)} questions are in quarantine" in printed
    assert "What kind of mistakes" in printed
    assert "in quarantine" in (held / "report.html").read_text()


def test_what_was_in_quarantine_is_not_reviewed_later(
    world: Workspace, held: Path, tmp_path: Path
) -> None:
    job = json.loads((stages(world, "assemble")[2] / "job.json").read_text())

    def reviewed(folder: Path) -> set[str]:
        run_stage(folder, "assemble", SilentProgress())
        found = load_examples(folder / "examples")
        return {each.question_ids[0] for each in found if each.kind == "review"}

    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    shutil.copy(stages(world, "assemble")[2] / "job.json", tmp_path / "before")
    found = reviewed(tmp_path / "before")
    verdicts = rows(Path(job["inputs"]["before_1"]))
    one = sorted(found)[0]
    verdict = verdicts[0] | {"question": one, "route": "quarantine"}
    write_jsonl(tmp_path / "verdicts.jsonl", [*verdicts, verdict])
    job["inputs"]["before_1"] = str(tmp_path / "verdicts.jsonl")
    (tmp_path / "after" / "job.json").write_text(json.dumps(job))
    assert reviewed(tmp_path / "after") == found - {one}


def test_a_round_of_which_nothing_is_left_ends_the_run(world: Workspace, plain: Path) -> None:
    before = count(world, "train")
    every = [f"triage.routes.{name}=quarantine" for name in ROUTES]
    record = RunRecord.read(started(world, "none", *every))
    assert record.last_round == 0
    assert "triage leaves nothing to train on" in record.metrics["stopped"]
    assert f"({len(record.quarantine)} quarantine)" in record.metrics["stopped"]
    assert count(world, "train") == before


def _same(folder: Path) -> list[str]:
    """The command of the quarantined run once more."""
    return [
        "rounds=2",
        "data.slice=8",
        "recipe.tokens=400",
        "answering.blind=false",
        "answering.open_book_passages=0",
        f"run_dir={folder}",
        "triage.routes.unhelped=quarantine",
    ]


def test_passages_that_do_not_help_are_not_read(world: Workspace) -> None:
    folder = started(world, "probed", "triage.min_bits=0")
    record = RunRecord.read(folder)
    told = record.rounds[1]["usefulness"]
    assert 0 < told["kept"] < told["read"]
    assert told["served"] <= told["mistakes"]
    (found,) = (
        path for path in (world.folder / "store" / "triage").glob("*/readings.jsonl") if rows(path)
    )
    triaged, readings = found.parent, rows(found)
    kept = {(each["question"], each["passage"]) for each in readings if each["kept"]}
    assert {each["bits"] > 0 for each in readings if each["kept"]} == {True}
    (corpus,) = (
        path.parent
        for path in (world.folder / "store" / "assemble").glob("*/job.json")
        if triaged.name in path.read_text(encoding="utf-8")
    )
    read = [
        (question, passage)
        for example in load_examples(corpus / "examples")
        if example.kind in ("passage", "extractive")
        for question in example.question_ids
        for passage in example.passage_ids
    ]
    assert read and set(read) <= kept


def test_the_model_may_name_what_is_looked_up(world: Workspace) -> None:
    folder = started(world, "named", "mistakes.points_by=model")
    assert RunRecord.read(folder).last_round == 1
    (written,) = (
        path.parent
        for path in (world.folder / "store" / "collect").glob("*/job.json")
        if '"points_by": "model"' in path.read_text(encoding="utf-8")
    )
    record = json.loads((written / "record.json").read_text(encoding="utf-8"))
    mistakes = rows(written / "mistakes.jsonl")
    named = [each for each in mistakes if each["points"] != list(_keyphrases(each))]
    assert len(named) + record["points_by_keyphrase"] == len(mistakes) > 0


def _keyphrases(row: dict[str, Any]) -> tuple[str, ...]:
    return knowledge_points(Question.from_dict(row["question"]), 4)
