"""action=dashboard, and the comparison of a sweep where its runs were logged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb

from cem_lightning.evolution.comparison import compare_runs
from cem_lightning.evolution.run import run
from cem_lightning.reporting.dashboard import Dashboard
from cem_lightning.reporting.tracking import folder_id
from tests.cli.test_command import command
from tests.reporting.test_wandb import OfflineRun
from tests.reporting.wandb_server import serving
from tests.workspace import make_workspace


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which two arms were run, compared and logged."""
    world = make_workspace(tmp_path_factory.mktemp("swept"))
    runs = [
        run(
            world.config(
                "name=study",
                "logger=wandb",
                f"recipe={arm}",
                f"run_dir={world.folder}/runs/study/{arm}",
            ),
            "today",
        )
        for arm in ("cem", "cpt_only")
    ]
    for _ in range(2):
        compare_runs(runs, world.folder / "sweep", "today")
    yield world.folder


def test_the_comparison_is_one_run_beside_those_it_compares(swept: Path) -> None:
    offline = OfflineRun(swept / "sweep")
    (listed,) = offline.of("run")
    (job,) = OfflineRun(swept / "runs" / "study" / "cem").of("run")
    assert listed.job_type == "comparison"
    assert (
        (listed.run_group, list(listed.tags))
        == (job.run_group, list(job.tags))
        == (
            "study",
            ["today"],
        )
    )
    rows = offline.table("comparison/rows")
    arms = [row[rows["columns"].index("arm")] for row in rows["data"]]
    assert {"untrained", "cem", "cpt_only"} <= set(arms)
    assert offline.table("comparison/contrasts")["data"]
    (page,) = (offline.folder / "files" / "media" / "html" / "comparison").glob("page_*.html")
    assert page.read_text() == (swept / "sweep" / "comparison.html").read_text()
    assert offline.exit_code == 0


def panels(spec: Any) -> Iterator[dict[str, Any]]:
    """Every panel of a specification."""
    if isinstance(spec, dict):
        if "viewType" in spec:
            yield spec
        for value in spec.values():
            yield from panels(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from panels(value)


def test_the_specification_shows_what_is_logged(swept: Path) -> None:
    done = command("action=dashboard", "name=study", "logger=wandb", folder=swept)
    assert "logger.mode=online" in done.stdout
    text = (swept / "runs" / "study" / "dashboard" / "dashboard.json").read_text()
    spec = json.loads(text)
    workspace = spec["workspace"]["spec"]["section"]
    titles = [each["name"] for each in workspace["panelBankConfig"]["sections"]]
    assert titles[0] == "Comparison" and "Mistakes" in titles
    (runset,) = workspace["runSets"]
    assert "study" in json.dumps(runset["filters"]) and "group" in json.dumps(runset["filters"])
    assert [each["name"] for each in runset["grouping"]] == ["jobType"]
    offline = OfflineRun(swept / "runs" / "study" / "cem")
    logged = {
        item.key or "/".join(item.nested_key)
        for each in offline.of("history")
        for item in each.item
    }
    for view in spec.values():
        plots = [
            each["config"] for each in panels(view) if each["viewType"] == "Run History Line Plot"
        ]
        assert {each["xAxis"] for each in plots} == {"round", "step"}
        shown = {metric for each in plots for metric in each["metrics"]}
        assert {"rounds/pools/heldout/accuracy", "rounds/pools/ood/lost", "steps/loss"} <= shown
        # kinds of example that this small world has none of are no mistake
        assert all(key in logged or key.startswith("steps/loss/") for key in shown)
    for table in ("mistakes", "scores", "comparison/rows", "comparison/contrasts"):
        assert text.count(f'"{table}"') >= 2
    for arm in ("cem", "cpt_only"):
        assert f"model-{folder_id(swept / 'runs' / 'study' / arm)}-r1" in text


def test_sent_where_asked(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["action=dashboard", "name=study", "logger=wandb", "logger.mode=online"]
    with serving(monkeypatch) as server:
        done = command(*typed, folder=swept)
    assert f"{server.address}/us/cem_lightning" in done.stdout
    assert [each["displayName"] for each in server.views] == ["study", "study"]
    assert {each["entityName"] for each in server.views} == {"us"}
    assert all("rounds/pools/heldout/accuracy" in each["spec"] for each in server.views)


def test_what_wandb_refuses_is_one_paragraph(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["action=dashboard", "name=study", "logger=wandb", "logger.mode=online"]

    def refuse(_: Dashboard) -> list[str]:
        raise wandb.errors.CommError("permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Dashboard, "save", refuse)
        done = command(*typed, "logger.entity=us", folder=swept, expect=2)
    assert "permission denied" in done.stderr and "'us'" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_loggers_have_no_dashboard(tmp_path: Path) -> None:
    done = command("action=dashboard", folder=tmp_path, expect=2)
    assert "logger=wandb" in done.stderr
