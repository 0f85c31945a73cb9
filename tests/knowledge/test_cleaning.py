from __future__ import annotations

from typing import Any

import pytest

from cem_lightning.knowledge import elements
from cem_lightning.knowledge.cleaning import fault_of
from cem_lightning.knowledge.config import Filters
from tests.knowledge.settings import FILTERS

STORY = (
    "The river rises in the northern hills and flows past three old towns before it meets the sea. "
    "Its water drives several mills, and in spring the meadows along both banks are often flooded. "
    "Fishermen there still catch salmon, though fewer each year since the great weir was built."
)


def reason(text: str, **changes: Any) -> str | None:
    fault = fault_of(text, Filters(**FILTERS | changes))
    return fault and fault[0]


@pytest.mark.parametrize(
    ("text", "changes", "told"),
    [
        (STORY, {"min_words": 40, "languages": ("en",)}, None),
        ("Gold is a metal.", {}, None),
        ("Gold is a metal.", {"min_words": 5}, "short"),
        ("黄金的原子序数是七十九，符号是金。", {"languages": ("zh",)}, None),
        ("Der Fluss entspringt in den Bergen und mündet ins Meer.", {"languages": ("en",)},
         "language"),
        ("Der Fluss entspringt in den Bergen und mündet ins Meer.", {}, None),
        ("Buy gold now! " * 30, {}, "repetitive"),
        ("Home\nNews\nHome\nNews\nHome\nGold is a metal.", {}, "repetitive"),
        ("We use cookies. Please accept cookies to go on reading.", {}, "boilerplate"),
        ("本网站版权所有，请点击这里登录后继续阅读。", {}, "boilerplate"),
        ("|---|---|---| == ++ || >> << ** -- 12", {}, "boilerplate"),
        (f"{STORY} The privacy policy of the mill was one sentence long.", {}, None),
    ],
)  # fmt: skip
def test_what_is_no_text_worth_reading_is_told_by_its_fault(
    text: str, changes: dict[str, Any], told: str | None
) -> None:
    assert reason(text, **changes) == told


def test_the_built_in_corpus_is_clean() -> None:
    for document in elements.documents():
        assert reason(document.text, languages=("en",), min_words=5) is None, document.text
