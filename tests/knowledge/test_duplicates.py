from __future__ import annotations

from cem_lightning.knowledge.duplicates import Duplicates

TEXT = (
    "Helium was discovered in 1868 by Pierre Janssen, who saw a yellow line in the light of the "
    "sun during an eclipse in India and could not explain it with any known element at all."
)


def known(*texts: str, threshold: float = 0.8) -> Duplicates:
    duplicates = Duplicates(threshold)
    for text in texts:
        duplicates.add(text)
    return duplicates


def test_case_space_and_punctuation_make_no_new_text() -> None:
    copy = known("Something else.", TEXT).find(TEXT.upper().replace(",", " --\n"))
    assert copy is not None
    assert (copy.position, copy.similarity, copy.kind) == (1, 1.0, "duplicate")


def test_a_copy_with_another_ending_is_a_near_duplicate() -> None:
    copy = known(TEXT).find(TEXT.replace("at all", "whatever"))
    assert copy is not None
    assert copy.kind == "near_duplicate"
    assert 0.8 <= copy.similarity < 1


def test_the_same_fact_in_other_words_survives() -> None:
    wordings = known(
        "Helium was discovered by Pierre Janssen in 1868.",
        "The discoverer of helium is Pierre Janssen, who found it in 1868.",
    )
    assert (
        wordings.find("Credit for the discovery of helium in 1868 goes to Pierre Janssen.") is None
    )


def test_the_similarity_is_jaccard_of_five_word_runs() -> None:
    copy = known("a1 b1 c1 d1 e1 f1 g1", threshold=0.5).find("a1 b1 c1 d1 e1 f1 h1")
    assert copy is not None
    assert copy.similarity == 2 / 4
    assert known("a1 b1 c1 d1 e1 f1 g1", threshold=0.51).find("a1 b1 c1 d1 e1 f1 h1") is None


def test_short_texts_are_compared_whole_and_the_nearest_wins() -> None:
    duplicates = known("gold", TEXT.replace("at all", "whatever"), TEXT)
    assert duplicates.find("Gold!") is not None
    assert duplicates.find("gold iron") is None
    copy = duplicates.find(TEXT)
    assert copy is not None
    assert copy.position == 2
