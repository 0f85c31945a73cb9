"""Distractors by rotation are balanced, never right, and the same in every process."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from cem_lightning.questions import rotation

WORDS = ("oak", "elm", "fir", "ash", "linden", "walnut", "poplar", "willow", "sequoia", "hazel")


def anything(first: int, second: int) -> bool:
    return True


@pytest.mark.parametrize("count", [4, 5, 7, 8, 10])
@pytest.mark.parametrize("size", [3, 4])
def test_every_answer_is_right_once_and_wrong_the_other_times(count: int, size: int) -> None:
    draw = random.Random(0)
    wrong: Counter[int] = Counter()
    asked = []
    for block in rotation.blocks(WORDS[:count], anything, size=size, seed="t"):
        for member, shown in rotation.rotate(block, draw, size).items():
            assert len(set(shown)) == size
            assert member in shown
            asked.append(member)
            wrong.update(other for other in shown if other != member)
    assert sorted(asked) == list(range(count))
    assert set(wrong.values()) == {size - 1}


def test_in_a_full_block_the_right_answer_stands_at_every_position_once() -> None:
    shown = rotation.rotate((3, 1, 4, 5), random.Random(1))
    assert sorted(order.index(member) for member, order in shown.items()) == [0, 1, 2, 3]
    assert {frozenset(order) for order in shown.values()} == {frozenset({1, 3, 4, 5})}


def test_what_may_also_be_right_is_never_a_distractor() -> None:
    def other_initial(first: int, second: int) -> bool:
        return WORDS[first][0] != WORDS[second][0]

    found = rotation.blocks(WORDS, other_initial, seed="t")
    assert found
    for block in found:
        assert len({WORDS[member][0] for member in block}) == len(block)


def test_equal_answers_never_share_a_block_and_what_fits_nowhere_is_left_out() -> None:
    answers = ("Sweden", "Sweden", "England", "France", "Germany")
    (block,) = rotation.blocks(answers, anything, seed="t")
    assert len(block) == 4
    assert len({answers[member] for member in block}) == 4


def test_answers_of_like_length_share_a_block() -> None:
    answers = ("a", "bb", "cc", "d", "twelve words", "eleven word", "a long word", "anotherword")
    found = rotation.blocks(answers, anything, seed="t")
    assert sorted(sorted(block) for block in found) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_too_few_answers_make_no_block() -> None:
    assert rotation.blocks(WORDS[:3], anything, seed="t") == []
