"""Which retriever gives the documents that a stage searches: a local corpus, or Wikipedia.

Passages are the same business for all of them, see `acquire` and `open_book`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cem_lightning.knowledge.config import KnowledgeConfig, LocalKnowledge
from cem_lightning.knowledge.corpora import Corpus, read_corpus
from cem_lightning.mistakes.points import keyphrases
from cem_lightning.mistakes.records import Mistake
from cem_lightning.questions.records import Question

PHRASES = 4  # of a held-out question's stem, as many as a mistake usually has

_Served = Callable[[int, str], None]


def known_corpus(config: KnowledgeConfig) -> Corpus:
    """What a source holds before anything is asked: a local corpus, or nothing.

    Raises:
        UserError: if the source cannot be used as it is configured.
    """
    if isinstance(config, LocalKnowledge):
        return read_corpus(config)
    from cem_lightning.knowledge.wikipedia import check_access

    check_access(config)
    return Corpus(())


def corpus_for_mistakes(
    mistakes: Sequence[Mistake],
    config: KnowledgeConfig,
    count_tokens: Callable[[str], int],
    served: _Served,
) -> Corpus:
    """The documents among which passages for mistakes are found and the control is drawn.

    Args:
        served: told how many mistakes more were looked up, and a note to show.

    Raises:
        UserError: if the source cannot be read or reached.
    """
    if isinstance(config, LocalKnowledge):
        corpus = read_corpus(config)
        served(len(mistakes), "")
        return corpus
    from cem_lightning.knowledge.wikipedia import gather

    return gather([each.points for each in mistakes], config, count_tokens, served)


def corpus_for_questions(
    questions: Sequence[Question],
    config: KnowledgeConfig,
    count_tokens: Callable[[str], int],
    served: _Served,
) -> Corpus:
    """The documents for an open book, searched for by stems alone; never for training.

    Args:
        served: told 0 and a note to show.

    Raises:
        UserError: if the source cannot be read or reached.
    """
    if isinstance(config, LocalKnowledge):
        return read_corpus(config)
    from cem_lightning.knowledge.wikipedia import gather

    return gather(
        [keyphrases(each.question)[:PHRASES] for each in questions],
        config,
        count_tokens,
        lambda _, note: served(0, note),
        unit="held-out questions",
        control=False,
    )
