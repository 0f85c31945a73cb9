"""What became of each question over the rounds: known, learned, forgotten, relearned or never.

Knows right and wrong only; which questions are asked again is the business of who reads it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

State = Literal["known", "learned", "forgotten", "relearned", "never_learned"]

STATES: tuple[State, ...] = get_args(State)


def state(rights: Sequence[bool]) -> State:
    """The state of a question after its last answer.

    Args:
        rights: whether each round's answer was right, round 0, before any training, first. An
            answer that could not be parsed is not right.

    Returns:
        known: right at the start and ever since; learned: not right at the start, right since some
        round; forgotten: right in an earlier round, not now; relearned: right now, and forgotten
        in between; never_learned: right in no round.

    Raises:
        ValueError: there is no answer.
    """
    if not rights:
        raise ValueError("a question that was never asked has no state")
    if not any(rights):
        return "never_learned"
    if not rights[-1]:
        return "forgotten"
    since_right = rights[list(rights).index(True) :]
    if not all(since_right):
        return "relearned"
    return "known" if rights[0] else "learned"


def count(states: Iterable[State]) -> dict[State, int]:
    """How many questions are in each state, all states in their order."""
    counts = Counter(states)
    return {each: counts[each] for each in STATES}
