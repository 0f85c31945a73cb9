"""What kind of mistake each one is, what is done about it, and which passages serve it.

A pure function of answers that were given elsewhere; asks no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, TypeVar, get_args

from cem_lightning.answering.records import Answer
from cem_lightning.mistakes.config import Route, TriageConfig
from cem_lightning.mistakes.records import Label, Mistake

TriageClass = Literal[
    "format", "suspect_gold", "unstable", "ambiguous", "knowledge_gap", "unhelped", "wrong"
]

CLASSES: tuple[TriageClass, ...] = get_args(TriageClass)  # the first that applies is taken
OPEN_BOOK = "open book"

_READING: tuple[Route, ...] = ("ambiguity", "passages_and_instructions")


class Serving(Protocol):
    """A text with the ids of the questions it was fetched for."""

    @property
    def id(self) -> str: ...

    @property
    def serves(self) -> tuple[str, ...]: ...


_Serving = TypeVar("_Serving", bound=Serving)


@dataclass(frozen=True)
class Triaged:
    """The verdict on one mistake.

    Attributes:
        question: id of the question.
        label: what it was collected as.
        triage_class: the kind of mistake.
        route: what training makes of it.
        passages: ids of the passages that serve it, in the order they were found.
        tests: the position of the choice that each test took, by the name of the test; None where
            none could be parsed.
        open_book: outcome with passages in the prompt; None if it was not asked so.
        helped: whether that shows the right answer, even if it could not be parsed.
    """

    question: str
    label: Label
    triage_class: TriageClass
    route: Route
    passages: tuple[str, ...]
    tests: dict[str, int | None]
    open_book: str | None = None
    helped: bool = False

    @property
    def trained(self) -> bool:
        """Whether anything is made of it this round."""
        return self.route not in ("skip", "quarantine")

    @property
    def quarantined(self) -> bool:
        """Whether a person is to look at it first."""
        return self.route == "quarantine"

    @property
    def reads(self) -> bool:
        """Whether its passages are read."""
        return self.route in _READING

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"passages": list(self.passages)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Triaged:
        return cls(**(values | {"passages": tuple(values["passages"])}))


def triage(
    mistakes: Sequence[Mistake],
    answers: Iterable[Answer],
    passages: Sequence[Serving],
    opened: Iterable[Answer],
    config: TriageConfig,
) -> tuple[Triaged, ...]:
    """One verdict a mistake, in their order.

    Args:
        answers: that the mistakes were collected from, in any order; others are ignored.
        opened: answers of the same model with passages in the prompt, to those asked so.
    """
    serving = by_question(passages)
    closed = {each.question: each for each in answers}
    books = {each.question: each for each in opened}
    verdicts = []
    for mistake in mistakes:
        id = mistake.question.id
        answer, shown = closed[id], books.get(id)
        found = classify(mistake, answer, shown, config)
        verdicts.append(
            Triaged(
                question=id,
                label=mistake.label,
                triage_class=found,
                route=route_of(found, config),
                passages=tuple(each.id for each in serving.get(id, ())),
                tests=tests(answer, shown),
                open_book=shown.outcome if shown else None,
                helped=shown is not None and shows_the_answer(shown, mistake),
            )
        )
    return tuple(verdicts)


def classify(
    mistake: Mistake, answer: Answer, opened: Answer | None, config: TriageConfig
) -> TriageClass:
    """The first of these that applies.

    format: collected as such. suspect_gold: every test took the same other choice, the open book
    among them, and there were `config.suspect_after` at least; a firm error without a book is what
    training is for. unstable: the choice moves with the order of the choices (of orders whose text
    could be parsed). ambiguous: right but unsure. knowledge_gap: wrong, but with passages in the
    prompt right. unhelped: wrong even so, or there were no passages to show. wrong: none of the
    last two could be told, since open books are not asked.

    Args:
        answer: that the mistake was collected from.
        opened: the answer with passages in the prompt; None if it was not asked so.
    """
    if mistake.label == "format":
        return "format"
    if _suspected(mistake, answer, opened, config.suspect_after):
        return "suspect_gold"
    if len(dict.fromkeys(each for each in answer.orders if each is not None)) > 1:
        return "unstable"
    if mistake.label == "ambiguous":
        return "ambiguous"
    if not config.open_book_passages:
        return "wrong"
    if opened is not None and shows_the_answer(opened, mistake):
        return "knowledge_gap"
    return "unhelped"


def route_of(found: TriageClass, config: TriageConfig) -> Route:
    """The configured route of a class; of "wrong", which is not told further, all there is."""
    if found == "wrong":
        return "passages_and_instructions"
    route: Route = getattr(config.routes, found)
    return route


def tests(answer: Answer, opened: Answer | None) -> dict[str, int | None]:
    """The choice that each test took, by its name: each order asked, its own first, and the book's.

    Positions are those of the question's own order.
    """
    orders = answer.orders or (answer.prediction,)
    taken = {f"order {number}" if number > 1 else "own order": choice
             for number, choice in enumerate(orders, start=1)}  # fmt: skip
    return taken | ({OPEN_BOOK: opened.prediction} if opened else {})


def shows_the_answer(opened: Answer, mistake: Mistake) -> bool:
    """Whether an answer is right, or would be but for its form.

    A text that could not be parsed is no mistake of knowledge: of choices the likeliest counts
    then, and an unparsable short answer holds the accepted one unless nothing was written.
    """
    if opened.outcome == "unparsable":
        if opened.likeliest is not None:
            return opened.likeliest == mistake.question.answer
        return bool(opened.text)
    return opened.right


def by_question(passages: Sequence[_Serving]) -> dict[str, tuple[_Serving, ...]]:
    """The passages that serve each question, in their order, by question id."""
    serving: dict[str, list[_Serving]] = {}
    for passage in passages:
        for question in passage.serves:
            serving.setdefault(question, []).append(passage)
    return {question: tuple(found) for question, found in serving.items()}


def _suspected(mistake: Mistake, answer: Answer, opened: Answer | None, after: int) -> bool:
    """Whether enough tests, the open book among them, took one choice, which is not the gold."""
    if opened is None:
        return False
    taken = tests(answer, opened)
    choices = tuple(dict.fromkeys(taken.values()))
    agreed = len(choices) == 1 and choices[0] not in (None, mistake.question.answer)
    return agreed and len(taken) >= after
