"""Reading comprehension by rules: what is asked about a text, and what never is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cem_lightning.knowledge.supply.reading import MOST, ReadingItem, reading_items

NEON = """Neon is a chemical element with the symbol Ne. However, it reacts with nothing known.
Therefore, lamps keep it for years. A neon lamp glows because electrons fall back to lower levels.
In other words, light is given off by the atoms. In contrast, argon glows in pale blue.

Its melting point was measured in Leiden."""


def found(text: str, kind: str, title: str = "", seed: int = 0) -> list[ReadingItem]:
    return [item for item in reading_items(text, title, seed) if item.kind == kind]


@pytest.mark.parametrize(
    ("kind", "text", "about", "response"),
    [
        ("word_to_text", "Neon is a noble gas.", "Neon", "Neon is a noble gas."),
        ("word_to_text", "The term inert refers to what reacts slowly.", "inert", "The term"),
        ("inference", "Neon is inert. Therefore, it lasts long.", "Neon is inert.", "it lasts"),
        ("inference", "Neon is inert. However, it can glow.", "Neon is inert.", "it can glow."),
        ("inference", "Neon is inert. Moreover, it is light.", "Neon is inert.", "it is light."),
        ("commonsense", "Neon is rare now. As a result, it costs much.", "rare now", "it costs"),
        ("commonsense", "Neon costs much because it is rare.", "Neon costs much", "it is rare."),
        ("commonsense", "Because neon is rare, it costs much.", "neon is rare", "it costs much."),
        ("paraphrase", "Neon is inert. In other words, it stays so.", "is inert", "it stays so."),
        ("opposite", "Neon is light. In contrast, xenon is heavy.", "is light", "xenon is heavy."),
        ("word_to_text", "氖是一种化学元素。", "氖", "氖是一种化学元素。"),
        ("inference", "氖不与酸反应。因此，它可以用很久。", "氖不与酸反应。", "它可以用很久。"),
        ("inference", "氖不与酸反应。然而，它可以发光。", "氖不与酸反应。", "它可以发光。"),
        ("inference", "氖不与酸反应。此外，它也很轻。", "氖不与酸反应。", "它也很轻。"),
        ("commonsense", "由于空气中氖很少，所以它的价格昂贵。", "空气中氖很少", "它的价格昂贵。"),
        ("commonsense", "氖的价格昂贵，是因为空气中氖很少。", "氖的价格昂贵", "空气中氖很少。"),
        ("paraphrase", "氖不与酸反应。换句话说，它很稳定。", "氖不与酸反应。", "它很稳定。"),
        ("opposite", "氖是很轻的气体。相反，氙比它重得多。", "氖是很轻的气体。", "氙比它重得多。"),
    ],
)
def test_what_a_connector_joins_is_asked_about(
    kind: str, text: str, about: str, response: str
) -> None:
    (item,) = found(text, kind)
    assert about in item.instruction and item.response.startswith(response)
    assert item.response not in item.instruction


@pytest.mark.parametrize(
    "text",
    [
        "It is a noble gas.",
        "But neon is a noble gas.",
        "The city is a centre of trade.",  # which one is told elsewhere
        "However, it lasts.",  # nothing before it
        "Neon is inert.\n\nTherefore, it lasts long.",  # another paragraph
        "Since the discovery of neon, lamps have glowed.",  # a time, no cause
        "因此，它可以用很久。",
        "它是一种化学元素。",
        "",
        " \n",
    ],
)
def test_what_joins_nothing_is_not_asked_about(text: str) -> None:
    assert reading_items(text, "", 0) == ()


def test_a_text_is_asked_for_its_title_if_it_names_it() -> None:
    assert found("All lamps hold NEON today.", "summary", "neon")[0].response == "NEON"
    assert not found("All lamps hold neonate gas.", "summary", "neon")
    assert found("所有的霓虹灯里都有氖气。", "summary", "氖气")[0].response == "氖气"
    assert not found(NEON, "summary", " ")


def test_a_sentence_is_completed_by_the_next_of_its_paragraph() -> None:
    text = "Neon was found in air. Ramsay gave it a name.\n\nArgon came before it."
    (item,) = found(text, "completion")
    assert "Neon was found in air." in item.instruction
    assert item.response == "Ramsay gave it a name."


def test_few_items_of_a_kind_are_drawn_by_the_seed_alone() -> None:
    text = " ".join(f"Gas number {n} is inert. Therefore, gas {n} lasts long." for n in range(20))
    assert len(found(text, "inference")) == MOST
    assert reading_items(text, "gas", 1) == reading_items(text, "gas", 1)
    again = f"{text} " * 2
    assert len(found(again, "inference")) == MOST
    assert len({reading_items(text, "gas", seed) for seed in range(5)}) > 1


def test_no_two_items_ask_for_the_same() -> None:
    items = reading_items(NEON, "neon", 0)
    assert [item.kind for item in items] == [
        "summary", "word_to_text", "inference", "inference", "commonsense", "paraphrase",
        "opposite",
    ]  # fmt: skip
    assert len({item.response for item in items}) == len(items)


PIECES = (
    "Neon is a gas. ", "However, ", "Therefore, ", "Because ", "because ", ", ", "it lasts long",
    "\n\n", "{premise}", "氖是一种元素。", "因此，", "由于", "，所以", "它很稳定", "。", ". ",
    "In other words, ", "The term ", "refers to ", "\\",
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=20).map("".join),
    st.text(max_size=5),
)
def test_a_response_is_a_stretch_of_the_text(text: str, title: str) -> None:
    for item in reading_items(text, title, 3):
        assert item.response and item.response in text
        assert item.instruction.strip()
