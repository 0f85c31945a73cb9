from __future__ import annotations

from cem_lightning.knowledge.records import Passage
from cem_lightning.mistakes.records import Mistake
from cem_lightning.mistakes.triage import triage
from cem_lightning.questions.records import Question


def passage(name: str, *serves: str) -> Passage:
    return Passage(name, name, name, "", "", "", 1.0, serves)


def test_every_mistake_gets_its_class_route_and_passages_in_order() -> None:
    mistakes = [
        Mistake(Question(name, "Q?", ("x", "y"), 0, name), label, 1, 0.4)
        for name, label in (("a", "wrong"), ("b", "ambiguous"), ("c", "wrong"))
    ]
    triaged = triage(mistakes, [passage("p2", "b", "a"), passage("p1", "a"), passage("p0")])
    assert [(each.question, each.label, each.passages) for each in triaged] == [
        ("a", "wrong", ("p2", "p1")),
        ("b", "ambiguous", ("p2",)),
        ("c", "wrong", ()),
    ]
    assert {each.route for each in triaged} == {"passages_and_instructions"}
