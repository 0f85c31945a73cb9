"""The worker runs the one stage that a prepared folder describes, and nothing else."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cem_lightning.evolution.run import run
from cem_lightning.storage.digests import digest_path
from cem_lightning.training.callbacks import MEASURED
from tests.workspace import Workspace, make_workspace

JOB, CURVES = "job.json", "curves.csv"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A world with the store of one whole round."""
    world = make_workspace(tmp_path_factory.mktemp("finished"))
    run(world.config("rounds=1"))
    return world


def curves(path: Path) -> list[dict[str, str]]:
    """The rows without the time they took."""
    with path.open(encoding="utf-8") as file:
        return [row | dict.fromkeys(MEASURED, "") for row in csv.DictReader(file)]


def work(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cem_lightning.worker", str(folder)],
        capture_output=True,
        text=True,
        cwd=folder.parent,
        env=os.environ | {"PYTHONHASHSEED": "5"},
    )


@pytest.mark.slow
@pytest.mark.invariant
@pytest.mark.parametrize("stage", ["answer", "train"])
def test_a_worker_gives_the_files_of_the_stage(
    finished: Workspace, tmp_path: Path, stage: str
) -> None:
    stored = sorted((finished.folder / "store" / stage).glob("*/record.json"))[0].parent
    before = {each: digest_path(each) for each in (finished.folder / "store").iterdir()}
    folder = tmp_path / "prepared"
    folder.mkdir()
    shutil.copy(stored / JOB, folder)
    done = work(folder)
    assert done.returncode == 0, done.stderr
    expected = json.loads((stored / "record.json").read_text())
    names = sorted(set(expected["digests"]) - {JOB})
    assert names
    assert sorted(each.name for each in folder.iterdir()) == sorted([JOB, *names])
    for name in names:
        if name == CURVES:
            assert curves(folder / name) == curves(stored / name)
        else:
            assert digest_path(folder / name) == expected["digests"][name], name
    record = json.loads(done.stdout)
    assert record["seconds"] > 0
    told = expected.keys() - {"key", "digests", "devices"}  # what the store and its caller add
    assert record.keys() == told
    varying = {"seconds", "peak_memory_bytes", "environment"}
    assert {key: record[key] for key in told - varying} == {
        key: expected[key] for key in told - varying
    }
    after = {each: digest_path(each) for each in (finished.folder / "store").iterdir()}
    assert after == before, "a worker writes into its own folder alone"


def test_a_folder_that_describes_no_stage_is_an_error(tmp_path: Path) -> None:
    done = work(tmp_path)
    assert done.returncode != 0
    assert JOB in done.stderr
    assert not done.stdout
