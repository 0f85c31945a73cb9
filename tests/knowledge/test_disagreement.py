"""Copies that contradict each other are told from texts about something else."""

from __future__ import annotations

import pytest

from cem_lightning.knowledge import elements
from cem_lightning.knowledge.disagreement import disagreements

BRIDGE = (
    "The old bridge of Arle was built in 1874 by the engineer Ada Marlow. It is 212 metres long "
    "and carries the road from Arle to Denby over the river. The town pays for its repair."
)


def kinds(*texts: str, titles: tuple[str, ...] = ()) -> list[tuple[tuple[int, ...], str]]:
    return [(each.members, each.kind) for each in disagreements(texts, titles)]


@pytest.mark.parametrize(
    ("there", "here", "kind"),
    [
        ("1874", "1847", "number"),
        ("212", "2,120", "number"),
        ("212", "2120000001", "number"),
        ("Ada Marlow", "Ada Keller", "name"),
        ("to Denby", "to Oslo", "name"),
        ("It is 212", "It is not 212", "negation"),
        ("The town pays", "The town never pays", "negation"),
    ],
)
def test_an_altered_copy_is_found_also_when_it_is_reworded(
    there: str, here: str, kind: str
) -> None:
    altered = BRIDGE.replace(there, here)
    assert kinds(BRIDGE, altered) == [((0, 1), kind)]
    reworded = altered.replace("carries the road", "carries a road").replace("old ", "")
    assert kinds(BRIDGE, reworded, BRIDGE) == [((0, 1, 2), kind)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (BRIDGE, BRIDGE),
        (BRIDGE, BRIDGE.replace("long", "in length").replace("old ", "")),
        (BRIDGE, BRIDGE.replace("212", "212.0").replace("1874", "1,874")),
        (BRIDGE.replace("212", "twelve"), BRIDGE.replace("212", "12")),
        (BRIDGE.replace("212", "2120000"), BRIDGE.replace("212", "2,120,000.0")),
        # another subject in the same words
        (BRIDGE, BRIDGE.replace("Arle", "Denby").replace("1874", "1901").replace("212", "90")),
        (
            "Gold is a metal. The symbol of gold is Au, and the number of gold is 79.",
            "Silver is a metal. The symbol of silver is Ag, and the number of silver is 47.",
        ),
        (
            "In 2019 the company Arle Mills sold 310 looms and paid its owners 12 pounds a share.",
            "In 2020 the company Arle Mills sold 295 looms and paid its owners 11 pounds a share.",
        ),
        (
            "Chapter 3 tells how king number 3 crossed river 3 and built town 3 on its bank.",
            "Chapter 4 tells how king number 4 crossed river 4 and built town 4 on its bank.",
        ),
        ("He was 12.", "He was 13."),
        ("The wimp lives near Bresk, as is known.", "The pell lives near Eltz, as is known."),
        ("", ""),
    ],
)
def test_texts_that_can_both_be_true_are_left_alone(first: str, second: str) -> None:
    assert kinds(first, second) == []


def test_titles_tell_what_texts_are_about() -> None:
    told = "The gas {} was isolated in {} in London by William Ramsay and his assistant."
    texts = (told.format("neon", 1898), told.format("helium", 1895))
    assert kinds(*texts) == [((0, 1), "number")]
    assert kinds(*texts, titles=("Neon", "Helium")) == []
    assert kinds(*texts, titles=("page 1", "page 2")) == [((0, 1), "number")]
    assert kinds(*texts, titles=("The gas neon", "The gas helium")) == [((0, 1), "number")]


@pytest.mark.parametrize(
    ("altered", "kind"),
    [
        ("这座桥建于1847年，全长二百一十二米，由镇政府负责维修和管理，连接两岸的道路。", "number"),
        (
            "这座桥建于1874年，全长二百一十二米，不由镇政府负责维修和管理，连接两岸的道路。",
            "negation",
        ),
    ],
)
def test_chinese_copies_are_compared_too(altered: str, kind: str) -> None:
    text = "这座桥建于1874年，全长二百一十二米，由镇政府维修，连接两岸的道路。"
    assert kinds(text, altered) == [((0, 1), kind)]


@pytest.mark.parametrize("titled", [True, False])
def test_the_built_in_corpus_is_one_mind(titled: bool) -> None:
    documents = elements.documents()
    titles = [each.title for each in documents] if titled else []
    assert disagreements([each.text for each in documents], titles) == []


def test_long_numbers_are_compared_to_their_last_digit() -> None:
    first, second = (BRIDGE.replace("212", each) for each in ("1234567", "1234568"))
    assert kinds(first, second) == [((0, 1), "number")]
