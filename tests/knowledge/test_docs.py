"""The retriever that docs/knowledge.md shows runs as it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cem_lightning.evolution.run import run
from cem_lightning.storage.atomic import read_jsonl
from tests.workspace import Workspace, compose_config

PAGE = Path(__file__).parents[2] / "docs" / "knowledge.md"


def test_the_retriever_of_the_docs_runs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(code.splitlines()) <= 36
    (workspace.folder / "notes.py").write_text(code)
    monkeypatch.syspath_prepend(str(workspace.folder))
    notes = workspace.folder / "notes"
    notes.mkdir()
    for row in read_jsonl(workspace.folder / "corpus.jsonl"):
        with (notes / f"{row['title']}.txt").open("a") as file:
            file.write(" ".join(row["text"].split()) + "\n")
    typed = [each for each in workspace.overrides() if not each.startswith("knowledge")]
    folder = run(
        compose_config(
            *typed, "knowledge=custom", "knowledge.target=notes:Notes",
            f"+knowledge.options.folder={notes}", "rounds=1",
        )
    )  # fmt: skip
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["rounds"][1]["passages"] > 0


def test_every_reason_for_leaving_a_text_out_is_documented() -> None:
    from typing import get_args

    from cem_lightning.knowledge.cleaning import Fault
    from cem_lightning.knowledge.filtering import Reason

    page = PAGE.read_text(encoding="utf-8")
    told = {each for each in get_args(Reason) if isinstance(each, str)} | {*get_args(Fault)}
    for reason in told - {"empty"}:
        assert f"`{reason}`" in page, reason
