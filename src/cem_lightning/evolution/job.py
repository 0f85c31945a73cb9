"""What a stage is handed, and what a stage is.

What each of them does stands in `stages`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cem_lightning.knowledge.config import KnowledgeConfig, joined
from cem_lightning.models.config import ModelConfig
from cem_lightning.progress import Progress


@dataclass(frozen=True)
class Job:
    """What a stage is handed.

    Attributes:
        folder: where it writes.
        inputs: files and folders of earlier stages, by the role they play here.
        config: the part of the configuration it reads, as plain values.
        title: how its line of progress begins.
        access: what no result depends on, such as how what lies outside is reached.
        kept: folder where it may keep what it goes on from when it is killed; gone with its result.
    """

    folder: Path
    inputs: dict[str, Path]
    config: dict[str, Any]
    title: str
    progress: Progress
    access: dict[str, Any] = field(default_factory=dict)
    kept: Path | None = None

    def model_config(self) -> ModelConfig:
        """The model's settings, with its files where this job finds them."""
        return ModelConfig(path=str(self.inputs["model"]), **self.config["model"])

    def knowledge_config(self) -> KnowledgeConfig:
        """The settings of retrieval; the corpus' digest is there for the key alone."""
        found = {key: each for key, each in self.config["knowledge"].items() if key != "digest"}
        return joined(found, self.access)


@dataclass(frozen=True)
class Stage:
    """A stage's function, which returns what is to be remembered of it, and its version."""

    run: Callable[[Job], dict[str, Any]]
    version: int
