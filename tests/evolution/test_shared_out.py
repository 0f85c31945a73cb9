"""An adapter trained with weights shared out, and continued by fewer devices, is that of one."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.evolution.test_processes import Listener, train_again, trained
from tests.workspace import Workspace

__all__ = ["trained"]  # a fixture

_LORA = {"rank": 4, "alpha": 8.0, "dropout": 0.0, "target_modules": "all-linear"}


class Stopped(Listener):
    """Stops the run at some step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def measure(self, row: Mapping[str, float]) -> None:
        super().measure(row)
        if len(self.rows) == self.step:
            raise KeyboardInterrupt


@pytest.mark.invariant
@pytest.mark.slow
def test_what_two_began_with_shared_weights_one_ends_alone(
    trained: Workspace, tmp_path: Path
) -> None:
    changes = {"lora": _LORA, "batch": 3}
    alone, _ = train_again(trained, tmp_path / "alone", devices=1, **changes)
    store = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        stopped = Stopped(alone.record["steps"] - 2)
        train_again(trained, store, devices=2, progress=stopped, sharded=True, **changes)
    (ledger,) = store.glob("train/.*.kept/*.json")
    assert json.loads(ledger.read_text())["step"] < alone.record["steps"]
    result, progress = train_again(trained, store, devices=1, **changes)
    assert any("processes: 2 there, 1 now" in each for each in progress.said)
    one, other = (
        load_file(each.folder / "weights" / "adapter_model.safetensors") for each in (alone, result)
    )
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert float((other[name] - weight).abs().max()) <= 2e-6, name
    with (
        (alone.folder / "curves.csv").open(encoding="utf-8") as file,
        (result.folder / "curves.csv").open(encoding="utf-8") as also,
    ):
        for row, beside in zip(csv.DictReader(file), csv.DictReader(also), strict=True):
            assert float(beside["loss"]) == pytest.approx(float(row["loss"]), rel=1e-5), row["step"]
