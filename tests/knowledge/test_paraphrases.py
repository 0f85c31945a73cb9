"""Held-out questions are found in other words; facts and other questions are not."""

from __future__ import annotations

import pytest

from cem_lightning.knowledge.paraphrases import Paraphrases
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import Question


def question(id: str, stem: str) -> Question:
    return Question(id, stem, ("this", "that"), 0, id)


HELD = question("held", "Which chemist isolated the gas neon from liquid air in London?")
OTHER = question("other", "In which year was the old bridge of Arle rebuilt?")
TAUGHT = question("taught", "Which chemist isolated the gas xenon from liquid air in London?")
FOUND = Paraphrases(Pools((TAUGHT,), (HELD, OTHER)))


@pytest.mark.parametrize(
    "text",
    [
        "Some words before. Who was the chemist isolating the gas neon from liquid air in London?",
        "The gas neon was isolated from liquid air in London by the chemist ____.",
    ],
)
def test_a_held_out_question_in_other_words_is_found(text: str) -> None:
    found = FOUND.find(text)
    assert found is not None
    assert found[0] == HELD and 0.9 <= found[1] <= 1.001


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Which chemist isolated the gas neon from liquid air in London",  # states, does not ask
        "The chemist Ramsay isolated the gas neon from liquid air in London.",
        "Which chemist isolated the gas xenon from liquid air in London?",  # may be trained on
        "Who painted the ceiling of the chapel?",
        "Is it so? The chemist Ramsay isolated the gas neon from liquid air in London.",
    ],
)
def test_facts_and_other_questions_are_not(text: str) -> None:
    assert FOUND.find(text) is None


def test_nothing_guarded_is_nothing_found() -> None:
    assert Paraphrases(Pools((TAUGHT,), ())).find("Which chemist isolated neon?") is None
