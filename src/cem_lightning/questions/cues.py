"""How far a pool can be solved from its surface: by length, letters or frequency, not knowledge.

Measures only; what is too much is for the reader, or for a test of the pool, to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from cem_lightning.questions.records import Question

Strategy = Callable[[Question, str, Counter[str]], float]


def measure(pool: Sequence[Question]) -> dict[str, float]:
    """Accuracy of strategies that know nothing but what the questions look like.

    Where a strategy cannot decide between several choices it scores its expected value, one over
    their number. Chance is the mean of one over the number of choices, under the key "chance".

    Args:
        pool: questions with any number of choices; short-answer questions have no surface to
            choose by and are left out.

    Returns:
        Accuracy from 0 to 1 by strategy: "longest", "shortest" (characters), "shared_letters"
        (letters in common with the stem, counted with repetition), "common_substring" (longest
        run of characters in common with the stem), "frequent_answer" (the choice that is right
        most often in the other half of the pool) and "first". Empty if every question
        is a short-answer question.

    Raises:
        ValueError: if the pool is empty.
    """
    if not pool:
        raise ValueError("an empty pool has no surface to measure")
    pool = [question for question in pool if not question.short]
    if not pool:
        return {}
    # every other question, since a question's own answer would always count for it
    halves = [Counter(question.gold for question in pool[at::2]) for at in (1, 0)]
    strategies: dict[str, Strategy] = {
        "longest": lambda question, choice, _: len(choice),
        "shortest": lambda question, choice, _: -len(choice),
        "shared_letters": lambda question, choice, _: _shared_letters(question.question, choice),
        "common_substring": lambda question, choice, _: _common_run(question.question, choice),
        "frequent_answer": lambda question, choice, counts: counts[choice],
        "first": lambda question, choice, _: -question.choices.index(choice),
    }
    found = {
        name: sum(_expected(question, strategy, halves[at % 2]) for at, question in enumerate(pool))
        / len(pool)
        for name, strategy in strategies.items()
    }
    return found | {"chance": sum(1 / len(question.choices) for question in pool) / len(pool)}


def _expected(question: Question, strategy: Strategy, frequency: Counter[str]) -> float:
    scores = [strategy(question, choice, frequency) for choice in question.choices]
    best = max(scores)
    return (scores[question.answer] == best) / scores.count(best)


def _shared_letters(stem: str, choice: str) -> int:
    return sum((_letters(stem) & _letters(choice)).values())


def _letters(text: str) -> Counter[str]:
    return Counter(letter for letter in text.lower() if letter.isalnum())


def _common_run(stem: str, choice: str) -> int:
    matcher = SequenceMatcher(None, stem.lower(), choice.lower(), autojunk=False)
    return matcher.find_longest_match().size
