"""How the finished run of `conftest` is named, for a command on it, and where its results lie."""

from __future__ import annotations

import json
from pathlib import Path

from tests.workspace import Workspace


def overrides(world: Workspace, *more: str) -> list[str]:
    """What the finished run was started with, and an action on it."""
    return world.overrides(
        f"run_dir={world.folder / 'run'}",
        "rounds=2",
        "data.slice=9",
        "answering.response_tokens=12",
        "knowledge.leak_threshold=1.0",
        *more,
    )


def stages(world: Workspace, name: str) -> dict[int, Path]:
    """The folders of a stage by round."""
    noted = json.loads((world.folder / "run" / "stages.json").read_text())["stages"]
    return {
        each["round"]: world.folder / "store" / name / each["key"]
        for each in noted
        if each["stage"] == name
    }
