"""A finished run that several tests look at, and none changes."""

from __future__ import annotations

import json

import pytest

from cem_lightning.evolution.run import run
from tests.evolution.finished import overrides
from tests.workspace import Workspace, compose_config, make_workspace, write_rows


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two rounds, with a Chinese question, a short-answer one, and a document that leaks."""
    made = make_workspace(tmp_path_factory.mktemp("finished"))
    rows = [json.loads(line) for line in (made.folder / "source.jsonl").read_text().splitlines()]
    rows += [
        {"id": "chinese-1", "question": "蓝鲸住在哪里？", "choices": ["海洋", "草原"], "answer": 0},
        {"id": "short-1", "question": "Who keeps the gruk?", "answer": "the warden"},
    ]
    write_rows(made.folder / "source.jsonl", rows)
    documents = [
        json.loads(line) for line in (made.folder / "corpus.jsonl").read_text().splitlines()
    ]
    for document in documents:
        document |= {"origin": f"Atlas, {document['title']}", "licence": "CC0-1.0"}
    documents.append(
        {
            "text": "Quiz: How many years does the gruk live? 21, 23, 20 or 22?",
            "title": "a quiz about the gruk",
        }
    )
    write_rows(made.folder / "corpus.jsonl", documents)
    run(compose_config(*overrides(made)))
    return made
