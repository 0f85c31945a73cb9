"""Steps and rounds reach whatever logs them once each, in order, over any number of starts."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb

from cem_lightning.errors import UserError
from cem_lightning.evolution.run import run
from cem_lightning.reporting.tracking import folder_id
from cem_lightning.training.callbacks import Curves
from tests.reporting.wandb_server import WandbServer, serving
from tests.workspace import Workspace

ROUNDS = "rounds=2"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """W&B on this machine, with the real client before it."""
    with serving(monkeypatch) as server:
        yield server


def stop_at(step: int, patch: pytest.MonkeyPatch, how: Any) -> None:
    """Have training stopped after this step, however often it is begun."""
    measured = Curves.on_train_batch_end

    def stopped(self: Curves, trainer: Any, *rest: Any) -> None:
        measured(self, trainer, *rest)
        if trainer.global_step == step:
            how()

    patch.setattr(Curves, "on_train_batch_end", stopped)


def raise_error() -> None:
    raise RuntimeError("no more of it")


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_online_a_restart_continues_the_run_and_repeats_nothing(
    workspace: Workspace, server: WandbServer
) -> None:
    config = workspace.config("logger=wandb", "logger.mode=online", ROUNDS)
    for how, ended in ((raise_error, RuntimeError), (terminate, SystemExit)):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(ended):
            stop_at(2, patch, how)
            run(config)
    run(config)
    assert server.exit_codes == [1, 1, 0]
    steps = [row["step"] for row in server.history if "step" in row]
    curves = (workspace.folder / "run" / "curves.csv").read_text().splitlines()[1:]
    assert steps == list(range(1, len(curves) + 1))
    assert [row["round"] for row in server.history if "round" in row] == [0, 1, 2]
    identity = server.listed["name"]
    assert identity == folder_id(workspace.folder / "run")
    assert (server.listed["groupName"], server.listed["displayName"]) == ("cem", "cem seed 1")
    assert server.files == [
        (what, f"{kind}-{identity}-r{number}")
        for what, kind, number in (
            ("made", "model", 0),
            ("used", "model", 0),
            ("made", "corpus", 1),
            ("used", "corpus", 1),
            ("made", "model", 1),
            ("used", "model", 1),
            ("made", "corpus", 2),
            ("used", "corpus", 2),
            ("made", "model", 2),
        )
    ]


def test_artifacts_that_wandb_does_not_take_are_no_reason_to_stop(
    workspace: Workspace, server: WandbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.forgets = True
    run(workspace.config("logger=wandb", "logger.mode=online", "rounds=1"))
    assert "note: W&B has no artifacts of round 1" in capsys.readouterr().err
    assert [row["round"] for row in server.history if "round" in row] == [0, 1]
    assert server.exit_codes == [0]


def test_wandb_that_cannot_be_reached_is_told_before_anything_is_computed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise wandb.errors.UsageError("api_key not configured")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(UserError, match=r"wandb login.*logger.mode=offline"):
        run(workspace.config("logger=wandb", "logger.mode=online"))
    assert not list((workspace.folder / "store").glob("answer/*"))


def test_tensorboard_holds_steps_and_rounds_once(workspace: Workspace) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = workspace.config("logger=tensorboard", ROUNDS)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError):
        stop_at(2, patch, raise_error)
        run(config)
    folder = run(config)
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    steps = [each.step for each in events.Scalars("steps/loss")]
    assert len(steps) > 4 and steps == list(range(1, len(steps) + 1))
    assert [each.step for each in events.Scalars("rounds/pools/heldout/accuracy")] == [0, 1, 2]


def test_mlflow_marks_the_failed_run_and_continues_it(workspace: Workspace) -> None:
    from mlflow.tracking import MlflowClient

    uri = str(workspace.folder / "mlflow")
    config = workspace.config("logger=mlflow", f"logger.tracking_uri={uri}", ROUNDS)

    def runs() -> list[Any]:
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name("cem")
        assert experiment is not None
        return list(client.search_runs([experiment.experiment_id]))

    with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError):
        stop_at(2, patch, raise_error)
        run(config)
    (failed,) = runs()
    assert failed.info.status == "FAILED"
    run(config, "sweep-of-today")
    (finished,) = runs()
    assert finished.info.status == "FINISHED"
    assert finished.info.run_id == failed.info.run_id
    assert finished.info.run_name == "cem seed 1"
    history = MlflowClient(uri).get_metric_history(finished.info.run_id, "steps.loss")
    assert [each.step for each in history] == list(range(1, len(history) + 1))
    assert finished.data.metrics["round"] == 2


def test_an_mlflow_server_that_does_not_answer_is_told_at_once(
    workspace: Workspace, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"logger\.tracking_uri: .*http://127\.0\.0\.1:1 "):
        run(workspace.config("logger=mlflow", "logger.tracking_uri=http://127.0.0.1:1"))
    assert time.monotonic() - begun < 30, "with MLflow's own patience it is minutes"
    assert "Retry" not in capfd.readouterr().err
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "7"
    assert not (workspace.folder / "store").exists()


@pytest.mark.parametrize(
    ("option", "package"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow")]
)
def test_a_logger_that_is_not_installed_says_what_to_install(
    workspace: Workspace, option: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pytorch_lightning.loggers as loggers

    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(loggers, "TensorBoardLogger", missing)
    monkeypatch.setitem(__import__("sys").modules, "mlflow.exceptions", None)
    with pytest.raises(UserError, match=rf"pip install 'cem-lightning\[{option}\]'"):
        run(workspace.config(f"logger={option}"))
    assert not (workspace.folder / "run" / Path(option)).exists()
