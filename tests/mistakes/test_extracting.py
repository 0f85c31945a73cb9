"""Knowledge points by keyphrase, by stem, and by what a model names."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cem_lightning.mistakes.config import MistakesConfig
from cem_lightning.mistakes.extracting import concepts, extract
from cem_lightning.mistakes.points import knowledge_points
from cem_lightning.questions.records import Question

NEON = Question("neon", "Which chemist isolated neon from air?", ("Ramsay", "Curie"), 0, "neon")
GOLD = Question("gold", "黄金的符号是什么？", ("Au", "Ag"), 0, "gold")


def config(by: str, points: int = 3) -> MistakesConfig:
    return MistakesConfig.model_validate(
        {"ambiguous_by": "confidence", "ambiguous_below": 0, "points": points, "points_by": by}
    )


def test_without_a_model_points_are_keyphrases_or_the_stem() -> None:
    assert extract([NEON], config("keyphrase"), None).of == (knowledge_points(NEON, 3),)
    assert extract([NEON], config("question"), None).of == ((NEON.question,),)


def test_a_model_is_asked_and_keyphrases_take_the_place_of_nothing() -> None:
    asked: list[str] = []

    def write(prompts: Sequence[str]) -> list[str | None]:
        asked.extend(prompts)
        return [
            "1. noble gases\n2. William Ramsay\n" if "neon" in each else None for each in prompts
        ]

    found = extract([NEON, GOLD], config("model"), write)
    assert found.of == (("noble gases", "William Ramsay"), knowledge_points(GOLD, 3))
    assert found.fallbacks == 1
    assert NEON.question in asked[0] and "Ramsay" in asked[0] and "Curie" not in asked[0]
    assert GOLD.question in asked[1] and "概念" in asked[1]
    assert len(asked) == 3 and asked[2].startswith(asked[1])


def test_an_endpoint_is_asked_for_json_and_once_more_if_it_writes_something_else() -> None:
    asked: list[str] = []

    def write(prompts: Sequence[str]) -> list[str | None]:
        asked.extend(prompts)
        again = "the list and nothing else"
        return ['["noble gases", "Ramsay"]' if again in each else "I am glad you asked that very "
                "good question about neon." for each in prompts]  # fmt: skip

    found = extract([NEON], config("endpoint"), write)
    assert (found.of, found.fallbacks) == ((("noble gases", "Ramsay"),), 0)
    assert len(asked) == 2 and all("JSON" in each for each in asked)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("- Noble gases.\n* fractional distillation\n(3) Ramsay", ("Noble gases",
         "fractional distillation", "Ramsay")),
        ("noble gases\nNoble Gases\nair", ("noble gases", "air")),
        ("a\nb\nc\nd\ne", ()),
        ("A.\nB\n稀有气体\nneon", ("neon",)),
        ("Which chemist isolated neon from air?\nneon", ("neon",)),
        ("The answer is Ramsay because he isolated neon from air in the year 1898.", ()),
        ("one\ntwo\nthree\nfour", ("one", "two", "three")),
        ('["noble gases", "air"]', ("noble gases", "air")),
        ('Sure:\n```json\n["noble gases",\n "air"]\n```', ("noble gases", "air")),
        ('["noble gases", 3]', ()),
        ("", ()),
        ("...\n---\n", ()),
    ],
)  # fmt: skip
def test_a_list_is_read_and_anything_else_is_none(written: str, found: tuple[str, ...]) -> None:
    assert concepts(written, NEON, 3) == found


def test_chinese_concepts_stand_for_chinese_questions() -> None:
    assert concepts("1、元素符号\n2、黄金", GOLD, 3) == ("元素符号", "黄金")
