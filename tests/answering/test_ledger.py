"""What became of a question follows from its answers alone."""

from __future__ import annotations

from itertools import product

import pytest

from cem_lightning.answering.ledger import STATES, State, count, state


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("1", "known"),
        ("0", "never_learned"),
        ("111", "known"),
        ("000", "never_learned"),
        ("01", "learned"),
        ("0011", "learned"),
        ("10", "forgotten"),
        ("010", "forgotten"),
        ("1010", "forgotten"),
        ("101", "relearned"),
        ("0101", "relearned"),
        ("10011", "relearned"),
    ],
)
def test_by_hand(answers: str, expected: State) -> None:
    assert state([each == "1" for each in answers]) == expected


def test_every_course_has_one_state_that_fits_its_last_answer() -> None:
    for length in range(1, 7):
        for rights in product([False, True], repeat=length):
            found = state(rights)
            assert found in STATES
            assert (found in ("known", "learned", "relearned")) == rights[-1]
            assert (found == "never_learned") == (not any(rights))


def test_counts_name_every_state_and_add_up() -> None:
    found = count([state(each) for each in product([False, True], repeat=4)])
    assert list(found) == list(STATES)
    assert sum(found.values()) == 16
    assert found == {
        "known": 1,
        "learned": 3,
        "forgotten": 7,
        "relearned": 4,
        "never_learned": 1,
    }


def test_a_question_never_asked_has_no_state() -> None:
    with pytest.raises(ValueError, match="never asked"):
        state([])
