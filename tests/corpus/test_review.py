"""Review takes what was forgotten first, and is what it was where nothing was."""

from __future__ import annotations

from cem_lightning.corpus.assemble import Assembly
from tests.corpus.test_assemble import MISTAKES, made, question

RIGHT = [question(f"right-{number}") for number in range(60)]
FORGOTTEN = [question("lost-1"), question("lost-2")]


def reviewed(found: Assembly) -> list[str]:
    return [each.question_ids[0] for each in found.examples if each.kind == "review"]


def test_without_anything_forgotten_all_right_ones_are_candidates() -> None:
    assert reviewed(made(right=RIGHT, seed=3)) == [each.id for each in RIGHT]


def test_forgotten_ones_come_first_and_the_others_fill_the_room() -> None:
    found = made(right=RIGHT, forgotten=FORGOTTEN, seed=3)
    names = reviewed(found)
    assert names[:2] == ["lost-1", "lost-2"]
    lengths = [len(each.ids) for each in found.examples if each.kind == "review"]
    # a fifth of 1000 tokens, to within the example that fills it
    assert sum(lengths[:-1]) < 200 <= sum(lengths)
    assert 2 < len(names) < len(RIGHT)
    assert len(set(names)) == len(names)


def test_the_others_are_drawn_by_the_seed() -> None:
    again, other = (reviewed(made(right=RIGHT, forgotten=FORGOTTEN, seed=seed)) for seed in (3, 4))
    assert again == reviewed(made(right=RIGHT, forgotten=FORGOTTEN, seed=3))
    assert again[:2] == other[:2]
    assert again != other


def test_more_forgotten_than_room_are_all_candidates() -> None:
    assert reviewed(made(right=FORGOTTEN, forgotten=RIGHT, seed=3)) == [e.id for e in RIGHT]


def test_a_mistake_of_this_round_is_no_review() -> None:
    missed = MISTAKES[0].question
    assert missed.id not in reviewed(made(right=RIGHT, forgotten=[missed, *FORGOTTEN], seed=3))
