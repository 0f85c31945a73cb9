from __future__ import annotations

import pytest

from cem_lightning.questions.normalise import normalised, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Who, exactly?", "who exactly"),
        ("Straße", "STRASSE"),
        ("ｈｅｌｉｕｍ（Ｈｅ）", "helium he"),
        ("he\u00adli\u200bum", "helium"),
        ("a\u00a0b\n c", "a b c"),
        ("caf\u00e9", "cafe\u0301"),
        ("H₂O", "h2o"),
    ],
)
def test_the_same_text_in_other_clothes(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"), [("3.5", "35"), ("2*3", "2/3"), ("-2", "2"), ("x + 1", "x 1"), ("£5", "$5")]
)
def test_numbers_and_operators_tell_texts_apart(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


def test_chinese_is_cut_into_words() -> None:
    assert words("清华大学在北京，发现了Helium。") == (
        "清华大学",
        "在",
        "北京",
        "发现",
        "了",
        "helium",
    )
