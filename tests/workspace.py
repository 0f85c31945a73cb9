"""A small but whole world: questions, a corpus and a tiny random model, all in files."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cem_lightning.cli import config_folder
from cem_lightning.config import validate
from cem_lightning.evolution.config import Config
from tests.tiny import tiny_model_folder

COLOURS = ("red", "green", "blue", "white", "black", "amber", "violet", "silver")
TOWNS = ("Arle", "Bresk", "Corvo", "Dunmar", "Eltz", "Farn", "Gorin", "Hask")


@dataclass(frozen=True)
class Workspace:
    """Files of one world, and the overrides that run it."""

    folder: Path

    def overrides(self, *more: str) -> list[str]:
        """A CPU run of seconds on the files here."""
        return [
            f"model.path={self.folder / 'model'}",
            "data=jsonl",
            f"data.source={self.folder / 'source.jsonl'}",
            f"data.heldout={self.folder / 'heldout.jsonl'}",
            f"data.ood={self.folder / 'ood.jsonl'}",
            "data.slice=6",
            "knowledge=local",
            f"knowledge.corpus={self.folder / 'corpus.jsonl'}",
            "recipe.tokens=1500",
            "trainer.learning_rate=1e-3",
            "answering.batch_tokens=4096",
            f"store_dir={self.folder / 'store'}",
            *more,
        ]

    def config(self, *more: str) -> Config:
        """The checked configuration of these overrides."""
        return compose_config(*self.overrides(f"run_dir={self.folder / 'run'}", *more))


def compose_config(*overrides: str) -> Config:
    """What `python -m cem_lightning OVERRIDES` would run with."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose("config", overrides=list(overrides))
    values = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(values, dict)
    return validate({str(key): value for key, value in values.items()})


def make_workspace(folder: Path) -> Workspace:
    """Write a world of eight creatures with three facts each, and a model that knows none."""
    draw = random.Random("workspace")
    rows: dict[str, list[dict[str, object]]] = {"source": [], "heldout": [], "ood": []}
    documents = []
    for number in range(8):
        name = f"the {('gruk', 'wimp', 'sorn', 'pell', 'tove', 'drim', 'quib', 'larn')[number]}"
        facts = {
            "colour": (COLOURS, f"What colour is {name}?", f"{name} is {COLOURS[number]}."),
            "town": (
                TOWNS,
                f"In which town does {name} live?",
                f"{name} lives in {TOWNS[number]}.",
            ),
            "age": (
                tuple(str(20 + each) for each in range(8)),
                f"How many years does {name} live?",
                f"The age {name} reaches is {20 + number} years.",
            ),
        }
        documents.append({"text": " ".join(said for *_, said in facts.values()), "title": name})
        for at, (kind, (answers, stem, _)) in enumerate(facts.items()):
            choices = [answers[(number + step) % 8] for step in range(4)]
            gold = choices[0]
            draw.shuffle(choices)
            row = {
                "id": f"{kind}-{number}",
                "question": stem,
                "choices": choices,
                "answer": gold,
                "cluster": name,
                "kind": kind,
                "blind": stem.replace(name, "this creature"),
            }
            rows["heldout" if (number + at) % 3 == 2 else "source"].append(row)
    for number in range(6):
        row = {
            "id": f"sum-{number}",
            "question": f"What is {number} plus {number + 1}?",
            "choices": [str(2 * number + 1), str(2 * number + 2)],
            "answer": 0,
        }
        rows["ood"].append(row)
    for name, pool in rows.items():
        write_rows(folder / f"{name}.jsonl", pool)
    write_rows(folder / "corpus.jsonl", documents)
    tiny_model_folder(folder / "model")
    return Workspace(folder)


def write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
