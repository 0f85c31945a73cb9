"""The same question in other clothes: found across pools, and within them.

Knows nothing of near-duplicates or of texts that give a question away; see `knowledge`.
"""

from __future__ import annotations

from collections.abc import Sequence

from cem_lightning.questions.normalise import normalised
from cem_lightning.questions.readers import QuestionFile
from cem_lightning.questions.records import Question

REPEATED = "the same question came before"


def forms(question: Question) -> tuple[tuple[str, ...], ...]:
    """Two questions are the same if they share a form.

    That is the same normalised stem with the same answer or the same choices: a stem alone
    ("Which of these is true?") may ask different things, except of a short-answer question.
    """
    stem = normalised(question.question)
    if question.short:
        return (stem, "answer", normalised(question.gold)), (stem, "short")
    choices = sorted(normalised(choice) for choice in question.choices)
    return (stem, "answer", normalised(question.gold)), (stem, "choices", *choices)


def in_both(source: QuestionFile, other: QuestionFile, name: str) -> list[str]:
    """One problem for each question of `other` that is one of `source`, the pool of that name."""
    if not other.questions:
        return []
    seen: dict[tuple[str, ...], str] = {}
    for question, place in zip(source.questions, source.places, strict=True):
        for form in forms(question):
            seen.setdefault(form, place)
    problems = []
    for question, place in zip(other.questions, other.places, strict=True):
        twin = next((seen[form] for form in forms(question) if form in seen), None)
        if twin is not None:
            problems.append(
                f"{place}: the same question stands in the {name} pool, {twin}; "
                "remove it from one of the two"
            )
    return problems


def contradictions(file: QuestionFile) -> list[str]:
    """One problem for each question that came before with the same choices and another answer.

    Stem and choices are compared to the letter, or else "Mg" and "mg" would contradict each other.
    """
    seen: dict[tuple[str, ...], tuple[str, str]] = {}
    problems = []
    for question, place in zip(file.questions, file.places, strict=True):
        if question.short:
            continue
        form = (question.question, *sorted(question.choices))
        gold, first = seen.setdefault(form, (question.gold, place))
        if gold != question.gold:
            problems.append(
                f"{place}: the same question with the same choices has another answer in {first}; "
                "remove the wrong one"
            )
    return problems


def without_repeats(files: Sequence[QuestionFile]) -> list[QuestionFile]:
    """The files, each question in the first place where it stands; the others are left out."""
    seen: set[tuple[str, ...]] = set()
    found = []
    for file in files:
        kept: list[tuple[Question, str]] = []
        left_out = list(file.left_out)
        for question, place in zip(file.questions, file.places, strict=True):
            its = forms(question)
            if any(form in seen for form in its):
                left_out.append(f"{place}: {REPEATED}")
            else:
                kept.append((question, place))
            seen.update(its)
        found.append(
            QuestionFile(
                tuple(question for question, _ in kept),
                tuple(place for _, place in kept),
                file.problems,
                tuple(left_out),
                file.unread,
            )
        )
    return found


def groups(questions: Sequence[Question]) -> list[list[int]]:
    """Positions of questions that are the same, in the order of the first of each group."""
    parent = list(range(len(questions)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    first: dict[tuple[str, ...], int] = {}
    for at, question in enumerate(questions):
        for form in forms(question):
            one, other = root(first.setdefault(form, at)), root(at)
            parent[max(one, other)] = min(one, other)
    found: dict[int, list[int]] = {}
    for at in range(len(questions)):
        found.setdefault(root(at), []).append(at)
    return list(found.values())
