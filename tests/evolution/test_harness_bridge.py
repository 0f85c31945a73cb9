"""lm-evaluation-harness itself runs the tasks, and finds the scores of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cem_lightning.answering.records import Answer
from cem_lightning.evolution.actions import act
from cem_lightning.evolution.stored import read_answers
from cem_lightning.models.loading import load_model
from tests.answering.models import token_scores
from tests.evolution.finished import stages
from tests.workspace import Workspace

lm_eval = pytest.importorskip("lm_eval")

pytestmark = pytest.mark.slow


def both(
    world: Workspace, monkeypatch: pytest.MonkeyPatch, *more: str
) -> dict[str, tuple[Answer, dict[str, Any]]]:
    """Our answer and the harness's sample, by question."""
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(world.folder / "cache"))
    more = ("rounds=0", "answering.blind=false", "answering.open_book_passages=0", *more)
    config = world.config(*more)
    act(config)
    tasks = act(world.config(*more, "action=harness"))
    assert tasks is not None
    answers = {
        each.question: each
        for path in (stages(world, "answer")[0] / "answers").glob("*.jsonl")
        for each in read_answers(path)
    }
    found = lm_eval.simple_evaluate(
        model=HFLM(pretrained=config.model.path, dtype="float32", device="cpu", batch_size=4),
        tasks=[f"cem_{config.name}"],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
    )
    samples = {
        sample["doc"]["id"]: (answers[sample["doc"]["id"]], sample)
        for each in found["samples"].values()
        for sample in each
    }
    assert samples.keys() == answers.keys()
    return samples


@pytest.mark.parametrize(
    ("metric", "more"),
    [
        ("acc", ("answering=letters",)),
        ("acc", ("answering=letters", "answering.shots=2")),
        ("acc", ("answering=letters", "model.style=plain")),
        ("acc_tokens", ("answering=cloze", "model.style=plain")),
        ("acc_bytes", ("answering=cloze", "answering.normalise=byte", "model.style=plain")),
    ],
)
def test_log_likelihoods_and_choices_are_those_of_the_run(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, metric: str, more: tuple[str, ...]
) -> None:
    samples = both(workspace, monkeypatch, *more)
    config = workspace.config(*more)
    model = load_model(Path(config.model.path), config.model)
    for answer, sample in samples.values():
        theirs = [float(score) for ((score, _),) in sample["resps"]]
        apart = [a - b for a, b in zip(theirs, answer.log_likelihoods, strict=True)]
        ids = tuple(model.encoder.tokenizer.encode(sample["doc"]["prompt"]))
        # the line break that ends the chat template counts for a part of the response there
        shift = token_scores(model, ids)[-1] if config.model.style == "chat" else 0.0
        assert apart == pytest.approx([shift] * len(apart), abs=1e-4)
        assert sample[metric] == float(answer.right)


def test_what_is_written_is_that_of_the_run(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that names letters but rarely: the texts are compared, and what is read in them."""
    more = ("answering=extract", "answering.response_tokens=8")
    samples = both(workspace, monkeypatch, *more)
    for answer, sample in samples.values():
        assert sample["resps"][0][0].strip() == answer.text
        assert sample["exact_match"] == float(answer.right)
