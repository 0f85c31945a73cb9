"""The stage that trains, and what it asks the model meanwhile and in the end.

How a model is trained is the business of the package `training`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.evolution.job import Job
from cem_lightning.evolution.stored import read_stored_pools
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Wording
from cem_lightning.training.config import ObjectiveConfig, TrainerConfig

if TYPE_CHECKING:
    from cem_lightning.models.loading import LanguageModel


def train(job: Job) -> dict[str, Any]:
    """The weights after this round (an adapter or all of them), and the curves."""
    from cem_lightning.models.loading import EARLIER
    from cem_lightning.training.fit import train as fit

    recipe = RecipeConfig(**job.config["recipe"])
    config = TrainerConfig(**job.config["trainer"], **job.access)
    with job.progress.stage(job.title, total=recipe.tokens, unit="tokens") as task:
        model = _model(job, config)
        asked = _Asked(model, job) if "answering" in job.config else None
        result = fit(
            model.network,
            job.inputs["examples"],
            recipe,
            ObjectiveConfig(**job.config["objective"]),
            config,
            seed=job.config["seed"],
            folder=job.folder,
            resume=job.kept,
            evaluate=asked.guarded if asked and config.evaluate_at else None,
            right=asked.gate if asked and config.interpolation.gate else None,
            task=task,
            say=lambda text: job.progress.say(f"{job.title}: {text}"),
        )
    previous = job.inputs.get("weights")
    if previous is not None and config.lora is not None and config.lora.earlier == "merge":
        shutil.copytree(previous, result.weights / EARLIER, dirs_exist_ok=True)
    return {
        "tokens": result.tokens,
        "steps": result.steps,
        "earlier_seconds": result.earlier,
        "part": result.part,
        "gate": {f"{part:g}": right for part, right in result.gate.items()},
    }


def _model(job: Job, config: TrainerConfig) -> LanguageModel:
    """The model that training starts from, with a trainable adapter if one is wanted."""
    from dataclasses import replace

    from cem_lightning.models.loading import load_model
    from cem_lightning.training.adapters import add_adapter

    previous = job.inputs.get("weights")
    settings = job.model_config()
    if config.lora is None:
        return load_model(job.inputs["model"], settings, previous)
    merged = previous if config.lora.earlier == "merge" else None
    model = load_model(job.inputs["model"], settings, merged)
    continued = previous if merged is None else None
    seed = job.config["seed"]
    return replace(
        model, network=add_adapter(model.network, config.lora, seed=seed, previous=continued)
    )


class _Asked:
    """Asks the model that is being trained, as it is at the time."""

    def __init__(self, model: LanguageModel, job: Job) -> None:
        self._config = AnsweringConfig(**job.config["answering"])
        self._pools = read_stored_pools(job.inputs["pools"])
        self._guarded: str = job.config["guarded"]
        self._model = model.with_shots(Wording(self._config.method).solved(self._pools.shots))

    def guarded(self) -> dict[str, float]:
        """Accuracy of the guarded pool, as a column of the curves."""
        questions = dict(self._pools.items())[self._guarded]  # type: ignore[index]
        return {f"accuracy/{self._guarded}": self._right(questions) / len(questions)}

    def gate(self) -> int:
        """Questions of the gate that are answered right."""
        return self._right(self._pools.gate)

    def _right(self, questions: Sequence[Question]) -> int:
        from cem_lightning.answering.asking import ask_stream

        return sum(each.right for each in ask_stream(self._model, questions, self._config))
