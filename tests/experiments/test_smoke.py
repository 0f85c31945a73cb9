"""The sweep over rounds that users try first: nothing is computed twice, everything is logged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_command import command


@pytest.mark.slow
def test_a_sweep_over_rounds_trains_round_1_once_and_logs_every_job(tmp_path: Path) -> None:
    done = command("-m", "+experiment=smoke", "rounds=1,2,3", folder=tmp_path)
    trained = list((tmp_path / "runs" / ".store" / "train").glob("*/record.json"))
    assert len(trained) == 3  # one for each round, whichever job came first
    runs = [path.parent for path in (tmp_path / "runs" / "smoke").glob("*/metrics.json")]
    finished = {len(json.loads((run / "metrics.json").read_text())["rounds"]) for run in runs}
    assert finished == {2, 3, 4}
    for run in runs:
        assert len(list((run / "wandb").glob("offline-run-*"))) == 1
    (page,) = (tmp_path / "runs" / ".sweeps").glob("*/*/comparison.html")
    assert page.parent.name in done.stdout
