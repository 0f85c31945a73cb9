"""What is written of a run is what is read of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cem_lightning.errors import UserError
from cem_lightning.reporting.run_folder import RunRecord
from tests.reporting.records import make_record


def test_a_record_survives_its_folder(tmp_path: Path) -> None:
    record = make_record()
    record.write(tmp_path)
    again = RunRecord.read(tmp_path)
    assert again.answers == record.answers
    assert again.stories == record.stories
    assert again.rounds == record.rounds
    assert again.curves == record.curves
    assert (again.name, again.arm, again.seed) == ("quickstart", "cem", 1)


def test_the_metrics_keep_their_documented_keys(tmp_path: Path) -> None:
    make_record().write(tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {"rounds", "peak_memory_bytes", "seed"} <= metrics.keys()
    documented = Path(__file__).parents[2].joinpath("docs/metrics.md").read_text()
    for key in (*metrics["rounds"][0], *metrics["rounds"][0]["pools"]["heldout"]):
        assert f'"{key}"' in documented or f"`{key}`" in documented or "_ci95" in key, key


@pytest.mark.parametrize("damage", ["absent", "empty", "cut"])
def test_an_unfinished_run_is_refused(tmp_path: Path, damage: str) -> None:
    make_record().write(tmp_path)
    path = tmp_path / "metrics.json"
    if damage == "absent":
        path.unlink()
    else:
        path.write_text("" if damage == "empty" else path.read_text()[:300])
    with pytest.raises(UserError, match=r"not the folder of a finished run"):
        RunRecord.read(tmp_path)
