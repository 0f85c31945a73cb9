"""Which examples are made of mistakes, passages and right answers, and what in them is trained."""

from __future__ import annotations

from typing import Any

import pytest

from cem_lightning.corpus.assemble import Assembly, Routed, assemble, by_route, states
from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.errors import UserError
from cem_lightning.knowledge.records import Passage
from cem_lightning.mistakes.config import Route
from cem_lightning.mistakes.records import Mistake
from cem_lightning.mistakes.triage import Triaged
from cem_lightning.models.encoding import Encoder
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Method, Wording
from tests.tiny import tiny_tokenizer

SHARES = dict.fromkeys(("passage", "normative", "extractive", "review", "general"), 0.2)


def question(name: str, answer: str = "Lavender") -> Question:
    return Question(name, f"What grows in garden {name}?", (answer, "Moss"), 0, name)


def passage(name: str, text: str, *serves: str) -> Passage:
    return Passage(name, text, f"d-{name}", "", "", "", 1.0, serves)


MISTAKES = [Mistake(question("q1"), "wrong", 1, 0.6), Mistake(question("q2"), "ambiguous", 0, 0.5)]
PASSAGES = [
    passage("p1", "In garden q1 one finds lavender and thyme.", "q1", "q2"),
    passage("p2", "Garden q2 is closed.", "q2"),
]
CONTROL = [passage("c1", "Rivers carry sand.", "q1")]


def made(context: int = 512, shares: dict[str, float] = SHARES, **changes: Any) -> Assembly:
    recipe = RecipeConfig.model_validate(
        {
            "name": "cem",
            "tokens": 1000,
            "shares": shares,
            "order": "mixed",
            "passages": changes.pop("read", "retrieved"),
            "review_late": True,
        }
    )
    given: dict[str, Any] = {
        "mistakes": MISTAKES,
        "passages": PASSAGES,
        "control": CONTROL,
        "right": [question("q2"), question("q3")],
        **changes,
    }
    leaks = given.pop("leaks", None)
    return assemble(
        **{"wording": Wording("cloze")} | given,
        encoder=Encoder(tiny_tokenizer(), "chat"),
        context=context,
        recipe=recipe,
        leaks=leaks,
    )


def test_each_kind_is_made_of_what_it_should_be() -> None:
    found = {
        kind: [(e.question_ids, e.passage_ids) for e in made().examples if e.kind == kind]
        for kind in SHARES
    }
    assert found["passage"] == [(("q1", "q2"), ("p1",)), (("q2",), ("p2",))]
    assert found["normative"] == [(("q1",), ()), (("q2",), ())]
    assert found["extractive"] == [(("q1",), ("p1",)), (("q2",), ("p1",))], "p2 has no answer"
    assert found["review"] == [(("q3",), ())], "q2 is a mistake now"
    assert len(found["general"]) >= 20
    assert made().dropped == {"leaked": {}, "too_long": {}, "unsupervised": {}}


@pytest.mark.invariant
def test_the_response_and_its_end_are_supervised_and_the_prompt_is_not() -> None:
    tokenizer = tiny_tokenizer()
    for example in made().examples:
        trained = [t for t, on in zip(example.ids, example.supervised, strict=True) if on]
        if example.kind == "passage":
            assert all(example.supervised)
            assert trained[-1] == tokenizer.eos_token_id
        elif example.kind in ("normative", "extractive", "review"):
            assert tokenizer.decode(trained) == "Lavender<|im_end|>"
            assert not any(example.supervised[: -len(trained)])


def test_an_extractive_prompt_holds_the_passage_and_the_question() -> None:
    example = next(each for each in made().examples if each.kind == "extractive")
    text = tiny_tokenizer().decode(example.ids)
    assert PASSAGES[0].text in text
    assert "What grows in garden q1?" in text


@pytest.mark.parametrize("method", ["cloze", "letters", "extract"])
def test_short_answers_are_trained_as_they_are_accepted(method: Method) -> None:
    missed, known = (Question(name, f"{name}?", ("3.5 m",), 0, name) for name in ("s1", "s2"))
    result = made(
        mistakes=[Mistake(missed, "wrong", None, 0.0)],
        passages=[passage("p", "S1 is 3.5 m high.", "s1"), passage("n", "Or 13.5 m.", "s1")],
        right=[known],
        wording=Wording(method),
    )
    tokenizer = tiny_tokenizer()
    found = {}
    for example in result.examples:
        if example.kind in ("normative", "extractive", "review"):
            trained = [t for t, on in zip(example.ids, example.supervised, strict=True) if on]
            assert tokenizer.decode(trained) == "3.5 m<|im_end|>"
            assert "?\n\nAnswer in a few words.<|im_end|>" in tokenizer.decode(example.ids)
            found[example.kind] = (example.question_ids, example.passage_ids)
    assert found == {
        "normative": (("s1",), ()),
        "extractive": (("s1",), ("p",)),
        "review": (("s2",), ()),
    }


def test_random_passages_replace_the_retrieved_ones() -> None:
    examples = made(read="random").examples
    assert {each for e in examples for each in e.passage_ids} == {"c1"}
    assert not [each for each in examples if each.kind == "extractive"]


DRAWN = [passage(f"c{number}", f"Rivers carry sand to sea {number}.") for number in range(10)]


def routed(first: Route, second: Route) -> Routed:
    """What is left of the mistakes, with p1 serving both and p2 the second."""
    triaged = [
        Triaged(mistake.question.id, "wrong", "unhelped", route, ("p1", "p2"), {})
        for mistake, route in zip(MISTAKES, (first, second), strict=True)
    ]
    return by_route(MISTAKES, PASSAGES, DRAWN, triaged, lambda text: len(text.split()))


def kinds_of(found: Routed, name: str, **changes: Any) -> list[str]:
    """The kinds of the examples that are made of a question."""
    result = made(
        mistakes=found.mistakes,
        passages=found.passages,
        control=found.control,
        right=[],
        **changes,
    )
    return [each.kind for each in result.examples if name in each.question_ids]


@pytest.mark.parametrize("route", ["passages_and_instructions", "ambiguity"])
def test_routes_that_read_leave_everything_as_it_is(route: Route) -> None:
    found = routed("passages_and_instructions", route)
    assert found == Routed(tuple(MISTAKES), tuple(PASSAGES), tuple(DRAWN), ())


def test_instructions_alone_have_no_passages() -> None:
    found = routed("instructions", "ambiguity")
    assert kinds_of(found, "q1") == ["normative"], "p1 is read for q2"
    assert kinds_of(found, "q2") == ["passage", "passage", "normative", "extractive"]
    found = routed("ambiguity", "instructions")
    assert kinds_of(found, "q1") == ["passage", "normative", "extractive"]
    assert kinds_of(found, "q2") == ["normative"]
    assert [each.id for each in found.passages] == ["p1"], "p2 serves q2 alone"


@pytest.mark.parametrize("route", ["skip", "quarantine"])
def test_nothing_is_made_of_what_is_skipped_or_in_quarantine(route: Route) -> None:
    found = routed("ambiguity", route)
    assert found.withheld == ("q2",)
    assert kinds_of(found, "q2") == []
    assert kinds_of(found, "q1") == ["passage", "normative", "extractive"]


@pytest.mark.invariant
def test_the_random_arm_reads_as_much_as_the_one_with_retrieved_passages() -> None:
    def tokens(passages: Any) -> int:
        return sum(len(each.text.split()) for each in passages)

    found = routed("ambiguity", "skip")
    share = tokens(found.passages) / tokens(PASSAGES)
    assert 0 < share < 1
    assert abs(tokens(found.control) - share * tokens(DRAWN)) <= 3, "half a passage"
    assert list(found.control) == DRAWN[: len(found.control)]
    read = made(
        mistakes=found.mistakes, passages=found.passages, control=found.control, read="random"
    )
    assert {each for e in read.examples for each in e.passage_ids} == {e.id for e in found.control}
    assert routed("skip", "instructions").control == ()


def test_only_kinds_with_a_share_are_made() -> None:
    assert {each.kind for each in made(shares={"normative": 1.0}).examples} == {"normative"}


def test_what_exceeds_the_context_is_dropped_and_counted() -> None:
    longest = max(len(each.ids) for each in made(shares={"normative": 1.0}).examples)
    whole = made(context=longest)
    assert whole.dropped["too_long"]["extractive"] == 2
    assert "normative" not in whole.dropped["too_long"]
    assert all(len(each.ids) <= longest for each in whole.examples)


def test_leaks_are_dropped_and_counted() -> None:
    result = made(leaks=lambda text: "thyme" in text)
    assert result.dropped["leaked"] == {"passage": 1, "extractive": 2}
    assert [each.passage_ids for each in result.examples if each.kind == "passage"] == [("p2",)]


def test_no_supervised_tokens_is_refused_with_counts() -> None:
    with pytest.raises(UserError, match=r"no supervised tokens \(passage: 0 tokens in 0 examples"):
        made(shares={"passage": 1.0}, passages=[])
    with pytest.raises(UserError, match="normative: 0 tokens in 0 examples, 2 too long"):
        made(shares={"normative": 1.0}, context=5)
    with pytest.raises(UserError, match="passage: 0 tokens in 0 examples, 1 unsupervised"):
        made(shares={"passage": 0.5, "normative": 0.5}, passages=[passage("p", "", "q1")])


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("It is found in the RED  sea.", "Red Sea", True),
        ("tinted glass", "Tin", False),
        ("made of tin, mostly", "Tin", True),
        ("水的沸点是一百度。", "一百度", True),
        ("in 1898", "189", False),
        ("costs $5.", "$5", True),
        ("It is 3.5 m high.", "3.5", True),
        ("It is 3.5 m high.", "3", False),
        ("It is 3.5 m high.", "5", False),
        ("Of 1,200 men", "200", False),
        ("There were 3, 5 of them tall.", "3", True),
        ("It ended in 1871.", "1871", True),
        ("Version 2.Final", "2", True),
        ("anything", "  ", False),
    ],
)
def test_a_passage_states_an_answer_as_whole_words(text: str, answer: str, found: bool) -> None:
    assert states(text, answer) is found
