"""What the tests of training share: a recipe, examples of unequal lengths, settings."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from cem_lightning.corpus.arrow import save_examples
from cem_lightning.corpus.config import KINDS, RecipeConfig
from cem_lightning.corpus.examples import Example
from cem_lightning.training.config import LoraSettings, ObjectiveConfig, TrainerConfig

VOCABULARY = 64

RECIPE = RecipeConfig(
    name="cem",
    tokens=600,
    shares={"passage": 0.5, "normative": 0.3, "review": 0.2},
    order="mixed",
    passages="retrieved",
    review_late=True,
)
OBJECTIVE = ObjectiveConfig(weights={"passage": 0.5})
LORA = LoraSettings(rank=4, alpha=8.0, dropout=0.0, target_modules="all-linear")


def settings(**changes: Any) -> TrainerConfig:
    values: dict[str, Any] = {
        "start": "previous",
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "warmup_fraction": 0.1,
        "schedule": "linear",
        "batch": 8,
        "pack_tokens": 400,
        "max_gradient_norm": 1.0,
        "lora": None,
    }
    return TrainerConfig.model_validate(values | changes)


def examples(count: int = 30, *, seed: int = 0) -> tuple[Example, ...]:
    """Sequences of 3 to 40 tokens; passages are supervised whole, the others from the middle."""
    draw = random.Random(f"{seed}:examples")
    made = []
    for at in range(count):
        kind = KINDS[(0, 1, 3)[at % 3]]
        length = draw.randint(3, 40)
        ids = tuple(draw.randrange(VOCABULARY) for _ in range(length))
        start = 0 if kind == "passage" else length // 2
        made.append(Example(kind, ids, tuple(place >= start for place in range(length))))
    return tuple(made)


def examples_folder(folder: Path, made: tuple[Example, ...] | None = None) -> Path:
    save_examples(examples() if made is None else made, folder)
    return folder
