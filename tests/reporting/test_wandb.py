"""Weights & Biases offline: one run per evolution, whatever became of it, and no secrets in it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto.wandb_internal_pb2 import Record

from cem_lightning.evolution.run import run
from cem_lightning.training.callbacks import Curves
from tests.workspace import Workspace, make_workspace

LOGGER = ("logger=wandb", "rounds=2")


class OfflineRun:
    """What the file of an offline run holds."""

    def __init__(self, folder: Path) -> None:
        wandb.teardown()  # what is still on its way is written now
        (self.folder,) = (folder / "wandb").glob("offline-run-*")
        (path,) = self.folder.glob("run-*.wandb")
        self.records = list(_records(path.read_bytes()))

    def of(self, kind: str) -> list[Any]:
        return [
            getattr(each, kind) for each in self.records if each.WhichOneof("record_type") == kind
        ]

    def history(self, key: str) -> list[Any]:
        """The values logged under a key, in order."""
        found = []
        for each in self.of("history"):
            row = {item.key or "/".join(item.nested_key): item.value_json for item in each.item}
            if key in row:
                found.append(json.loads(row[key]))
        return found

    @property
    def exit_code(self) -> int:
        (end,) = self.of("exit")
        return int(end.exit_code)

    def table(self, name: str) -> dict[str, Any]:
        """The last table logged under a name."""
        paths = (self.folder / "files" / "media" / "table").glob(f"{name}_*.table.json")
        newest = max(paths, key=lambda path: int(path.name.split("_")[1]))
        return dict(json.loads(newest.read_text()))


def _records(data: bytes) -> Iterator[Record]:
    """The records of a .wandb file: LevelDB's log format after a header of 7 bytes."""
    at, parts = 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole record, or the last piece of one
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, OfflineRun]]:
    """An evolution of two rounds, a job of a sweep."""
    world = make_workspace(tmp_path_factory.mktemp("logged"))
    folder = run(world.config(*LOGGER), "2026-01-02/03-04-05")
    yield world, OfflineRun(folder)


def test_listed_by_experiment_sweep_arm_and_seed(logged: tuple[Workspace, OfflineRun]) -> None:
    _, offline = logged
    (listed,) = offline.of("run")
    assert (listed.run_group, listed.job_type, listed.display_name) == ("cem", "cem", "cem seed 1")
    assert list(listed.tags) == ["2026-01-02/03-04-05"]
    config = {each.key: json.loads(each.value_json) for each in listed.config.update}
    assert config["sweep"] == "2026-01-02/03-04-05"
    assert config["recipe"]["name"] == "cem"
    assert offline.exit_code == 0


def test_rounds_and_steps_on_axes_of_their_own(logged: tuple[Workspace, OfflineRun]) -> None:
    world, offline = logged
    axes = {each.glob_name: each.step_metric for each in offline.of("metric") if each.glob_name}
    assert axes == {"rounds/*": "round", "steps/*": "step"}
    curves = (world.folder / "run" / "curves.csv").read_text().splitlines()[1:]
    assert offline.history("step") == list(range(1, len(curves) + 1))
    assert offline.history("round") == [0, 1, 2]
    assert sorted(set(offline.history("steps/round"))) == [1, 2]
    scores = json.loads((world.folder / "run" / "metrics.json").read_text())["rounds"]
    assert offline.history("rounds/pools/heldout/accuracy") == [
        each["pools"]["heldout"]["accuracy"] for each in scores
    ]


def test_steps_are_logged_as_they_happen(logged: tuple[Workspace, OfflineRun]) -> None:
    """The steps of a round lie between the scores of the round before it and its own."""
    _, offline = logged
    order = [
        key
        for each in offline.of("history")
        for item in each.item
        if (key := item.key or "/".join(item.nested_key)) in ("round", "step")
    ]
    first, second, third = (at for at, key in enumerate(order) if key == "round")
    assert first == 0 and second > 1 and third > second + 1


def test_tables_of_mistakes_and_scores(logged: tuple[Workspace, OfflineRun]) -> None:
    world, offline = logged
    mistakes = offline.table("mistakes")
    assert mistakes["columns"][:3] == ["round", "id", "question"]
    stories = (world.folder / "run" / "mistakes.jsonl").read_text().splitlines()
    assert len(mistakes["data"]) == len(stories)
    first, story = (
        dict(zip(mistakes["columns"], mistakes["data"][0], strict=True)),
        json.loads(stories[0]),
    )
    assert first["id"] == story["id"]
    assert first["gold"] == story["choices"][story["gold"]]
    assert first["answer before"] == story["said_before"]
    assert story["passages"][0]["text"] in first["passages"]
    scores = offline.table("scores")
    assert {(row[0], row[1]) for row in scores["data"]} == {
        (number, pool) for number in range(3) for pool in ("source", "heldout", "ood")
    }
    assert {"n", "low", "high", "mended", "lost"} <= set(scores["columns"])


def test_artifacts_name_what_they_were_made_from(logged: tuple[Workspace, OfflineRun]) -> None:
    world, offline = logged
    made = {each.name: each for each in offline.of("artifact") if each.type in ("corpus", "model")}
    (listed,) = offline.of("run")
    names = [f"model-{listed.run_id}-r0"] + [
        f"{kind}-{listed.run_id}-r{number}" for number in (1, 2) for kind in ("corpus", "model")
    ]
    assert list(made) == names
    metadata = {name: json.loads(each.metadata) for name, each in made.items()}
    assert metadata[names[1]]["made_from"] == [names[0]]
    assert metadata[names[4]]["made_from"] == [names[2], names[3]]
    rounds = json.loads((world.folder / "run" / "metrics.json").read_text())["rounds"]
    assert metadata[names[4]]["digest"] == rounds[2]["model"]
    held = {name: {file.path for file in each.manifest.contents} for name, each in made.items()}
    assert {"mistakes.jsonl", "passages.jsonl"} < held[names[1]]
    assert any(path.startswith("examples/") for path in held[names[1]])
    assert held[names[2]] == {"files.json"}


def test_weights_are_logged_where_asked(workspace: Workspace) -> None:
    folder = run(workspace.config("logger=wandb", "logger.log_model=true"))
    made = {
        each.name[-2:]: each for each in OfflineRun(folder).of("artifact") if each.type == "model"
    }
    assert {file.path for file in made["r0"].manifest.contents} == {"files.json"}
    assert any(file.path.endswith(".safetensors") for file in made["r1"].manifest.contents)


def test_one_run_whatever_happens(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped inside training: one failed run; the same command: one finished, with all of it."""
    measured = Curves.on_train_batch_end

    def stopped(self: Curves, trainer: Any, *rest: Any) -> None:
        measured(self, trainer, *rest)
        if trainer.global_step == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Curves, "on_train_batch_end", stopped)
        run(workspace.config(*LOGGER))
    failed = OfflineRun(workspace.folder / "run")
    assert failed.exit_code == 1
    assert (failed.history("round"), failed.history("step")) == ([0], [1, 2])

    run(workspace.config(*LOGGER))
    whole = OfflineRun(workspace.folder / "run")
    assert whole.exit_code == 0
    assert whole.history("round") == [0, 1, 2]
    steps = whole.history("step")
    assert steps == list(range(1, len(steps) + 1))
    assert whole.of("run")[0].run_id == failed.of("run")[0].run_id
