"""Packs: full, and no sequence cut, lost or taken twice."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cem_lightning.corpus.packing import best_fit


@given(st.lists(st.integers(1, 50), max_size=200), st.integers(50, 120))
def test_every_sequence_is_in_one_pack_and_every_pack_has_room(
    lengths: list[int], capacity: int
) -> None:
    packs = best_fit(lengths, capacity)
    assert sorted(at for pack in packs for at in pack) == list(range(len(lengths)))
    loads = [sum(lengths[at] for at in pack) for pack in packs]
    assert all(0 < load <= capacity for load in loads)
    assert sum(load * 2 <= capacity for load in loads) <= 1, "two half-empty packs are one"


def test_packs_of_many_sequences_are_full() -> None:
    draw = random.Random(1)
    lengths = [min(2048, int(draw.lognormvariate(5, 1)) + 1) for _ in range(20_000)]
    packs = best_fit(lengths, 2048)
    assert sum(lengths) / (2048 * len(packs)) > 0.99


def test_a_sequence_longer_than_a_pack_is_no_matter_of_cutting() -> None:
    with pytest.raises(ValueError, match="a sequence of 9 tokens fits no pack of 8"):
        best_fit([3, 9], 8)
