"""Transfer and forgetting against a matrix computed by hand."""

from __future__ import annotations

import random

import pytest

from cem_lightning.answering.forgetting import (
    Transfer,
    average_forgetting,
    backward_transfer,
    forward_transfer,
    maximal_forgetting,
)

# rows: after round 0 to 3; columns: slices mined by rounds 1 to 3
R = [
    [0.2, 0.3, 0.1],
    [0.8, 0.4, 0.2],
    [0.9, 0.7, 0.3],
    [0.6, 0.5, 0.9],
]
SIZES = [10, 20, 30]


def test_backward_transfer_by_hand() -> None:
    # (0.6 - 0.8) and (0.5 - 0.7)
    assert backward_transfer(R, SIZES) == Transfer(pytest.approx(-0.2), 30, 2)


def test_forward_transfer_by_hand() -> None:
    # slice 2 after round 1: 0.4 - 0.3; slice 3 after round 2: 0.3 - 0.1
    assert forward_transfer(R, SIZES) == Transfer(pytest.approx(0.15), 50, 2)


def test_forgetting_by_hand() -> None:
    # slice 1: 0.9 at its best, 0.6 in the end; slice 2: 0.7 and 0.5
    assert average_forgetting(R, SIZES) == Transfer(pytest.approx(0.25), 30, 2)
    assert maximal_forgetting(R, SIZES) == Transfer(pytest.approx(0.3), 10, 1)


def test_what_was_better_before_any_training_is_not_counted_as_forgotten() -> None:
    rising = [[0.9, 0.1], [0.5, 0.1], [0.6, 0.8]]
    assert average_forgetting(rising, [5, 5]).value == pytest.approx(-0.1)


@pytest.mark.parametrize(
    "measure", [backward_transfer, forward_transfer, average_forgetting, maximal_forgetting]
)
def test_fewer_than_two_rounds_give_a_reason_and_no_number(measure) -> None:  # type: ignore[no-untyped-def]
    for matrix, sizes in (([[]], []), ([[0.1], [0.9]], [7])):
        found = measure(matrix, sizes)
        assert found.value is None
        assert "fewer than two rounds" in found.reason
        assert (found.n, found.slices) == (0, 0)
    for matrix, sizes in (([], []), ([[0.1], [0.9]], [7, 8]), ([[0.1], [0.9, 0.2]], [7])):
        with pytest.raises(ValueError, match="T \\+ 1 rows"):
            measure(matrix, sizes)


def test_identities_that_hold_for_every_matrix() -> None:
    draw = random.Random("forgetting")
    for rounds in range(2, 7):
        matrix = [[draw.random() for _ in range(rounds)] for _ in range(rounds + 1)]
        sizes = [draw.randrange(1, 9) for _ in range(rounds)]
        backward = backward_transfer(matrix, sizes).value
        average = average_forgetting(matrix, sizes).value
        worst = maximal_forgetting(matrix, sizes).value
        assert backward is not None and average is not None and worst is not None
        assert average >= -backward - 1e-12
        assert worst >= average
        if rounds == 2:
            assert average == pytest.approx(-backward) == pytest.approx(worst)
