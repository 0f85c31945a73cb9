"""When a written answer is the accepted one, in both scripts and with numbers."""

from __future__ import annotations

import pytest

from cem_lightning.answering.matching import exact_match, holds, token_f1


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("the Red Sea.", "Red Sea"),
        ("RED  SEA!", "the red sea"),
        ("“Red Sea”", "Red Sea"),
        ("An apple a day", "apple day"),
        ("Moby-Dick", "Moby Dick"),
        ("U.S.", "US"),
        ("the U.S.A.", "USA"),
        ("3.5", "3.5."),
        ("１２", "12"),
        ("1,234,567", "1234567"),
        ("Jean-Baptiste\n\nQuestion: Who else?", "Jean-Baptiste"),
        ("one\ntwo", "one two"),
        ("北京。", "北京"),
        ("北 京", "北京"),
        ("《红楼梦》", "红楼梦"),
        ("３岁", "3 岁"),
        ("café", "cafe\u0301"),
        ("Vitamin A", "vitamin a"),
        ("?", "?"),
    ],
)
def test_the_same_answer_in_other_clothes(text: str, accepted: str) -> None:
    assert exact_match(text, accepted)
    assert holds(text, accepted)
    assert token_f1(text, accepted) == 1


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("Sea", "Red Sea"),
        ("Sea Red", "Red Sea"),
        ("35", "3.5"),
        ("3 5", "3.5"),
        ("-5", "5"),
        ("12", "1, 2"),
        ("Vitamin", "Vitamin A"),
        ("B", "A"),
        ("the", "a"),
        ("...", "Red Sea"),
        ("...", "?"),
        ("上海", "北京"),
        ("北京市", "北京"),
        ("It is the\nRed Sea", "Red Sea"),
    ],
)
def test_another_answer(text: str, accepted: str) -> None:
    assert not exact_match(text, accepted)
    assert token_f1(text, accepted) < 1 or sorted(text) == sorted(accepted)


@pytest.mark.parametrize(
    ("text", "accepted", "f1"),
    [
        ("the sea", "Red Sea", 2 / 3),
        ("a red red sea", "red sea", 4 / 5),
        ("blue", "Red Sea", 0.0),
        ("", "Red Sea", 0.0),
        ("Red Sea\nand more of it", "Red Sea", 1.0),
        ("中华人民共和国", "中国", 4 / 9),
        ("about 3.5 kg", "3.5 kg", 4 / 5),
    ],
)
def test_f1_counts_words_or_chinese_characters(text: str, accepted: str, f1: float) -> None:
    assert token_f1(text, accepted) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("text", "accepted", "held"),
    [
        ("The capital of France is Paris.", "Paris", True),
        ("It is the Red Sea, I think", "the Red Sea", True),
        ("It is\nthe Red\nSea", "Red Sea", True),
        ("The sea is red", "Red Sea", False),
        ("Parisian", "Paris", False),
        ("about 3.5 kg", "3.5", True),
        ("about 3.5 kg", "3", False),
        ("中国的首都是北京。", "北京", True),
        ("中国的首都是上海。", "北京", False),
        ("Red", "Red Sea", False),
        ("", "Red Sea", False),
    ],
)
def test_a_sentence_may_hold_the_answer(text: str, accepted: str, held: bool) -> None:
    assert holds(text, accepted) is held
