"""Passages for answering a question with an open book: the ceiling of what retrieval could give.

What is found here is never used for training: it is searched for held-out questions too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cem_lightning.knowledge.bm25 import content_words
from cem_lightning.knowledge.config import Filters
from cem_lightning.knowledge.corpora import Corpus
from cem_lightning.knowledge.cutting import cut
from cem_lightning.mistakes.points import keyphrases
from cem_lightning.mistakes.records import Mistake
from cem_lightning.questions.records import Question

PHRASES = 4  # of a held-out question's stem, as many as a mistake usually has


def stem_queries(questions: Sequence[Question]) -> list[tuple[str, ...]]:
    """Keyphrases of each question's stem, the best first; its answer is not searched for."""
    return [keyphrases(each.question)[:PHRASES] for each in questions]


def open_book(
    questions: Sequence[Question],
    corpus: Corpus,
    config: Filters,
    passages: int,
    count_tokens: Callable[[str], int],
) -> dict[str, tuple[str, ...]]:
    """The best passages for each question's stem, by question id; the answer is not searched for.

    Args:
        passages: most passages a question.
        count_tokens: number of the model's tokens in a text.
    """
    index = corpus.index(config)
    found = {}
    hits_of = index.search([question.question for question in questions], passages)
    for question, hits in zip(questions, hits_of, strict=True):
        weights = {word: index.idf(word) for word in content_words(question.question)}

        def matter(sentence: str, weights: dict[str, float] = weights) -> float:
            return sum(weights.get(word, 0.0) for word in dict.fromkeys(content_words(sentence)))

        texts = [
            cut(corpus.documents[hit.position].text, matter, config.passage_tokens, count_tokens)
            for hit in hits
            if hit.relevance >= config.min_score
        ]
        found[question.id] = tuple(text for text in texts if text)
    return found


def passages_that_fit(
    mistake: Mistake,
    texts: Sequence[str],
    fits: Callable[[Sequence[str]], bool],
    count_tokens: Callable[[str], int],
) -> tuple[str, ...]:
    """As many of the first texts as fit into a prompt; of a single one, the part that does.

    That part is cut around the sentence with the most words of the mistake's knowledge points.

    Args:
        texts: passages that were fetched for the mistake, the best first.
        fits: tells whether the prompt with these texts fits the model's context.
        count_tokens: number of the model's tokens in a text.
    """
    words = frozenset(content_words(" ".join(mistake.points)))

    def matter(sentence: str) -> float:
        return len(words & set(content_words(sentence)))

    shown = tuple(texts)
    while shown and not fits(shown):
        if len(shown) > 1:
            shown = shown[:-1]
        else:
            shorter = cut(shown[0], matter, count_tokens(shown[0]) * 3 // 4, count_tokens)
            shown = (shorter,) if shorter else ()
    return shown
