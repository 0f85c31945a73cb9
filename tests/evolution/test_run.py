"""A whole evolution in this process, on a tiny model: what it writes, and what it reuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.errors import UserError
from cem_lightning.evolution.run import run
from cem_lightning.questions.records import Question
from cem_lightning.reporting.run_folder import RunRecord
from tests.workspace import Workspace, write_rows


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def scores(folder: Path) -> list[Any]:
    return [each["pools"] for each in metrics(folder)["rounds"]]


def stage_count(workspace: Workspace, stage: str) -> int:
    return len(list((workspace.folder / "store" / stage).glob("*/record.json")))


def test_two_rounds_leave_the_documented_metrics_and_a_report(workspace: Workspace) -> None:
    folder = run(workspace.config("rounds=2"))
    found = metrics(folder)
    assert [each["round"] for each in found["rounds"]] == [0, 1, 2]
    assert found["seed"] == 1
    assert found["peak_memory_bytes"] > 10**8
    for each in found["rounds"]:
        assert set(each["pools"]) == {"source", "heldout", "ood"}
        for pool in each["pools"].values():
            assert {
                "n",
                "accuracy",
                "ci95",
                "blind_accuracy",
                "mended",
                "lost",
                "unparsable",
                "too_long",
                "digest",
            } <= set(pool)
            assert pool["ci95"][0] <= pool["accuracy"] <= pool["ci95"][1]
        assert set(each["tokens"]) == {"passage", "normative", "extractive", "review", "general"}
        assert "answer" in each["seconds"]
    assert sum(found["rounds"][0]["tokens"].values()) == 0
    for each in found["rounds"][1:]:
        assert abs(sum(each["tokens"].values()) - 1500) < 150
        assert {"collect", "acquire", "triage", "assemble", "train"} <= set(each["seconds"])
    assert "<html" in (folder / "report.html").read_text()


def test_a_run_whose_configuration_is_lost_says_what_to_delete(workspace: Workspace) -> None:
    config = workspace.config("rounds=0")
    config.folder.mkdir()
    for name in ("metrics.json", "config.json"):
        (config.folder / name).write_text("{")
    with pytest.raises(UserError, match=r"run_dir: .*config\.json.*Delete that folder"):
        run(config)


@pytest.mark.parametrize("key", ["run_dir", "store_dir"])
@pytest.mark.parametrize("place", ["taken", "taken/below", "/proc/none/below"])
def test_a_folder_that_cannot_be_is_told_before_anything_is_read(
    workspace: Workspace, key: str, place: str
) -> None:
    (workspace.folder / "taken").write_text("a file")
    folder = workspace.folder / place
    with pytest.raises(UserError, match=rf"^{key}: {folder} cannot be written to"):
        run(workspace.config("data.source=nowhere", f"{key}={folder}"))


def test_net_change_is_mended_minus_lost(workspace: Workspace) -> None:
    first, second = scores(run(workspace.config("rounds=1")))
    for name, pool in second.items():
        net = (pool["accuracy"] - first[name]["accuracy"]) * pool["n"]
        assert net == pytest.approx(pool["mended"] - pool["lost"])


@pytest.mark.invariant
def test_the_same_command_twice_gives_the_same_digits(workspace: Workspace) -> None:
    first = scores(run(workspace.config("rounds=1")))
    again = scores(
        run(
            workspace.config(
                "rounds=1",
                f"store_dir={workspace.folder / 'other'}",
                f"run_dir={workspace.folder / 'again'}",
            )
        )
    )
    assert again == first


def test_a_finished_stage_is_never_run_again(workspace: Workspace) -> None:
    run(workspace.config("rounds=1"))
    folder = run(workspace.config("rounds=2"))
    assert stage_count(workspace, "train") == 2
    assert "train" in metrics(folder)["rounds"][1]["reused"]
    assert "train" not in metrics(folder)["rounds"][2]["reused"]
    run(workspace.config("rounds=2"))
    assert stage_count(workspace, "train") == 2


def test_another_learning_rate_runs_training_and_what_follows(workspace: Workspace) -> None:
    run(workspace.config("rounds=1"))
    other = f"run_dir={workspace.folder / 'other'}"
    run(workspace.config("rounds=1", other, "trainer.learning_rate=2e-3"))
    counts = {stage: stage_count(workspace, stage) for stage in ("assemble", "train", "answer")}
    assert counts == {"assemble": 1, "train": 2, "answer": 3}


def test_arms_share_the_baseline_and_one_retrieval(workspace: Workspace) -> None:
    for recipe in ("cem", "cpt_only", "random_passages"):
        run(
            workspace.config(
                "rounds=1",
                f"recipe={recipe}",
                "recipe.tokens=1500",
                f"run_dir={workspace.folder / recipe}",
            )
        )
    counts = {stage: stage_count(workspace, stage) for stage in ("acquire", "train", "answer")}
    assert counts == {"acquire": 1, "train": 3, "answer": 4}


def test_a_round_can_start_from_the_base_on_all_data_so_far(workspace: Workspace) -> None:
    folder = run(workspace.config("rounds=2", "trainer.start=base"))
    rounds = metrics(folder)["rounds"]
    assert sum(rounds[2]["tokens"].values()) > 1.8 * sum(rounds[1]["tokens"].values())


def test_an_adapter_is_continued_over_rounds(workspace: Workspace) -> None:
    folder = run(workspace.config("rounds=2", "trainer=lora", "trainer.lora.rank=4"))
    results = list((workspace.folder / "store" / "train").glob("*/weights"))
    assert len(results) == 2
    assert all((each / "adapter_config.json").is_file() for each in results)
    digests = {each["model"] for each in metrics(folder)["rounds"][1:]}
    assert len(digests) == 2


def test_zero_rounds_is_the_untrained_arm(workspace: Workspace) -> None:
    found = metrics(run(workspace.config("rounds=0")))
    assert found["arm"] == "untrained"
    assert len(found["rounds"]) == 1


@pytest.mark.slow
def test_letters_and_extract_run_too(workspace: Workspace) -> None:
    for method in ("letters", "extract"):
        folder = run(
            workspace.config(
                "rounds=1",
                f"answering={method}",
                "answering.response_tokens=8",
                f"run_dir={workspace.folder / method}",
            )
        )
        pool = scores(folder)[0]["heldout"]
        if method == "extract":  # a random model never writes the form
            assert pool["unparsable"] == pool["n"]
            first = metrics(folder)["rounds"][1]
            assert set(first["triage"]) == {"format"}, "that is no mistake of knowledge"
            assert first["passages"] == 0
            assert pool["format_gap"] == pool["likelihood_accuracy"] > 0
            rows = [each for each in RunRecord.read(folder).answers if each.pool == "heldout"]
            likeliest = [each.likelihood_right for each in rows if each.round == 0]
            assert sum(map(bool, likeliest)) == pool["likelihood_accuracy"] * pool["n"]
        else:
            assert pool["unparsable"] == 0


@pytest.mark.slow
def test_what_can_neither_be_parsed_nor_is_the_likeliest_is_no_mistake(
    workspace: Workspace,
) -> None:
    from cem_lightning.evolution.stored import read_answers

    quick = ("answering=extract", "answering.response_tokens=4", "answering.blind=false")
    run(workspace.config("rounds=0", *quick))
    (stored,) = (workspace.folder / "store" / "answer").glob("*/answers/source.jsonl")
    likeliest = {each.question: each.likeliest for each in read_answers(stored)}
    path = workspace.folder / "source.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["answer"] = 0 if likeliest[row["id"]] else 1
    write_rows(path, rows)
    other = f"run_dir={workspace.folder / 'other'}"
    stopped = metrics(run(workspace.config("rounds=1", *quick, other)))["stopped"]
    assert stopped.startswith("no mistakes found")
    assert "6 unparsable" in stopped


def test_too_long_questions_are_counted_not_lost(workspace: Workspace) -> None:
    path = workspace.folder / "heldout.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["question"] = "why " * 400
    write_rows(path, rows)
    pool = scores(run(workspace.config("rounds=0")))[0]["heldout"]
    assert pool["too_long"] == 1
    assert pool["n"] == len(rows)


def test_no_mistakes_is_a_success_that_says_so(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    from cem_lightning.evolution.stored import read_answers

    run(workspace.config("rounds=0"))
    (stored,) = (workspace.folder / "store" / "answer").glob("*/answers/source.jsonl")
    chosen = {each.question: each.prediction for each in read_answers(stored)}
    path = workspace.folder / "source.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:  # whatever the model chooses becomes right
        row["answer"] = chosen[row["id"]]
    write_rows(path, rows)
    folder = run(
        workspace.config(
            "rounds=2", "mistakes.ambiguous_below=0", f"run_dir={workspace.folder / 'knowing'}"
        )
    )
    assert "no mistakes found" in metrics(folder)["stopped"]
    assert "no mistakes found" in capsys.readouterr().out
    assert stage_count(workspace, "train") == 0


def test_another_configuration_in_the_same_folder_is_refused(workspace: Workspace) -> None:
    run(workspace.config("rounds=0"))
    with pytest.raises(UserError, match=r"trainer\.learning_rate: 0\.001 there, 0\.5 now"):
        run(workspace.config("rounds=0", "trainer.learning_rate=0.5"))


def test_nan_leaves_the_store_whole(workspace: Workspace) -> None:
    with pytest.raises(UserError, match=r"trainer\.learning_rate"):
        run(
            workspace.config(
                "rounds=1",
                "trainer.learning_rate=1e30",
                "trainer.warmup_fraction=0",
                "trainer.max_gradient_norm=1e30",
            )
        )
    assert stage_count(workspace, "train") == 0
    assert not list((workspace.folder / "store" / "train").glob(".*.work"))
    assert stage_count(workspace, "assemble") == 1
    # what the message advises works, in the same folder
    run(workspace.config("rounds=1", "trainer.learning_rate=1e-3"))
    assert stage_count(workspace, "train") == 1


def test_a_learning_rate_that_spoils_the_last_step_is_noticed(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="not finite after the last step"):
        run(
            workspace.config(
                "rounds=1",
                "recipe.tokens=60",
                "trainer.learning_rate=3e38",
                "trainer.warmup_fraction=0",
            )
        )
    assert stage_count(workspace, "train") == 0


def test_held_out_questions_never_reach_the_corpus(workspace: Workspace) -> None:
    """Planted with changed case, another order of the options, and one word changed."""
    heldout = [
        Question.from_dict({"cluster": "", **row, "answer": row["choices"].index(row["answer"])})
        for row in map(json.loads, (workspace.folder / "heldout.jsonl").read_text().splitlines())
    ]
    path = workspace.folder / "corpus.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    clean = len(rows)
    for question in heldout:
        listed = " ".join(reversed(question.choices))
        rows += [
            {"text": f"{question.question.upper()} {question.gold}", "title": question.cluster},
            {"text": f"{question.question} Options: {listed}. {question.gold}"},
            {"text": question.question.replace("does", "will") + f" {question.gold}"},
        ]
    write_rows(path, rows)
    folder = run(
        workspace.config("rounds=1", "knowledge.leak_threshold=1.0", "knowledge.passages=8")
    )
    (passages,) = (workspace.folder / "store" / "acquire").glob("*/passages.jsonl")
    kept = [json.loads(line) for line in passages.read_text().splitlines()]
    numbers = {int(each["document"].split(":")[1]) for each in kept}
    assert numbers
    assert max(numbers) <= clean, "a planted question was let in"
    assert metrics(folder)["rounds"][1]["dropped"]["leak"] > 0


def test_shots_stand_before_questions_and_are_asked_of_nobody(workspace: Workspace) -> None:
    plain = metrics(run(workspace.config("rounds=0")))["rounds"][0]
    folder = workspace.folder / "shots"
    config = workspace.config("rounds=1", "answering.shots=2", "answering.method=letters")
    shown = metrics(run(config.model_copy(update={"run_dir": folder})))["rounds"]
    sizes = [each["pools"]["source"]["n"] for each in (plain, *shown)]
    assert sizes == [sizes[0], sizes[0] - 2, sizes[0] - 2]
    assert shown[0]["pools"]["heldout"]["n"] == plain["pools"]["heldout"]["n"]
    assert shown[0]["pools"]["heldout"]["digest"] != plain["pools"]["heldout"]["digest"]
    assert shown[1]["tokens"]["normative"] > 0
