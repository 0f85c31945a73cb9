"""The settings of a recipe say everything that is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.corpus.general import general_instructions


def values(**changes: Any) -> dict[str, Any]:
    return {
        "name": "cem",
        "tokens": 1000,
        "shares": {"passage": 0.75, "normative": 0.25},
        "order": "mixed",
        "passages": "retrieved",
        "review_late": True,
        **changes,
    }


def test_shares_must_sum_to_one() -> None:
    with pytest.raises(ValidationError, match=r"sum to 1\.05 .*passage=0\.8, normative=0\.25"):
        RecipeConfig.model_validate(values(shares={"passage": 0.8, "normative": 0.25}))


def test_every_problem_is_named_at_once() -> None:
    bad = values(tokens=0, order="random", shares={"passage": -1.0, "normativ": 2.0}, epochs=3)
    with pytest.raises(ValidationError) as caught:
        RecipeConfig.model_validate(bad)
    named = {".".join(map(str, error["loc"][:2])) for error in caught.value.errors()}
    assert named == {"tokens", "order", "shares.passage", "shares.normativ", "epochs"}


def test_general_instructions_are_pairs_about_no_pool() -> None:
    pairs = general_instructions()
    assert len(pairs) == len({instruction for instruction, _ in pairs}) >= 20
    assert all(instruction.strip() and response.strip() for instruction, response in pairs)
    text = " ".join(map(" ".join, pairs)).casefold()
    assert not any(word in text for word in ("capital of", "element", "chemi", "discover"))
