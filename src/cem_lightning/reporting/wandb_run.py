"""One Weights & Biases run per evolution: steps and rounds on axes of their own, while it goes.

Offline, W&B cannot continue a run: the run of an earlier start is replaced by one that begins with
what the store holds of it.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cem_lightning.errors import UserError
from cem_lightning.reporting.compare import Comparison, as_json
from cem_lightning.reporting.config import LoggerConfig, WandbLogger
from cem_lightning.reporting.run_folder import RunRecord
from cem_lightning.reporting.tracking import RoundFiles, RunIdentity, folder_id, numbers
from cem_lightning.storage.store import Part

COMPARISON = "comparison"  # job type of the run that holds a comparison
_TAG = 64  # characters that a tag may have


class WandbSink:
    """Logs an evolution to its run.

    Raises:
        UserError: if W&B cannot be reached, or nobody is logged in.
    """

    def __init__(self, config: WandbLogger, identity: RunIdentity) -> None:
        self._config = config
        self._id = identity.id
        self._run = _begin(
            config,
            identity.folder,
            name=identity.title,
            group=identity.name,
            job_type=identity.arm,
            sweep=identity.sweep,
            values=identity.config,
        )
        for axis in ("round", "step"):
            self._run.define_metric(axis)
            self._run.define_metric(f"{axis}s/*", step_metric=axis)
        self.steps = int(self._run.summary.get("step") or 0)
        held = self._run.summary.get("round")
        self.rounds = 0 if held is None else int(held) + 1

    def log_step(self, step: int, row: Mapping[str, float]) -> None:
        self._run.log({"step": step, **numbers(row, "steps")})

    def log_round(self, record: RunRecord, made: RoundFiles) -> None:
        import wandb

        number = record.last_round
        try:
            verdict = record.rounds[-1].get("verdict", {"against": number - 1})
            self._log_files(number, verdict["against"], made)
        except (wandb.Error, ValueError) as error:  # no reason to end an evolution
            print(f"note: W&B has no artifacts of round {number}: {error}", file=sys.stderr)
        scores = wandb.Table(columns=list(_SCORES), data=list(_score_rows(record)))
        values = {"round": number, **numbers(record.rounds[-1], "rounds"), "scores": scores}
        if record.stories:
            rows = list(_mistake_rows(record))
            values["mistakes"] = wandb.Table(columns=list(_MISTAKES), data=rows)
        self._run.log(values)
        self._run.summary.update(numbers(record.rounds[-1], "final"))

    def close(self, *, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))

    def _log_files(self, number: int, against: int, made: RoundFiles) -> None:
        """The corpus and the model of a round as artifacts, each naming what it was made from."""
        before = f"model-{self._id}-r{against}"
        corpus = f"corpus-{self._id}-r{number}"
        if number:
            made_from = self._use(before)
            digests = {name: part.digest for name, part in made.corpus.items()}
            metadata = {"round": number, "digests": digests, "made_from": made_from}
            self._log_artifact(corpus, "corpus", made.corpus, metadata, whole=True)
        metadata = {"round": number, "digest": made.model.digest}
        if number:
            metadata["made_from"] = made_from + self._use(corpus)
        whole = self._config.log_model and number > 0  # the untouched model is somebody else's
        parts = {"weights": made.model}
        self._log_artifact(f"model-{self._id}-r{number}", "model", parts, metadata, whole=whole)

    def _log_artifact(
        self,
        name: str,
        kind: str,
        parts: Mapping[str, Part],
        metadata: dict[str, Any],
        *,
        whole: bool,
    ) -> None:
        """Log files where they lie, without a copy; or instead of them, how many bytes they are."""
        import wandb

        artifact = wandb.Artifact(name, kind, metadata=metadata)
        files = {
            str(Path(part, *path.relative_to(each.path).parts)): path
            for part, each in parts.items()
            for path in _files(each.path)
        }
        if whole:
            for shown, path in files.items():
                artifact.add_file(str(path), name=shown, policy="immutable", skip_cache=True)
        else:
            sizes = {shown: path.stat().st_size for shown, path in files.items()}
            with artifact.new_file("files.json", encoding="utf-8") as file:
                json.dump(sizes, file, indent=2)
        logged = self._run.log_artifact(artifact)
        if self._config.mode == "online":
            logged.wait()  # the next round's artifacts name it as what they were made from

    def _use(self, name: str) -> list[str]:
        """Tell W&B that an artifact is read, which it takes online only; returns its name."""
        if self._config.mode == "online":
            self._run.use_artifact(f"{name}:latest")
        return [name]


def log_comparison(
    comparison: Comparison,
    page: Path,
    config: LoggerConfig,
    name: str,
    sweep: str | None = None,
) -> None:
    """Log what stands beside what after a sweep as a run of its own, if the logger is W&B.

    Args:
        page: the comparison as a page; its folder gives the run its id and holds it offline.
        name: of the experiment, the group of the runs compared.
        sweep: the sweep whose jobs are compared.

    Raises:
        UserError: if W&B cannot be reached, or nobody is logged in.
    """
    if config.kind != "wandb":
        return
    import wandb

    values = as_json(comparison)
    run = _begin(
        config,
        page.parent,
        name=f"comparison {sweep or ''}".strip(),
        group=name,
        job_type=COMPARISON,
        sweep=sweep,
        values={"seeds": list(comparison.seeds)},
    )
    with run:
        tables = {
            f"comparison/{part}": _plain_table(values[part])
            for part in ("rows", "contrasts")
            if values[part]
        }
        html = wandb.Html(page.read_text(encoding="utf-8"), inject=False)
        run.log({**tables, "comparison/page": html})
        run.summary["comparison/notes"] = "\n".join(comparison.notes)


def _begin(
    logger: WandbLogger,
    folder: Path,
    *,
    name: str,
    group: str,
    job_type: str,
    sweep: str | None,
    values: dict[str, Any],
) -> Any:
    """The run that belongs to a folder, begun or continued.

    It holds no command line, no environment, no code and no git remote: whatever of a secret
    there is would be in these.
    """
    import wandb

    identity = folder_id(folder)
    for earlier in (folder / "wandb").glob(f"offline-run-*-{identity}"):
        shutil.rmtree(earlier)
    try:
        return wandb.init(
            project=logger.project,
            entity=logger.entity,
            id=identity,
            name=name,
            group=group,
            job_type=job_type,
            tags=[sweep[-_TAG:]] if sweep else None,
            config={**values, "sweep": sweep},
            dir=folder.resolve(),  # the service may have been started in another working folder
            mode=logger.mode,
            resume="allow" if logger.mode == "online" else None,
            reinit="create_new",
            save_code=False,
            settings=wandb.Settings(
                console="off",
                silent=True,
                x_disable_meta=True,
                disable_git=True,
                disable_code=True,
            ),
        )
    except wandb.Error as error:
        raise UserError(
            f"logger.mode={logger.mode}: W&B says {error}. Log in with `wandb login`, see that "
            f"project {logger.project!r} can be written, or take logger.mode=offline."
        ) from None


def _files(path: Path) -> list[Path]:
    """The file, or all files below the folder; none if their space was freed."""
    return [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())


_SCORES = ("round", "pool", "n", "accuracy", "low", "high", "blind accuracy", "mended", "lost")
_MISTAKES = (
    "round",
    "id",
    "question",
    "choices",
    "gold",
    "label",
    "passages",
    "answer before",
    "answer after",
)


def _score_rows(record: RunRecord) -> Iterable[list[Any]]:
    for current in record.rounds:
        for pool, scores in current["pools"].items():
            shown = (scores["n"], scores["accuracy"], *scores["ci95"], scores["blind_accuracy"])
            yield [current["round"], pool, *shown, scores["mended"], scores["lost"]]


def _mistake_rows(record: RunRecord) -> Iterable[list[Any]]:
    for each in record.stories:
        passages = "\n\n".join(f"{p.title} [{p.origin}]\n{p.text}" for p in each.passages)
        yield [
            each.round,
            each.id,
            each.question,
            "\n".join(each.choices),
            each.choices[each.gold],
            each.label,
            passages,
            each.said_before,
            each.said_after,
        ]


def _plain_table(rows: Iterable[Mapping[str, Any]]) -> Any:
    """A table of plain values; what is nested is shown as JSON."""
    import wandb

    shown = [
        {
            key: value if isinstance(value, str | int | float | None) else json.dumps(value)
            for key, value in row.items()
        }
        for row in rows
    ]
    columns = list(shown[0])
    return wandb.Table(columns=columns, data=[[row[key] for key in columns] for row in shown])
