"""Weights & Biases offline: one run, rounds and steps on axes of their own."""

from __future__ import annotations

from pathlib import Path

import wandb

from cem_lightning.reporting.wandb_run import log_to_wandb
from tests.reporting.records import make_record


def test_one_offline_run_with_both_axes(tmp_path: Path) -> None:
    record = make_record()
    identity = log_to_wandb(record, mode="offline", project="test", folder=tmp_path)
    assert log_to_wandb(record, mode="offline", project="test", folder=tmp_path) == identity
    wandb.teardown()  # what is still on its way is written now
    (offline,) = (tmp_path / "wandb").glob("offline-run-*")
    (log,) = offline.glob(f"run-{identity}.wandb")
    content = log.read_bytes()
    for key in (b"rounds/pools/heldout/", b"steps/loss", b"final/pools/heldout/", b"cem seed 1"):
        assert key in content
