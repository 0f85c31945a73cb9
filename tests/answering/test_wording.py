"""What a question looks like to a model, and what is understood of its answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import LETTERS, Method, Wording

QUESTION = Question(
    "q", "Moses parted the ____.", ("Dead Sea", "Red Sea"), 1, "c", blind="He parted the ____."
)
METHODS: tuple[Method, ...] = ("cloze", "letters", "extract")

PROMPTS = {
    "cloze": "Moses parted the ____.",
    "letters": (
        "Moses parted the ____.\n\nA. Dead Sea\nB. Red Sea\n\nAnswer with the letter only."
    ),
    "extract": (
        "Moses parted the ____.\n\nA. Dead Sea\nB. Red Sea\n\n"
        'Answer in the form "The answer is A. ... The complete answer is that: ..."'
    ),
}
RESPONSES = {
    "cloze": "Red Sea",
    "letters": "B",
    "extract": ("The answer is B. Red Sea. The complete answer is that: Moses parted the Red Sea."),
}


@pytest.mark.parametrize("method", METHODS)
def test_prompt_and_response(method: Method) -> None:
    wording = Wording(method)
    assert wording.prompt(QUESTION) == PROMPTS[method]
    assert wording.response(QUESTION, 1) == RESPONSES[method]


@pytest.mark.parametrize("method", METHODS)
def test_a_short_answer_is_asked_for_alike_under_every_method(method: Method) -> None:
    wording = Wording(method)
    short = Question("s", "Who parted it?", ("Moses",), 0, "c", blind="Who did?")
    assert wording.prompt(short) == "Who parted it?\n\nAnswer in a few words."
    assert wording.prompt(short, blind=True) == "Who did?\n\nAnswer in a few words."
    book = wording.prompt(short, passages=("One.", "Two."))
    assert book == "One.\n\nTwo.\n\nWho parted it?\n\nAnswer in a few words."
    assert wording.response(short, 0) == "Moses"


@pytest.mark.parametrize("method", METHODS)
def test_the_response_is_not_in_the_prompt_before_it_is_chosen(method: Method) -> None:
    """The prompt is the same whichever choice is right."""
    other = replace(QUESTION, answer=0)
    assert Wording(method).prompt(QUESTION) == Wording(method).prompt(other)


@pytest.mark.parametrize("method", METHODS)
def test_the_blind_form_and_the_open_book(method: Method) -> None:
    wording = Wording(method)
    blind = wording.prompt(QUESTION, blind=True)
    assert blind == PROMPTS[method].replace("Moses parted", "He parted")
    book = wording.prompt(QUESTION, passages=("One.", "Two."))
    assert book == f"One.\n\nTwo.\n\n{PROMPTS[method]}"
    with pytest.raises(ValueError, match="'q' has no name-blind form"):
        wording.prompt(replace(QUESTION, blind=None), blind=True)


def test_the_complete_answer_follows_a_question_that_has_no_blank() -> None:
    question = replace(QUESTION, question="Which sea?", choices=("Dead Sea", r"\1 Sea"))
    said = Wording("extract").response(question, 1)
    assert said.endswith(r"The complete answer is that: Which sea? \1 Sea")
    blank = replace(question, question="It is the ___ or __.")
    said = Wording("extract").response(blank, 1)
    assert said.endswith(r"that: It is the \1 Sea or \1 Sea.")


@pytest.mark.parametrize("index", range(26))
def test_what_is_trained_is_understood(index: int) -> None:
    question = replace(QUESTION, choices=tuple(f"choice {letter}" for letter in LETTERS))
    wording = Wording("extract")
    assert wording.parse(question, wording.response(question, index)) == index


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("The answer is B.", 1),
        ("the answer is b", 1),
        ("THE ANSWER IS: A", 0),
        ("The answer is (B)", 1),
        ("The answer is [B].", 1),
        ("The answer is\nB. Red Sea", 1),
        ("Let me think. So the answer is B, not A. The answer is A.", 1),
        ("The answer is B: Red Sea", 1),
        ("", None),
        ("B", None),
        ("Red Sea", None),
        ("The answer is", None),
        ("The answer is Red Sea.", None),
        ("The answer is Because", None),
        ("The answer is 2.", None),
        ("The answer is a mystery.", None),
        ("The answer is I don't know", None),
        ("The answer is C.", None),  # there are two choices
        ("The answer is Z.", None),
    ],
)
def test_parsing(text: str, index: int | None) -> None:
    assert Wording("extract").parse(QUESTION, text) == index


def test_the_version_changes_with_the_wording(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {method: Wording(method).version for method in METHODS}
    assert len(set(versions.values())) == 3
    assert {method: Wording(method).version for method in METHODS} == versions
    prompt, response = Wording.prompt, Wording.response
    for name, changed in {
        "prompt": lambda self, question, **given: prompt(self, question, **given) + " Please.",
        "response": lambda self, question, index: response(self, question, index) + ".",
    }.items():
        with monkeypatch.context() as patch:
            patch.setattr(Wording, name, changed)
            for method in METHODS:
                assert Wording(method).version != versions[method]


def test_the_version_changes_with_how_short_answers_are_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = Wording("cloze").version
    prompt, response = Wording.prompt, Wording.response

    def asked(self: Wording, question: Question, **given: object) -> str:
        return prompt(self, question, **given) + ("!" if question.short else "")

    def read(self: Wording, question: Question, **given: object) -> str:
        lead = "Read: " if given.get("passages") and question.short else ""
        return lead + prompt(self, question, **given)

    def said(self: Wording, question: Question, index: int) -> str:
        return response(self, question, index) + ("!" if question.short else "")

    for name, changed in (("prompt", asked), ("prompt", read), ("response", said)):
        with monkeypatch.context() as patch:
            patch.setattr(Wording, name, changed)
            assert Wording("cloze").version != before


def test_the_version_changes_with_how_passages_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Wording("cloze").version
    prompt = Wording.prompt

    def changed(self: Wording, question: Question, **given: object) -> str:
        return ("Read: " if given.get("passages") else "") + prompt(self, question, **given)

    monkeypatch.setattr(Wording, "prompt", changed)
    assert Wording("cloze").version != before
