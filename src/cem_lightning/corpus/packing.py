"""Which sequences go together, so that rows of a bounded length are full.

Works on lengths alone.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Positions of the sequences in each pack, none of them cut or lost.

    Best-fit decreasing (Johnson et al. 1974): the longest first, each into the fullest pack that
    has room for it; at most 11/9 as many packs as needed, and of many short sequences hardly one
    more. A pure function, ties going by position.

    Args:
        lengths: tokens of each sequence.
        capacity: most tokens of a pack.

    Raises:
        ValueError: if a sequence is longer than a pack.
    """
    if max(lengths, default=0) > capacity:
        raise ValueError(f"a sequence of {max(lengths)} tokens fits no pack of {capacity}")
    packs: list[list[int]] = []
    room: list[int] = []  # the different amounts of room there are, ascending
    having: dict[int, list[int]] = {}  # the packs with each
    for at in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        length = lengths[at]
        place = bisect_left(room, length)
        if place == len(room):
            number, free = len(packs), capacity
            packs.append([])
        else:
            free = room[place]
            number = having[free].pop()
            if not having[free]:
                del having[free], room[place]
        packs[number].append(at)
        if left := free - length:
            if left not in having:
                having[left] = []
                insort(room, left)
            having[left].append(number)
    return packs
