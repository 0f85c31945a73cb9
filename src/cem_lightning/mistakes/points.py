"""Knowledge points: the keyphrases of a question and its answer, to be searched for.

RAKE (Rose et al. 2010, "Automatic keyword extraction from individual documents"), offline. Our
own few lines, since the kept libraries are under the LGPL or need a model or a download.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain, pairwise, zip_longest

from bm25s.stopwords import STOPWORDS_CHINESE, STOPWORDS_EN_PLUS

from cem_lightning.questions.normalise import is_chinese, words
from cem_lightning.questions.records import Question

STOP_WORDS = frozenset(chain(*map(words, (*STOPWORDS_EN_PLUS, *STOPWORDS_CHINESE))))

# Not at the point of an initial, nor inside a number or a compound.
_BREAK = re.compile(r"[^\w\s'’.*/+^-]|(?<!\b\w)\.(?!\w)|[*/+-](?!\w)|_{2,}")


def knowledge_points(question: Question, limit: int) -> tuple[str, ...]:
    """At most `limit` keyphrases, best first, of stem and right answer in turn."""
    turns = zip_longest(keyphrases(question.question), keyphrases(question.gold))
    points = dict.fromkeys(phrase for turn in turns for phrase in turn if phrase)
    return tuple(points)[:limit]


def keyphrases(text: str) -> tuple[str, ...]:
    """The phrases of a text by RAKE score, equal ones in order of appearance.

    A phrase is a run of words between stop words and punctuation; it scores the sum over its
    words of degree / frequency, where a word's degree counts the words of all phrases it is in.
    """
    phrases = [phrase for part in _BREAK.split(text) for phrase in _runs(words(part))]
    frequency = Counter(word for phrase in phrases for word in phrase)
    degree: Counter[str] = Counter()
    for phrase in phrases:
        for word in phrase:
            degree[word] += len(phrase)
    scores = {
        phrase: sum(degree[word] / frequency[word] for word in phrase)
        for phrase in dict.fromkeys(phrases)
    }
    return tuple(_joined(phrase) for phrase in sorted(scores, key=lambda each: -scores[each]))


def _runs(tokens: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The longest stretches without stop words."""
    runs: list[list[str]] = [[]]
    for token in tokens:
        if token in STOP_WORDS:
            runs.append([])
        else:
            runs[-1].append(token)
    return [tuple(run) for run in runs if run]


def _joined(phrase: tuple[str, ...]) -> str:
    """Words as they are written: apart, but for Chinese."""
    text = phrase[0]
    for before, word in pairwise(phrase):
        text += word if is_chinese(before) and is_chinese(word) else f" {word}"
    return text
