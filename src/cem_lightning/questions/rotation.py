"""Distractors by rotation: answers of one kind swap places, so that none is favoured by its looks.

Knows nothing of what the answers mean; the caller says which may stand beside which.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_ATTEMPTS = 200


def blocks(
    answers: Sequence[str],
    compatible: Callable[[int, int], bool],
    *,
    size: int = 4,
    seed: str = "",
) -> list[tuple[int, ...]]:
    """Partitions answers into blocks whose members serve as each other's distractors.

    Answers of nearly the same length share a block. Of many random partitions the one that keeps
    most answers, then has most blocks, then the least spread of lengths, is taken. Answers that
    fit into no block are left out.

    Args:
        answers: the right answers, one for each question; equal strings never share a block.
        compatible: whether answer `i` is certainly wrong for question `j` and the reverse.
        size: number of choices.
        seed: of the random partitions.

    Returns:
        Blocks of indices into `answers`, each of at least `size` members, few of more.
    """
    count = len(answers)
    fits = [
        [i != j and answers[i] != answers[j] and compatible(i, j) for j in range(count)]
        for i in range(count)
    ]
    draw = random.Random(f"{seed}:rotation")
    best: list[list[int]] = []
    best_score = (-1, 0, 0)
    for _ in range(_ATTEMPTS):
        # Answers with few possible partners choose first.
        order = sorted(range(count), key=lambda i: sum(fits[i]) + 3 * draw.random())
        found = _partition(order, answers, fits, size)
        spread = sum(_spread([answers[i] for i in block]) for block in found)
        score = (sum(len(block) for block in found), len(found), -spread)
        if score > best_score:
            best, best_score = found, score
    return [tuple(block) for block in best]


def rotate(block: Sequence[int], draw: random.Random, size: int = 4) -> dict[int, tuple[int, ...]]:
    """The choices of each member of a block, in the order they are shown.

    Over the block every answer is right once and wrong `size` - 1 times. In a block of exactly
    `size` all members show the same choices, and the right one stands at every position once:
    whatever does not look at the subject of the question is right in exactly one of `size`.

    Args:
        block: at least `size` indices.
        draw: source of the random order.
        size: number of choices.
    """
    ring = draw.sample(list(block), len(block))
    first = draw.randrange(size)
    shown = {}
    for place, member in enumerate(ring):
        window = [ring[(place + step) % len(ring)] for step in range(size)]
        if len(ring) == size:
            window = ring
        shift = (window.index(member) - first - place) % size
        shown[member] = tuple(window[shift:] + window[:shift])
    return shown


def _partition(
    order: list[int], answers: Sequence[str], fits: list[list[bool]], size: int
) -> list[list[int]]:
    """Greedy blocks: each begins with the next in order and takes those nearest in length."""

    def distance(first: int, second: int) -> int:
        return abs(len(answers[first]) - len(answers[second]))

    left = list(order)
    found, alone = [], []
    while left:
        block = [left.pop(0)]
        while len(block) < size:
            partners = [i for i in left if all(fits[i][j] for j in block)]
            if not partners:
                break
            block.append(min(partners, key=lambda i: distance(i, block[0])))
            left.remove(block[-1])
        if len(block) == size:
            found.append(block)
        else:
            alone.append(block[0])
            left = [i for i in order if i in left or i in block[1:]]
    for one in alone:
        open_blocks = [block for block in found if all(fits[one][j] for j in block)]
        if open_blocks:
            min(open_blocks, key=lambda block: (len(block), distance(one, block[0]))).append(one)
    return found


def _spread(answers: Sequence[str]) -> int:
    lengths = [len(answer) for answer in answers]
    return max(lengths) - min(lengths)
