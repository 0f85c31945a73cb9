"""A Weights & Biases workspace and a report for an experiment, as code.

Both show the same sections of the same runs. What is logged is the business of `wandb_run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cem_lightning.corpus.config import KINDS
from cem_lightning.errors import UserError
from cem_lightning.reporting.config import WandbLogger
from cem_lightning.reporting.run_folder import POOLS


@dataclass(frozen=True)
class Dashboard:
    """A workspace and a report, as `wandb-workspaces` has them."""

    workspace: Any
    report: Any

    def spec(self) -> dict[str, Any]:
        """Both as plain JSON values, as they are sent."""
        return {
            name: view._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)
            for name, view in (("workspace", self.workspace), ("report", self.report))
        }

    def save(self) -> list[str]:
        """Send both and return their addresses."""
        return [self.workspace.save().url, self.report.save().url]


@dataclass(frozen=True)
class _Section:
    """Panels under one heading."""

    title: str
    text: str
    panels: list[Any]


def make_dashboard(
    name: str, config: WandbLogger, entity: str, runs: Sequence[str] = ()
) -> Dashboard:
    """The dashboard of the experiment `name`.

    Args:
        entity: user or team that owns the project.
        runs: ids of its runs and the number of their last round, as "ID-rN": the models whose
            lineage is shown.

    Raises:
        UserError: if wandb-workspaces is not installed.
    """
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ModuleNotFoundError:
        raise UserError(
            "action=dashboard needs a package that is not installed: "
            "pip install 'cem-lightning[dashboards]'."
        ) from None
    sections = _sections(wr, runs)
    of_experiment = f"Metric('Group') == '{name}'"  # a name has no quotes
    workspace = ws.Workspace(
        entity=entity,
        project=config.project,
        name=name,
        sections=[
            ws.Section(name=each.title, panels=each.panels, is_open=True) for each in sections
        ],
        runset_settings=ws.RunsetSettings(filters=of_experiment, groupby=[ws.Metric("JobType")]),
    )
    # without entity and project it means those of the report, and asks nobody for their ids
    runset = wr.Runset(name=name, filters=of_experiment, groupby=["JobType"])
    blocks: list[Any] = [wr.TableOfContents()]
    for each in _sections(wr, runs):  # panels belong to one view only
        grid = wr.PanelGrid(runsets=[runset], panels=each.panels)
        blocks += [wr.H2(text=each.title), wr.P(text=each.text), grid]
    report = wr.Report(
        entity=entity,
        project=config.project,
        title=name,
        description="Scores, mistakes and models by round, runs grouped by arm",
        blocks=blocks,
        width="fluid",
    )
    return Dashboard(workspace, report)


def _sections(wr: Any, runs: Sequence[str]) -> list[_Section]:
    def rounds(title: str, *scores: str) -> Any:
        return wr.LinePlot(title=title, x="round", y=[f"rounds/pools/{each}" for each in scores])

    def steps(title: str, *keys: str) -> Any:
        return wr.LinePlot(title=title, x="step", y=[f"steps/{each}" for each in keys])

    sections = [
        _Section(
            "Comparison",
            "What stands beside what after a sweep, with intervals.",
            [
                wr.MediaBrowser(title="comparison", media_keys=["comparison/page"], num_columns=1),
                wr.WeavePanelSummaryTable(table_name="comparison/contrasts"),
                wr.WeavePanelSummaryTable(table_name="comparison/rows"),
            ],
        ),
        _Section(
            "Scores over rounds",
            "Accuracy by pool, and with the subject of the question masked (blind): a gain that "
            "the blind score shares is not knowledge. Round 0 is the untrained model.",
            [
                *(rounds(f"{pool}: accuracy", f"{pool}/accuracy") for pool in POOLS),
                rounds("heldout: blind accuracy", "heldout/blind_accuracy"),
                wr.WeavePanelSummaryTable(table_name="scores"),
            ],
        ),
        _Section(
            "Mended and lost",
            "Questions that were wrong in the round before and are right now, and the reverse.",
            [rounds(f"{pool}: mended, lost", f"{pool}/mended", f"{pool}/lost") for pool in POOLS],
        ),
        _Section(
            "Training",
            "Loss by kind of example over the optimizer steps of all rounds.",
            [
                steps("loss", "loss"),
                *(steps(f"loss: {kind}", f"loss/{kind}") for kind in KINDS),
                steps("learning rate", "learning_rate"),
                steps("tokens in the round", "tokens"),
            ],
        ),
        _Section(
            "Mistakes",
            "Every mistake with the passages fetched for it and the answers before and after.",
            [wr.WeavePanelSummaryTable(table_name="mistakes")],
        ),
    ]
    lineage = [wr.WeavePanelArtifact(artifact=f"model-{each}", tab="lineage") for each in runs]
    if lineage:
        text = "The model of every run's last round and what it was made from."
        sections.append(_Section("Corpus and models", text, lineage))
    return sections
