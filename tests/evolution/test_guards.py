"""Guards against forgetting in a whole evolution: what is set aside, kept, merged and shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from cem_lightning.errors import UserError
from cem_lightning.evolution.export import export_model
from cem_lightning.evolution.run import run
from cem_lightning.models.loading import load_model
from cem_lightning.storage.atomic import read_jsonl
from tests.workspace import Workspace


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def stored(workspace: Workspace, stage: str) -> list[Path]:
    records = (workspace.folder / "store" / stage).glob("*/record.json")
    return [each.parent for each in sorted(records, key=lambda each: each.stat().st_mtime)]


def test_a_part_of_the_way_is_chosen_by_questions_that_nothing_else_sees(
    workspace: Workspace,
) -> None:
    folder = run(workspace.config("rounds=1", "trainer.interpolation.gate=5"))
    found = metrics(folder)["rounds"][1]["interpolation"]
    assert found["n"] == 5
    assert set(found["right"]) == {"0.25", "0.5", "0.75", "1"}
    best = max(found["right"].values())
    assert found["part"] == min(float(e) for e, right in found["right"].items() if right == best)
    assert "How much of what training changed was kept" in (folder / "report.html").read_text()

    (pools,) = stored(workspace, "pools")
    gate = {row["id"] for row in read_jsonl(pools / "pools" / "gate.jsonl")}
    source = {row["id"] for row in read_jsonl(pools / "pools" / "source.jsonl")}
    assert len(gate) == 5 and not gate & source
    for stage in ("answer", "collect", "assemble"):
        for folder in stored(workspace, stage):
            for path in folder.rglob("*.jsonl"):
                assert not any(f'"{each}"' in path.read_text() for each in gate), path


def test_a_gate_that_would_empty_the_source_is_refused(workspace: Workspace) -> None:
    with pytest.raises(UserError, match=r"trainer\.interpolation\.gate=500 .* which has \d+"):
        run(workspace.config("trainer.interpolation.gate=500"))


def test_the_guarded_pool_is_asked_while_the_model_is_trained(workspace: Workspace) -> None:
    plain = metrics(run(workspace.config("rounds=1")))["rounds"]
    folder = run(
        workspace.config(
            "rounds=1", "trainer.evaluate_at=[1,2,3]", f"run_dir={workspace.folder / 'asked'}"
        )
    )
    asked = metrics(folder)["rounds"]
    assert asked[1]["pools"] == plain[1]["pools"], "asking changes nothing"
    (row, *_) = (folder / "report.html").read_text().split("after optimizer step")[1:]
    assert "1: " in row and "3: " in row and "stability gap" in row


@pytest.mark.parametrize("more", [["verdict.guarded=null"], ["data.ood=null"]])
def test_asking_a_guarded_pool_that_is_not_there_is_refused(
    workspace: Workspace, more: list[str]
) -> None:
    with pytest.raises(UserError, match=r"trainer\.evaluate_at asks the guarded pool"):
        run(workspace.config("trainer.evaluate_at=[1]", *more))


@pytest.mark.invariant
def test_an_adapter_on_top_of_a_merged_one_is_scored_and_exported_as_such(
    workspace: Workspace,
) -> None:
    """Its loading is that of the base, the first adapter and the second."""
    lora = ("trainer=lora", "trainer.learning_rate=1e-2", "trainer.lora.earlier=merge")
    overrides = ("rounds=2", *lora)
    run(workspace.config(*overrides))
    first, second = (each / "weights" for each in stored(workspace, "train"))
    assert not (first / "merged").exists()
    assert (second / "merged" / "adapter_model.safetensors").read_bytes() == (
        first / "adapter_model.safetensors"
    ).read_bytes()

    config = workspace.config().model
    base, one, both = (
        load_model(workspace.folder / "model", config, weights).network.state_dict()
        for weights in (None, first, second)
    )
    lonely = _without(second, workspace.folder / "alone")
    alone = load_model(workspace.folder / "model", config, lonely).network.state_dict()
    moved = [name for name in base if not base[name].equal(one[name])]
    assert moved
    for name in moved:
        assert (both[name] - one[name]).allclose(alone[name] - base[name], atol=1e-6), name
        assert not both[name].equal(alone[name])

    exported = export_model(workspace.config(*overrides, "action=export"))
    whole = AutoModelForCausalLM.from_pretrained(exported).state_dict()
    assert all(whole[name].allclose(both[name], atol=1e-6) for name in both)


def _without(adapter: Path, folder: Path) -> Path:
    """A copy of the adapter, but for the one that it was trained on top of."""
    return shutil.copytree(adapter, folder, ignore=lambda *_: ["merged"])
