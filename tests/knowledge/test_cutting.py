from __future__ import annotations

from cem_lightning.knowledge.cutting import cut, sentences

TEXT = (
    "Iron is a metal. It rusts.\n\nHelium was found by Dr. Janssen in 1868. It is light. "
    "Balloons hold it.\n\nGold is dear. It shines."
)


def count(text: str) -> int:
    return len(text.split())


def helium(sentence: str) -> float:
    return 2.0 * ("Helium" in sentence) + ("Balloons" in sentence)


def test_a_text_that_fits_stays_whole() -> None:
    assert cut(f" {TEXT}\n", helium, 100, count) == TEXT


def test_a_passage_grows_around_the_best_sentence_as_far_as_it_fits() -> None:
    assert cut(TEXT, helium, 8, count) == "Helium was found by Dr. Janssen in 1868."
    assert cut(TEXT, helium, 14, count) == (
        "Helium was found by Dr. Janssen in 1868. It is light. Balloons hold it."
    )
    assert cut(TEXT, helium, 16, count).endswith("Balloons hold it.")
    assert cut(TEXT, helium, 16, count).startswith("It rusts.")


def test_passages_are_stretches_of_whole_sentences_within_the_budget() -> None:
    whole = [TEXT[start:end].strip() for start, end in sentences(TEXT)]
    assert "Helium was found by Dr. Janssen in 1868." in whole
    for budget in range(8, 40):
        passage = cut(TEXT, helium, budget, count)
        assert passage in TEXT
        assert count(passage) <= budget
        assert passage.endswith(tuple(whole))
        assert passage.startswith(tuple(whole))
        assert "Helium" in passage


def test_the_first_of_equal_sentences_is_taken() -> None:
    assert cut(TEXT, lambda _: 0.0, 4, count) == "Iron is a metal."


def test_a_sentence_that_does_not_fit_is_cut_after_a_word() -> None:
    text = "Iron. Helium is a very light gas that balloons hold and divers breathe. Gold."
    assert cut(text, helium, 5, count) == "Helium is a very light"
    assert cut(text, helium, 0, count) == ""


def test_no_tokens_are_counted_of_what_cannot_fit() -> None:
    asked: list[int] = []

    def counted(text: str) -> int:
        asked.append(len(text))
        return count(text)

    assert cut("helium " * 100_000, helium, 5, counted) == "helium helium helium helium helium"
    assert max(asked) < 1000


def test_chinese_is_cut_at_its_own_full_stops_and_between_characters() -> None:
    text = "铁是一种金属。氦是最轻的惰性气体。金很贵。"
    assert cut(text, lambda each: "氦" in each, 10, len) == "氦是最轻的惰性气体。"
    assert cut(text, lambda each: "氦" in each, 4, len) == "氦是最轻"
