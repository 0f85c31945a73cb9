"""A wrong configuration: every problem at once, each with its key and the nearest valid name."""

from __future__ import annotations

import copy
import functools
import math
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.cli import config_folder
from cem_lightning.config import validate
from cem_lightning.errors import UserError
from tests.workspace import compose_config

EXPERIMENTS = sorted(path.stem for path in (config_folder() / "experiment").rglob("*.yaml"))
RECIPES = sorted(path.stem for path in (config_folder() / "recipe").glob("*.yaml"))
GROUPS = sorted(
    path.name
    for path in config_folder().iterdir()
    if path.is_dir() and path.name not in ("experiment", "hydra")
)


def test_there_are_experiments_and_recipes() -> None:
    assert "quickstart" in EXPERIMENTS
    assert {"cem", "cpt_only", "cit_only", "sequential", "random_passages"} <= set(RECIPES)
    assert {"data", "knowledge", "recipe", "supply", "trainer"} <= set(GROUPS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_recipe_fits_every_experiment_at_the_same_tokens(name: str) -> None:
    shipped = compose_config(f"+experiment={name}")
    for recipe in RECIPES:
        config = compose_config(f"+experiment={name}", f"recipe={recipe}")
        assert config.recipe.name == recipe
        assert config.recipe.tokens == shipped.recipe.tokens


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_of_every_group_composes(group: str) -> None:
    options = sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))
    assert options
    fill = {
        "jsonl": ["data.source=q.jsonl"],
        "datasets": ["data.path=x/y"],
        "local": ["knowledge.corpus=c.jsonl"],
        "hybrid": ["knowledge.corpus=c.jsonl"],
        "wikipedia_dump": ["knowledge.corpus=w.xml.bz2"],
        "custom": ["knowledge.target=notes:Notes"],
        "reading": ["recipe=extractive"],
        "model": ["recipe=extractive"],
        "endpoint": ["recipe=extractive", "endpoint.model=writer"],
    }
    for option in options:
        compose_config(f"{group}={option}", *fill.get(option, []))


def test_all_problems_are_listed_at_once_with_the_nearest_name() -> None:
    with pytest.raises(UserError) as caught:
        compose_config(
            "+trainer.learning_rat=1",
            "data.slice=none",
            "+data.slise=3",
            "answering.method=clozee",
            "recipe.shares.passage=0.9",
            "rounds=-1",
        )
    message = str(caught.value)
    assert message.startswith("6 problems")
    assert "trainer.learning_rat: there is no such key; did you mean 'learning_rate'?" in message
    assert "data.slise: there is no such key; did you mean 'slice'?" in message
    assert "data.slice: " in message and "'none'" in message
    assert "answering.method" in message and "did you mean 'cloze'?" in message
    assert "recipe: shares sum to 1.22" in message
    assert "rounds: " in message and "-1" in message


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("name=..", "name: must be of letters"),
        ("name=.sweeps", "name: must be of letters"),
        (f"seed={2**32}", "seed: .* 4294967295"),
        ("seed=true", "seed: a number is wanted .found true"),
        ("data.slice=true", "data.slice: a number is wanted"),
        ("runs=abc", r"runs: a list is wanted, for instance 'runs=\[abc\]'"),
        ("model.path=", "model.path: .*at least 1"),
    ],
)
def test_values_that_would_do_something_else_are_refused(override: str, said: str) -> None:
    with pytest.raises(UserError, match=f"^{said}"):
        compose_config(override)
    compose_config(f"seed={2**32 - 1}", "name=-_.1")


NULLABLE = ("triage.min_bits", "endpoint.dollars_per_million_input", "endpoint.most_dollars")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(value: float) -> None:
    values = compose_config().model_dump(mode="json")
    keys = [*_floats(values), *NULLABLE]
    assert len(keys) > 20
    for key in keys:
        changed = copy.deepcopy(values)
        *path, last = key.split(".")
        functools.reduce(operator.getitem, path, changed)[last] = value
        with pytest.raises(UserError) as refused:
            validate(changed)
        assert path[0] in str(refused.value)


def _floats(values: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _floats(value, f"{before}{name}.")
        elif isinstance(value, float):
            yield before + name


def test_modules_to_adapt_are_a_list_or_all() -> None:
    key = "trainer.lora.target_modules"
    with pytest.raises(UserError, match=rf"^{key}: wants all-linear, or a list .*\[q_proj,v_proj"):
        compose_config("trainer=lora", f"{key}=q_proj")
    assert compose_config("trainer=lora", f"{key}=[q_proj]").trainer.lora is not None


def test_an_objective_in_which_nothing_counts_is_refused() -> None:
    none = "{passage:0,normative:0,extractive:0,review:0,general:0}"
    with pytest.raises(UserError, match=r"^objective\.weights: all are 0"):
        compose_config(f"objective.weights={none}")
    compose_config("objective.weights.passage=0")


def test_orders_of_choices_need_choices_that_are_listed() -> None:
    with pytest.raises(UserError, match=r"^answering: permutations=cyclic .* method=cloze lists"):
        compose_config("answering.permutations=cyclic")
    for method in ("letters", "extract"):
        compose_config(f"answering={method}", "answering.permutations=cyclic")


def test_agreement_needs_the_orders_of_choices() -> None:
    with pytest.raises(UserError) as caught:
        compose_config("answering=letters", "mistakes.ambiguous_by=agreement", "rounds=-1")
    message = str(caught.value)
    assert message.startswith("2 problems")  # told with the others
    assert "answering: mistakes.ambiguous_by=agreement needs" in message
    assert "answering.permutations=cyclic" in message
    compose_config(
        "answering=letters", "answering.permutations=cyclic", "mistakes.ambiguous_by=agreement"
    )
    with pytest.raises(UserError, match="did you mean 'entropy'"):
        compose_config("mistakes.ambiguous_by=entropi")


def test_what_must_be_set_is_named() -> None:
    with pytest.raises(UserError, match=r"data\.source: must be set"):
        compose_config("data=jsonl")


def test_the_folder_of_a_run_follows_from_its_configuration() -> None:
    first, same, other = (
        compose_config(*overrides).folder for overrides in ([], ["logger=wandb"], ["seed=2"])
    )
    assert first == same
    assert first != other
    assert first.parent == Path("runs/cem")
