"""Short-answer questions through a whole round: asked, mined, looked up, trained, asked again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.corpus.arrow import load_examples
from cem_lightning.evolution.run import run
from cem_lightning.evolution.stored import read_answers, read_mistakes, read_passages
from cem_lightning.models.config import ModelConfig
from cem_lightning.models.loading import load_model
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Wording
from cem_lightning.reporting.run_folder import RunRecord
from tests.answering.models import teach
from tests.tiny import tiny_tokenizer
from tests.workspace import Workspace, make_workspace, write_rows

# name: what is right, what the model was taught to say
KNOWN = {
    "gruk": ("Arle", "Arle"),
    "wimp": ("Bresk", "The Bresk."),
    "sorn": ("3.5", "35"),
    "pell": ("Dunmar", "Eltz"),
    "tove": ("北京", "上海"),
    "drim": ("Hask", ""),
}


@dataclass(frozen=True)
class Trained:
    """A finished run with its store."""

    workspace: Workspace
    folder: Path

    @property
    def metrics(self) -> list[Any]:
        return json.loads((self.folder / "metrics.json").read_text())["rounds"]

    def stored(self, path: str) -> Path:
        (found,) = (self.workspace.folder / "store").glob(path)
        return found


def stem(name: str) -> str:
    return f"Tell me where the {name} lives"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    workspace = make_workspace(tmp_path_factory.mktemp("world"))
    folder = workspace.folder
    write_rows(
        folder / "source.jsonl",
        [{"id": name, "question": stem(name), "answer": KNOWN[name][0]} for name in KNOWN],
    )
    heldout = [json.loads(line) for line in (folder / "heldout.jsonl").read_text().splitlines()]
    also = {"id": "larn", "question": "What is the larn called?", "answer": "larn"}
    write_rows(folder / "heldout.jsonl", [*heldout[:3], also])
    write_rows(
        folder / "corpus.jsonl",
        [
            {"text": f"The {name} lives near {right}, as is known.", "licence": "CC0"}
            for name, (right, _) in KNOWN.items()
        ],
    )
    path = folder / "model"
    config = ModelConfig.model_validate(
        {"path": str(path), "style": "chat", "dtype": "float32", "device": "cpu"}
        | {"attention": "sdpa"}
    )
    model = load_model(path, config)
    wording = Wording("cloze")
    teach(
        model,
        [
            (wording.prompt(Question(name, stem(name), (right,), 0, name)), said)
            for name, (right, said) in KNOWN.items()
        ],
    )
    model.network.save_pretrained(path)
    settings = (
        "rounds=1",
        "answering.blind=false",
        "recipe.tokens=15000",
        "recipe.shares={passage:0.05,normative:0.7,extractive:0.1,review:0.15,general:0}",
        "trainer.batch=4",
        "trainer.learning_rate=5e-3",
    )
    return Trained(workspace, run(workspace.config(*settings)))


def test_round_0_tells_right_wrong_and_silent_apart(trained: Trained) -> None:
    pools = trained.metrics[0]["pools"]
    assert pools["source"]["n"] == pools["source"]["short"] == 6
    assert pools["source"]["accuracy"] == pytest.approx(2 / 6)
    assert pools["source"]["f1"] == pytest.approx(2 / 6)
    assert pools["source"]["held"] == pytest.approx(2 / 6)
    assert pools["source"]["unparsable"] == 1
    assert (pools["heldout"]["n"], pools["heldout"]["short"]) == (4, 1)
    assert "f1" not in pools["ood"] and "short" not in pools["ood"]


def test_wrong_and_unlikely_answers_are_mined_and_looked_up(trained: Trained) -> None:
    mistakes = {
        each.question.id: (each.label, each.prediction)
        for each in read_mistakes(trained.stored("collect/*/mistakes.jsonl"))
    }
    wrong = dict.fromkeys(("sorn", "pell", "tove"), ("wrong", None))
    assert mistakes == wrong | {"wimp": ("ambiguous", 0)}
    passages = read_passages(trained.stored("acquire/*/passages.jsonl"))
    for name in mistakes:
        right = KNOWN[name][0]
        assert any(right in each.text for each in passages if name in each.serves), name


def test_the_accepted_answer_is_trained(trained: Trained) -> None:
    tokenizer = tiny_tokenizer()
    found: dict[str, dict[str, str]] = {"normative": {}, "extractive": {}, "review": {}}
    for example in load_examples(trained.stored("assemble/*/examples")):
        if example.kind in found:
            pairs = zip(example.ids, example.supervised, strict=True)
            response = tokenizer.decode([token for token, on in pairs if on])
            found[example.kind][example.question_ids[0]] = response.removesuffix("<|im_end|>")
            assert "Answer in a few words." in tokenizer.decode(example.ids)
    mined = {name: KNOWN[name][0] for name in ("wimp", "sorn", "pell", "tove")}
    assert found == {"normative": mined, "extractive": mined, "review": {"gruk": "Arle"}}


def test_training_mends_some_and_the_record_says_what_was_said(trained: Trained) -> None:
    record = RunRecord.read(trained.folder)
    pools = trained.metrics[1]["pools"]
    assert pools["source"]["mended"] > 0
    assert pools["source"]["f1"] > 2 / 6
    rows = record.answered(1, "source")
    stories = {each.id: each for each in record.stories}
    assert sorted(stories) == ["pell", "sorn", "tove", "wimp"]
    for name, story in stories.items():
        right, said = KNOWN[name]
        assert (story.said_before, story.choices) == (said, (right,))
        assert story.said_after == rows[name].text
        assert (story.answer_after == story.gold) == rows[name].right
        assert {each.licence for each in story.passages} == {"CC0"}
        assert all(each.id for each in story.passages)
    assert any(each.answer_after == each.gold for each in stories.values())
    assert all(row.f1 is None for row in record.answered(1, "ood").values())
    assert rows["gruk"].f1 is not None
    page = (trained.folder / "report.html").read_text()
    assert "F1 / held" in page and "上海" in page


def test_multiple_choice_beside_them_keeps_its_digits(trained: Trained) -> None:
    """A pool of choices alone is asked as it would be without any short answers."""
    folder = trained.workspace.folder
    rows = [json.loads(line) for line in (folder / "heldout.jsonl").read_text().splitlines()]
    write_rows(folder / "choices.jsonl", rows[:3])
    run(
        trained.workspace.config(
            "rounds=0",
            "answering.blind=false",
            f"data.heldout={folder / 'choices.jsonl'}",
            f"store_dir={folder / 'other'}",
            f"run_dir={folder / 'choices'}",
        )
    )
    (path,) = (folder / "other").glob("answer/*/answers/heldout.jsonl")
    mixed = (folder / "store").glob("answer/*/answers/heldout.jsonl")
    first = min(mixed, key=lambda path: path.stat().st_mtime_ns)  # round 0
    assert read_answers(path) == read_answers(first)[:3]
