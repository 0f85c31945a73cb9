"""One pool of questions cut in two: what is mined, and what is held out.

Draws only; which pools are cut is the business of `pools`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from cem_lightning.errors import UserError
from cem_lightning.questions.records import Question
from cem_lightning.questions.twins import groups


def split(
    questions: Sequence[Question], share: float, seed: int
) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
    """Set a share of the questions aside, a pure function of questions, share and seed.

    Every subject gives its share to within one question, and all together theirs; the same
    question in other clothes never stands on both sides.

    Args:
        share: from 0 to 1 of the questions.

    Returns:
        The questions that stay, and those set aside, both in their old order.

    Raises:
        UserError: if one of the two would be empty.
    """
    subjects: dict[str, list[list[int]]] = {}
    for group in groups(questions):
        subjects.setdefault(questions[group[0]].kind, []).append(group)
    draw = random.Random(f"{seed}:heldout")
    names = sorted(subjects)
    draw.shuffle(names)
    aside: set[int] = set()
    due = 0.0  # what the subjects so far still owe, so that the remainders do not add up
    for name in names:
        members = subjects[name]
        draw.shuffle(members)
        due += share * sum(len(group) for group in members)
        for group in members:
            if due >= len(group) / 2:
                aside.update(group)
                due -= len(group)
    kept = tuple(each for at, each in enumerate(questions) if at not in aside)
    if not aside or not kept:
        raise UserError(
            f"data.heldout_share: {share} of {len(questions)} questions leaves "
            f"{len(kept)} to mine and {len(aside)} held out; give more questions, another share, "
            "or 0 for no held-out pool."
        )
    return kept, tuple(questions[at] for at in sorted(aside))
