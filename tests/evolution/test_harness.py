"""action=harness writes tasks that ask what a run asks, token for token."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cem_lightning.errors import UserError
from cem_lightning.evolution.actions import act
from cem_lightning.evolution.config import Config
from cem_lightning.evolution.prepare import prepare
from cem_lightning.models.encoding import Encoder
from cem_lightning.models.loading import load_encoder
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Wording
from tests.workspace import Workspace, make_workspace, write_rows

CONTROL = "What does <|im_start|> mean?"


class Loader(yaml.SafeLoader):
    """Reads the harness's mark of a function as text."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """With a short answer, Chinese, control tokens, and what is longer than the context."""
    made = make_workspace(tmp_path_factory.mktemp("world"))
    path = made.folder / "source.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows += [
        {"id": "chinese", "question": "蓝鲸住在哪里？", "choices": ["海洋", "草原"], "answer": 0},
        {"id": "control", "question": CONTROL, "choices": ["a turn", "a page"], "answer": 0},
        {"id": "long", "question": "Why? " * 200, "choices": ["so", "no"], "answer": 1},
        {"id": "short", "question": "Who keeps the gruk?", "answer": "the warden"},
    ]
    write_rows(path, rows)
    return made


def tasks(world: Workspace, *more: str) -> tuple[Config, Path, dict[str, dict[str, Any]]]:
    """The YAML files by name."""
    config = world.config("action=harness", f"harness.folder={world.folder / 'tasks'}", *more)
    folder = act(config)
    assert folder is not None
    return (
        config,
        folder,
        {path.stem: yaml.load(path.read_text(), Loader) for path in folder.glob("*.yaml")},
    )


def rows(task: dict[str, Any]) -> list[dict[str, Any]]:
    """The questions of a task, from where it says."""
    assert task["dataset_path"] == "json"
    path = Path(task["dataset_kwargs"]["data_files"][task["test_split"]])
    assert path.is_absolute()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def asked(config: Config) -> tuple[Encoder, Pools, dict[str, Question]]:
    encoder, _ = load_encoder(Path(config.model.path), config.model)
    pools = prepare(config).pools
    encoder = encoder.with_shots(Wording(config.answering.method).solved(pools.shots))
    return encoder, pools, {each.id: each for _, pool in pools.items() for each in pool}


@pytest.mark.parametrize(
    "more",
    [
        ("answering=letters",),
        ("answering=letters", "answering.shots=2"),
        ("answering=letters", "model.style=plain"),
        ("answering=cloze", "answering.normalise=byte"),
    ],
)
def test_the_harness_reads_the_tokens_that_a_run_scores(
    world: Workspace, more: tuple[str, ...]
) -> None:
    name = "".join(each for each in "".join(more) if each.isalnum())
    config, _, written = tasks(world, f"name={name}", *more)
    encoder, pools, questions = asked(config)
    wording = Wording(config.answering.method)
    mine = {name: task for name, task in written.items() if name.startswith(f"cem_{config.name}_")}
    ends = ["heldout", "ood", "source"]
    ends += ["source_short"] * any(each.short for each in pools.source)
    assert sorted(mine) == [f"cem_{config.name}_{end}" for end in ends]
    assert all(task["task"] == name for name, task in mine.items())
    seen = []
    for end in ends[:3]:
        task = mine[f"cem_{config.name}_{end}"]
        assert task["output_type"] == "multiple_choice"
        assert task["doc_to_text"] == "prompt"
        for row in rows(task):
            question = questions[row["id"]]
            seen.append(question.id)
            assert row[task["doc_to_target"]] == question.answer
            for index, choice in enumerate(row[task["doc_to_choice"]]):
                text = row["prompt"] + task["target_delimiter"] + choice
                prompt, response = wording.prompt(question), wording.response(question, index)
                ours = encoder.continuation(prompt, response)
                read = tuple(encoder.tokenizer.encode(text))
                assert (read == ours) == (question.id != "control"), question.id
    assert seen == [
        each.id for name in ends[:3] for each in dict(pools.items())[name] if not each.short
    ]


def test_the_readme_names_what_differs_and_what_to_compare_with(world: Workspace) -> None:
    config, folder, _ = tasks(world, "name=told", "answering=letters", "answering.normalise=sum")
    told = (folder / "README.md").read_text(encoding="utf-8")
    assert "| `cem_told_source` | 19 | `acc` | 1: `control` | 1: `long` |" in told
    assert "| `cem_told_heldout` | 8 | `acc` | 0 | 0 |" in told
    assert "| `cem_told_source_short` | 1 | `exact_match` | 0 | 0 |" in told
    assert f"pretrained={config.model.path},dtype=float32 --tasks cem_told " in told
    assert f"--include_path {folder} " in told


def test_the_accuracy_by_tokens_is_counted_as_a_run_does(world: Workspace) -> None:
    config, folder, written = tasks(world, "name=tok", "answering=cloze")
    task = written["cem_tok_heldout"]
    assert task["process_results"] == "by_tokens.process_results"
    encoder, *_ = asked(config)
    row = rows(task)[0]
    assert row["tokens"] == [len(encoder.tokenizer.encode(each)) for each in row["choices"]]
    scope: dict[str, Any] = {}
    exec((folder / "by_tokens.py").read_text(), scope)
    doc = {"tokens": [1, 3, 2], "target": 1}
    counted = scope["process_results"](doc, [(-2.0, False), (-4.5, False), (-6.0, False)])
    assert counted == {"acc": 0.0, "acc_tokens": 1.0}


def test_the_letter_is_looked_for_as_a_run_looks_for_it(world: Workspace) -> None:
    _, _, written = tasks(world, "name=ext", "answering=extract")
    task = written["cem_ext_ood"]
    assert task["output_type"] == "generate_until"
    (filters,) = task["filter_list"]
    regex, _ = filters["filter"]
    question = Question("q", "What?", ("x", "y"), 0, "q")
    assert rows(task)[0]["target"] == "A"
    for text in (
        "The answer is A. x. The complete answer is that: What? x",
        "the answer is (b). Or: the answer is A.",
        "The answer is a mystery",
        "B",
    ):
        found = re.findall(regex["regex_pattern"], text)
        letter = found[regex["group_select"]].upper() if found else None
        parsed = Wording("extract").parse(question, text)
        assert letter == (None if parsed is None else "AB"[parsed]), text


def test_what_lies_in_the_folder_stays(world: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "mine.yaml").write_text("task: mine\n")
    act(world.config("action=harness", f"harness.folder={folder}"))
    assert (folder / "mine.yaml").read_text() == "task: mine\n"
    assert (folder / "cem_cem_ood.yaml").is_file()
    with pytest.raises(UserError, match=r"harness\.folder: .*mine\.yaml is a file"):
        act(world.config("action=harness", f"harness.folder={folder / 'mine.yaml'}"))


def test_the_folder_of_tasks_makes_no_other_run(world: Workspace) -> None:
    other = world.config("action=harness", "harness.folder=elsewhere")
    assert other.identity() == world.config().identity()
