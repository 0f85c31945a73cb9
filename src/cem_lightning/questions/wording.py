"""The one wording of prompts and responses, for collecting, training and scoring alike.

Turns a question into strings; how strings become token ids is the business of `models.encoding`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Literal

from cem_lightning.questions.records import Question

Method = Literal["cloze", "letters", "extract"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# a letter alone, not the first word of "The answer is a mystery"
EXTRACTED = re.compile(r"the answer is\s*:?\s*[\(\[]?([A-Z])(?=[)\].,:;\n]|\s*$)", re.IGNORECASE)
_BLANK = re.compile(r"_{2,}")
_SHORT = "Answer in a few words."


class Wording:
    """How a question is asked and answered under one method.

    cloze: the stem alone is asked, the response is the text of a choice.
    letters: the choices are listed, the response is a letter.
    extract: the choices are listed, the response is the paper's two-part form, "The answer is A.
        Red Sea. The complete answer is that: ...", and is parsed by pattern.

    A short-answer question has nothing to choose from: under every method its stem is asked with
    a request to be brief, and the response is the accepted answer.
    """

    def __init__(self, method: Method) -> None:
        self.method = method

    @property
    def version(self) -> str:
        """Hash of the wording as it appears on a fixed question; stands in every result."""
        sample = Question("q", "Is it ____?", ("this", "that"), 0, "q")
        short = Question("q", "What is it?", ("this",), 0, "q")
        shown = [
            self.prompt(sample),
            self.prompt(sample, passages=("A passage.",)),
            *(self.response(sample, index) for index in range(2)),
            self.prompt(short),
            self.prompt(short, passages=("A passage.",)),
            self.response(short, 0),
        ]
        return hashlib.sha256("\x00".join(shown).encode()).hexdigest()[:12]

    def prompt(
        self, question: Question, *, blind: bool = False, passages: Sequence[str] = ()
    ) -> str:
        """The user's turn: passages to read (open book), the stem, the choices if listed.

        Args:
            blind: ask the stem with its subject masked; it must have such a form.
            passages: texts to read before the question.
        """
        stem = question.blind if blind else question.question
        if stem is None:
            raise ValueError(f"question {question.id!r} has no name-blind form")
        parts = [*passages, stem]
        if question.short:
            return "\n\n".join([*parts, _SHORT])
        if self.method != "cloze":
            listed = zip(LETTERS, question.choices, strict=False)
            parts.append("\n".join(f"{letter}. {choice}" for letter, choice in listed))
        if self.method == "letters":
            parts.append("Answer with the letter only.")
        if self.method == "extract":
            form = "The answer is A. ... The complete answer is that: ..."
            parts.append(f'Answer in the form "{form}"')
        return "\n\n".join(parts)

    def response(self, question: Question, index: int) -> str:
        """The model's turn if it chose `index`: what is scored, and what `normative` trains."""
        choice = question.choices[index]
        if question.short or self.method == "cloze":
            return choice
        if self.method == "letters":
            return LETTERS[index]
        complete = (
            _BLANK.sub(lambda _: choice, question.question)
            if _BLANK.search(question.question)
            else f"{question.question} {choice}"
        )
        return f"The answer is {LETTERS[index]}. {choice}. The complete answer is that: {complete}"

    def solved(self, questions: Sequence[Question]) -> list[tuple[str, str]]:
        """Prompt and right response of each question, to be shown before others."""
        return [(self.prompt(each), self.response(each, each.answer)) for each in questions]

    def parse(self, question: Question, text: str) -> int | None:
        """The position of the choice that a generated text names, or None if it names none."""
        found = EXTRACTED.search(text)
        if found is None:
            return None
        index = LETTERS.index(found.group(1).upper())
        return index if index < len(question.choices) else None
