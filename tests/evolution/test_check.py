"""action=check: what it counts is there, what it warns of is true, and it leaves nothing behind."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from cem_lightning.errors import UserError
from cem_lightning.evolution.calibration import Measured
from cem_lightning.evolution.check import examine
from cem_lightning.evolution.forecast import forecast
from cem_lightning.evolution.measuring import AskedTokens
from cem_lightning.evolution.prepare import prepare
from cem_lightning.progress import SilentProgress
from cem_lightning.reporting.findings import Findings, Forecast
from cem_lightning.reporting.run_folder import RunRecord
from cem_lightning.training.memory import TrainingMemory
from tests.cli.test_command import command
from tests.evolution.finished import overrides
from tests.workspace import Workspace, compose_config, write_rows


def check(world: Workspace, *more: str) -> str:
    """What the command prints."""
    typed = world.overrides("action=check", *more)
    return command(*typed, folder=world.folder).stdout


def findings(world: Workspace, *more: str) -> Findings:
    return examine(prepare(compose_config(*world.overrides(*more))), SilentProgress())


def rewritten(path: Path, change: Any) -> None:
    """The rows of a file after `change` has had them."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    write_rows(path, change(rows))


def looked_at(printed: str) -> str:
    """The problems, on one line."""
    return " ".join(printed.partition(" to look at")[2].split())


def test_it_counts_forecasts_and_leaves_nothing_behind(workspace: Workspace) -> None:
    before = sorted(workspace.folder.rglob("*"))
    printed = check(workspace)
    assert sorted(workspace.folder.rglob("*")) == before
    for expected in (
        "16 questions",
        "8 questions",
        "colour 6, town 5, age 5",
        "8 documents, 644 characters, 644 tokens",
        "without a title 0.0%, without an origin 100.0%",
        "feeds 1 of 1 rounds with 6 questions",
        "Peak memory",
        "Nothing to look at.",
    ):
        assert expected in printed
    assert re.search(r"passage\s+normative\s+review\s+general\s+all\s+steps", printed)


def test_tokens_of_a_question_are_those_that_pass_through_the_model(workspace: Workspace) -> None:
    tokenizer = AutoTokenizer.from_pretrained(workspace.folder / "model")
    total = longest = 0
    for pool in ("source", "heldout", "ood"):
        for line in (workspace.folder / f"{pool}.jsonl").read_text().splitlines():
            row = json.loads(line)
            for stem in filter(None, (row["question"], row.get("blind"))):
                turn = [{"role": "user", "content": stem}]
                prompt = len(
                    tokenizer.apply_chat_template(turn, add_generation_prompt=True)["input_ids"]
                )
                total += prompt + sum(map(len, row["choices"]))
                if stem == row["question"] and pool == "source":
                    longest = max(longest, prompt + max(map(len, row["choices"])))
    found = findings(workspace)
    (asking, *_) = found.forecast.costs
    assert asking.work == "asking" and asking.tokens == total
    assert found.pools[0].tokens.longest == longest


def test_the_forecast_is_near_what_a_run_took(finished: Workspace, tmp_path: Path) -> None:
    """Orders of magnitude of time; tokens, steps and space nearly as they came."""
    expected = examine(
        prepare(compose_config(*overrides(finished, f"store_dir={tmp_path}"))), SilentProgress()
    )
    run = RunRecord.read(finished.folder / "run")
    rounds = run.metrics["rounds"][1:]
    costs = {cost.work: cost for cost in expected.forecast.costs}
    for current in rounds:
        assert sum(current["tokens"].values()) == pytest.approx(costs["training"].tokens, abs=60)
    steps = sum(1 for row in run.curves if row["round"] == 1)
    assert abs(expected.recipe.steps - steps) <= 1
    weights = [
        sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
        for folder in (finished.folder / "store" / "train").iterdir()
        if folder.is_dir()
    ]
    assert expected.forecast.disk == pytest.approx(sum(weights), rel=0.1)
    took = sum(
        current["seconds"].get(stage, 0.0)
        for current in run.metrics["rounds"]
        for stage in ("answer", "open_book", "train")
    )
    assert took / 100 < expected.forecast.seconds < took * 100
    peak = run.metrics["peak_memory_bytes"]
    assert peak / 10 < expected.forecast.memory < peak * 10


def test_what_is_in_the_store_is_not_forecast_again(finished: Workspace) -> None:
    def rows(*more: str) -> list[str]:
        typed = overrides(finished, "action=check", *more)
        lines = command(*typed, folder=finished.folder).stdout.splitlines()
        return [" ".join(line.split()) for line in lines]

    def told(work: str, left: str, stored: str, printed: list[str]) -> bool:
        return any(line.startswith(f"{work} {left} {stored} ") for line in printed)

    again = rows()
    assert told("asking", "0", "3", again) and told("training", "0", "2", again)
    other = rows("recipe.tokens=900")
    assert told("asking", "2", "1", other) and told("open book", "0", "1", other)
    assert told("training", "2", "–", other)


def test_what_a_folder_holds_that_is_of_no_use_is_counted(workspace: Workspace) -> None:
    texts = workspace.folder / "texts"
    (texts / "sub").mkdir(parents=True)
    whole = "The lark of the northern hills sings before the sun has risen over the lake."
    for name, text in (
        ("a.txt", whole), ("sub/again.md", whole),
        ("cookies.txt", "We use cookies. Accept cookies."),
        ("b.pdf", "x"), ("c.PDF", "x"), ("README", "x"), (".hidden.png", "x"),
    ):  # fmt: skip
        (texts / name).write_text(text)
    printed = check(workspace, f"knowledge.corpus={texts}")
    assert "1 are word for word copies of others; no text worth reading: 1 boilerplate" in printed
    told = "3 files are not read: 2 .pdf, 1 without ending"
    assert told in looked_at(printed)


def test_a_document_with_a_held_out_question_is_named(finished: Workspace) -> None:
    printed = command(*overrides(finished, "action=check"), folder=finished.folder).stdout
    assert "1 hold a question of heldout or ood" in printed
    assert "heldout age-0 (same question)" in looked_at(printed)
    assert "CC0-1.0 8, none given 1" in printed
    assert "2–4, 1 short" in printed


def test_a_surface_cue_is_told(workspace: Workspace) -> None:
    def longest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            row
            | {
                "choices": [
                    choice + " and much else" * (choice == row["answer"])
                    for choice in row["choices"]
                ],
                "answer": row["answer"] + " and much else",
            }
            for row in rows
        ]

    assert "strategy" not in looked_at(check(workspace))
    rewritten(workspace.folder / "source.jsonl", longest)
    printed = check(workspace)
    assert "100.0%!" in printed
    told = looked_at(printed)
    assert "data.source: source: the strategy 'longest' scores 100.0%" in told
    assert "heldout: the strategy" not in told


def test_the_place_of_the_answer_is_a_cue_only_where_choices_are_listed(
    workspace: Workspace,
) -> None:
    """All answers of ood are the first of two choices."""
    assert "'first'" not in looked_at(check(workspace))
    assert "ood: the strategy 'first' scores 100.0%" in looked_at(
        check(workspace, "answering=letters")
    )


def test_short_answers_have_no_surface_and_may_be_too_long(workspace: Workspace) -> None:
    rows: list[dict[str, object]] = [
        {"question": f"Who is number {number}?", "answer": f"the warden number {number}"}
        for number in range(8)
    ]
    for pool in ("source", "heldout", "ood"):
        write_rows(workspace.folder / f"{pool}.jsonl", rows if pool == "source" else [])
    typed = ("data.heldout=null", "data.ood=null", "answering.response_tokens=12")
    printed = check(workspace, *typed)
    assert "Surface cues" not in printed
    assert "8 short" in printed
    assert "answering.response_tokens: 8 accepted answers of source" in looked_at(printed)
    assert "data.heldout: there are no held-out questions" in looked_at(printed)


def test_questions_that_repeat_are_counted(workspace: Workspace) -> None:
    rewritten(
        workspace.folder / "source.jsonl", lambda rows: [*rows, rows[0] | {"id": "once more"}]
    )
    told = looked_at(check(workspace))
    assert "data.source: 1 of 17 questions of source repeat" in told


def test_columns_that_are_not_read_are_named(workspace: Workspace) -> None:
    rewritten(
        workspace.folder / "source.jsonl",
        lambda rows: [row | {"topic": "x", "le\u202evel": 1} for row in rows],
    )
    printed = check(workspace)
    assert "source: columns not read: topic, le\\u202evel" in printed
    assert "heldout: columns" not in printed


def test_no_answer_at_the_first_place_may_be_positions_from_one(workspace: Workspace) -> None:
    def placed(*positions: int) -> str:
        rows: list[dict[str, object]] = [
            {"question": f"Who is {at}?", "choices": [*"wxyz"], "answer": position}
            for at, position in enumerate(positions)
        ]
        write_rows(workspace.folder / "source.jsonl", rows)
        return looked_at(check(workspace))

    told = "data.source: none of the 20 answers of source is the first of its choices"
    assert told in placed(*[1, 2] * 10)
    assert "the first of its choices" not in placed(*[1, 2] * 9, 1)
    assert "the first of its choices" not in placed(0, *[1, 2] * 10)


def test_too_few_questions_and_too_long_ones(workspace: Workspace) -> None:
    rewritten(
        workspace.folder / "heldout.jsonl",
        lambda rows: [rows[0] | {"question": "Which? " * 100, "blind": None}, *rows[1:]],
    )
    told = looked_at(check(workspace, "rounds=4"))
    assert "the 16 source questions feed 3 of 4 rounds; set data.slice=4" in told
    assert "1 of 8 questions of heldout exceed the model's context of 512 tokens" in told
    assert "data.slice" not in looked_at(check(workspace, "rounds=4", "data.slice=4"))


def test_rows_left_out_of_a_published_set_are_told(workspace: Workspace) -> None:
    (workspace.folder / "set").mkdir()
    lines = ["What is 1?,one,two,three,four,A", "What is 2?,one,two,three,four,B"]
    file = workspace.folder / "set" / "numbers_test.csv"
    file.write_text("\n".join([*lines, lines[0]]) + "\n")
    printed = command(
        f"model.path={workspace.folder / 'model'}",
        "data=mmlu",
        f"data.path={file}",
        "data.ood=null",
        "data.heldout_share=0.5",
        f"store_dir={workspace.folder / 'store'}",
        "action=check",
        folder=workspace.folder,
    ).stdout
    assert "left out: 1 rows: the same question came before 1" in printed
    assert "data: 1 rows cannot be used" in looked_at(printed)


def test_wikipedia_is_not_asked_and_its_requests_are_bounded(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    typed = [each for each in workspace.overrides() if not each.startswith("knowledge")]
    printed = command(
        *typed,
        "knowledge=wikipedia",
        "knowledge.contact=you@example.org",
        "action=check",
        folder=workspace.folder,
    ).stdout
    # 6 mistakes: 4 + 3 each; 6 * 4 + 50 random ones in 2 lists; 8 held-out ones: 4 + 3 each
    assert "at most 174 (118 a round, 56 for the open book)" in " ".join(printed.split())
    assert "nothing was asked of a network" in printed


def test_an_adapter_takes_less_space_and_a_new_start_more_tokens(workspace: Workspace) -> None:
    full = findings(workspace, "rounds=2").forecast
    adapter = findings(
        workspace, "rounds=2", "trainer=lora", "trainer.lora.rank=2", "trainer.start=base"
    ).forecast
    assert full.trained == full.parameters == adapter.parameters
    assert 0 < adapter.trained < full.trained / 2
    assert adapter.disk < full.disk / 2
    trained = {cost.work: cost.tokens for cost in adapter.costs}["training"]
    assert trained == 1.5 * {cost.work: cost.tokens for cost in full.costs}["training"]


def test_guards_take_time_and_room(workspace: Workspace) -> None:
    measured = Measured(
        asking_rate=10.0, forward_rate=12.0, parameters=5, trained=5, model_bytes=1000,
        kept_bytes=1000, training=TrainingMemory(1000, 1000, 50, 10), resident=7, peak=20,
    )  # fmt: skip

    def expected(*more: str) -> Forecast:
        prepared = prepare(compose_config(*workspace.overrides(*more)))
        tokens = {name: [AskedTokens(9, 9, 0, 9, 1)] * 4 for name in ("source", "heldout", "ood")}
        return forecast(prepared, measured, tokens, rounds=1, steps=5, stored=())

    plain, near = expected(), expected("objective.kl=1")
    asked = expected("trainer.evaluate_at=[1,2,9]", "trainer.interpolation={gate:3,parts:[0.5]}")
    assert (plain.training_rate, near.training_rate) == (4.0, 3.0), "the start reads a step once"
    assert plain.memory == 7 + 1000 + 3 * 1000 + 50 + 10
    assert near.memory == asked.memory == plain.memory + 1000, "a copy of the start"
    assert plain.costs == asked.costs[:-1]
    more = asked.costs[-1]
    assert (more.work, more.tokens) == ("asking meanwhile", 9 * (2 * 4 + 2 * 3))
    assert more.seconds == more.tokens / 10


def test_guards_that_find_too_little_are_pointed_out(workspace: Workspace) -> None:
    printed = looked_at(
        check(workspace, "trainer.evaluate_at=[1,999]", "trainer.interpolation.gate=11")
    )
    assert "nothing is asked at [999]" in printed
    assert "takes 11 of the 16 source questions, and the 5 left do not feed every round" in printed
    with pytest.raises(UserError, match=r"freeze_layers: 2, but the model has 2 layers"):
        findings(workspace, "trainer.freeze_layers=2")


def test_frozen_layers_are_not_trained_but_kept(workspace: Workspace) -> None:
    plain = findings(workspace).forecast
    held = findings(workspace, "trainer.freeze_layers=1").forecast
    assert 0 < held.trained < plain.trained
    assert held.disk == plain.disk


def test_the_untrained_arm_trains_nothing(workspace: Workspace) -> None:
    printed = check(workspace, "rounds=0")
    assert "Recipe" not in printed
    assert not re.search(r"^training", printed, re.MULTILINE)
    assert "none trained" in printed


def test_what_cannot_be_used_ends_it_as_it_ends_a_run(workspace: Workspace) -> None:
    done = command(
        *workspace.overrides("action=check", "data.source=nowhere.jsonl"),
        folder=workspace.folder,
        expect=2,
    )
    assert "data.source" in done.stderr and "nowhere.jsonl" in done.stderr
