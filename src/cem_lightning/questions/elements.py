"""Question pools about the chemical elements, built at run time from `mendeleev`.

What the elements' facts are and how they are worded lies in the modules beside this one.
"""

from __future__ import annotations

import random

from cem_lightning.questions import elements_wording as wording
from cem_lightning.questions import rotation
from cem_lightning.questions.elements_facts import KINDS, Element
from cem_lightning.questions.elements_groups import GROUPS, clash, groups, split
from cem_lightning.questions.records import Question


def pools(group: int) -> dict[str, tuple[Question, ...]]:
    """The pools "source" and "heldout" about one of three disjoint groups of elements.

    Every element's facts are divided between the two pools, half of every kind. Distractors are
    answers about other elements of the group, see `rotation.blocks`.

    Args:
        group: 0, 1 or 2.

    Raises:
        ValueError: if there is no such group.
        UserError: if the package `mendeleev` is not installed.
    """
    if group not in range(GROUPS):
        raise ValueError(f"group {group}: there are the groups 0 to {GROUPS - 1}")
    return {
        name: tuple(
            question
            for kind in KINDS
            for question in _questions(asked[kind], kind, f"elements:{group}:{name}:{kind}")
        )
        for name, asked in split(groups()[group]).items()
    }


def _questions(asked: list[Element], kind: str, seed: str) -> list[Question]:
    """Questions of one kind whose answers are each other's distractors."""
    answers = [element.facts[kind] for element in asked]

    def compatible(first: int, second: int) -> bool:
        return not clash(asked[first], asked[second], kind)

    draw = random.Random(f"{seed}:order")
    found = []
    for block in rotation.blocks(answers, compatible, seed=seed):
        for member, order in rotation.rotate(block, draw).items():
            element = asked[member]
            found.append(
                Question(
                    id=f"elements/{element.name.lower()}/{kind.replace(' ', '-')}",
                    question=wording.stem(kind, element.name.lower()),
                    choices=tuple(answers[other] for other in order),
                    answer=order.index(member),
                    cluster=element.name,
                    kind=kind,
                    blind=wording.stem(kind, wording.BLIND),
                )
            )
    return found
