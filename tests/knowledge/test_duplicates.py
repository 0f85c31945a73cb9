from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cem_lightning.knowledge.duplicates import SHINGLE, Duplicates
from cem_lightning.questions.normalise import words

TEXT = (
    "Helium was discovered in 1868 by Pierre Janssen, who saw a yellow line in the light of the "
    "sun during an eclipse in India and could not explain it with any known element at all."
)


def known(*texts: str, threshold: float = 0.8) -> Duplicates:
    duplicates = Duplicates(threshold)
    for text in texts:
        duplicates.add(words(text))
    return duplicates


def test_case_space_and_punctuation_make_no_new_text() -> None:
    copy = known("Something else.", TEXT).find(words(TEXT.upper().replace(",", " --\n")))
    assert copy is not None
    assert (copy.position, copy.similarity, copy.kind) == (1, 1.0, "duplicate")


def test_a_copy_with_another_ending_is_a_near_duplicate() -> None:
    copy = known(TEXT).find(words(TEXT.replace("at all", "whatever")))
    assert copy is not None
    assert copy.kind == "near_duplicate"
    assert 0.8 <= copy.similarity < 1


def test_the_same_fact_in_other_words_survives() -> None:
    wordings = known(
        "Helium was discovered by Pierre Janssen in 1868.",
        "The discoverer of helium is Pierre Janssen, who found it in 1868.",
    )
    assert (
        wordings.find(words("Credit for the discovery of helium in 1868 goes to Pierre Janssen."))
        is None
    )


def test_the_similarity_is_jaccard_of_five_word_runs() -> None:
    copy = known("a1 b1 c1 d1 e1 f1 g1", threshold=0.5).find(words("a1 b1 c1 d1 e1 f1 h1"))
    assert copy is not None
    assert copy.similarity == 2 / 4
    assert known("a1 b1 c1 d1 e1 f1 g1", threshold=0.51).find(words("a1 b1 c1 d1 e1 f1 h1")) is None


def test_any_threshold_above_zero_can_be_met() -> None:
    duplicates = Duplicates(1e-12)
    duplicates.prepare([words(TEXT), words("gold iron")])
    duplicates.add(words(TEXT))
    assert duplicates.find(words(TEXT + " So it is said.")) is not None
    assert duplicates.find(words("gold iron")) is None


def test_short_texts_are_compared_whole_and_the_nearest_wins() -> None:
    duplicates = known("gold", TEXT.replace("at all", "whatever"), TEXT)
    assert duplicates.find(words("Gold!")) is not None
    assert duplicates.find(words("gold iron")) is None
    copy = duplicates.find(words(TEXT))
    assert copy is not None
    assert copy.position == 2


TEXTS = st.lists(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=14).map(tuple), max_size=12
)


def runs(text: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {text[at : at + SHINGLE] for at in range(max(1, len(text) - SHINGLE + 1))}


@pytest.mark.invariant
@given(TEXTS, st.sampled_from([0.3, 0.5, 0.8, 1.0]), st.sets(st.integers(0, 12), max_size=3))
def test_no_pair_is_missed_and_none_invented(
    texts: list[tuple[str, ...]], threshold: float, prepared: set[int]
) -> None:
    """Whether all texts are known beforehand, some of them, or none."""
    duplicates = Duplicates(threshold)
    for at, text in enumerate(texts):
        if at in prepared:
            duplicates.prepare(texts[at : at + 5])
        own = runs(text)
        best, position = 0.0, None
        for earlier, other in enumerate(texts[:at]):
            similarity = len(own & runs(other)) / len(own | runs(other))
            if similarity >= threshold and similarity > best:
                best, position = similarity, earlier
        copy = duplicates.find(text)
        assert (copy and copy.position) == position
        assert copy is None or math.isclose(copy.similarity, best)
        duplicates.add(text)


def test_texts_prepared_together_are_told_apart() -> None:
    texts = [tuple(f"w{at + each}" for each in range(9)) for at in range(0, 900, 9)]
    duplicates = Duplicates(0.1)
    duplicates.prepare(texts)
    for text in texts:
        assert duplicates.find(text) is None
        duplicates.add(text)
    for earlier, later in pairwise(range(len(texts))):
        copy = duplicates.find(texts[earlier])
        assert copy is not None and copy.position == earlier != later
