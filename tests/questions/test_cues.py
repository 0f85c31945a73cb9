"""Surface strategies score what they should on pools made to be solved by them."""

from __future__ import annotations

import pytest

from cem_lightning.questions import cues
from cem_lightning.questions.records import Question


def ask(stem: str, *choices: str, answer: int = 0) -> Question:
    return Question(f"{stem}:{choices}", stem, choices, answer, stem)


def test_length() -> None:
    pool = [ask("?", "longest", "bb", "c"), ask("?", "aa", "longer", "c", answer=1)]
    found = cues.measure(pool)
    assert found["longest"] == 1.0
    assert found["shortest"] == 0.0


def test_ties_count_as_their_expected_value() -> None:
    found = cues.measure([ask("?", "aa", "bb", "c"), ask("?", "aa", "bb", "cc", "dd")])
    assert found["longest"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert found["chance"] == pytest.approx((1 / 3 + 1 / 4) / 2)


def test_letters_and_substrings_of_the_stem() -> None:
    found = cues.measure([ask("What is xenotime?", "xenon", "radon", "argon")])
    assert found["shared_letters"] == 1.0
    assert found["common_substring"] == 1.0
    scrambled = cues.measure([ask("What is emitonex?", "xenon ore", "titonic", answer=0)])
    assert scrambled["common_substring"] == 0.0


def test_the_most_frequent_answer() -> None:
    pool = [
        ask("a", "Sweden", "France"),
        ask("b", "Sweden", "Italy"),
        ask("c", "Sweden", "Spain", answer=1),
    ]
    assert cues.measure(pool)["frequent_answer"] == pytest.approx(2 / 3)


def test_position() -> None:
    pool = [ask("a", "x", "y"), ask("b", "x", "y"), ask("c", "x", "y", answer=1)]
    assert cues.measure(pool)["first"] == pytest.approx(2 / 3)


def test_short_answer_questions_are_left_out() -> None:
    pool = [ask("?", "longest", "bb"), ask("?", "aa", "longer", answer=0)]
    assert cues.measure([*pool, ask("Who?", "me"), ask("What?", "this")]) == cues.measure(pool)
    assert cues.measure([ask("Who?", "me")]) == {}


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        cues.measure([])
