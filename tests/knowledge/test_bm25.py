from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from cem_lightning.knowledge.bm25 import Bm25
from cem_lightning.knowledge.records import Document

XIEZHI = Path(__file__).parents[3] / "shared/data/xiezhi/train_chn.jsonl"


def documents(*texts: str) -> list[Document]:
    return [Document(str(number), text) for number, text in enumerate(texts)]


def test_scores_are_those_of_the_formula() -> None:
    texts = ("helium gas gas", "iron", "helium balloon")
    (hits,) = Bm25(documents(*texts)).search(["helium gas"], 3)
    idf = {"helium": math.log(1 + 1.5 / 2.5), "gas": math.log(1 + 2.5 / 1.5)}

    def score(*counts: tuple[str, int], length: int) -> float:
        norm = 1.5 * (1 - 0.75 + 0.75 * length / 2)
        return sum(idf[word] * count / (count + norm) for word, count in counts)

    assert [hit.position for hit in hits] == [0, 2]
    assert hits[0].score == pytest.approx(score(("helium", 1), ("gas", 2), length=3), abs=1e-4)
    assert hits[1].score == pytest.approx(score(("helium", 1), length=2), abs=1e-4)
    assert hits[1].relevance == pytest.approx(hits[1].score / sum(idf.values()), abs=1e-4)


def test_words_the_corpus_lacks_make_everything_less_relevant() -> None:
    index = Bm25(documents("helium gas", "iron"))
    known, unknown = index.search(["helium", "helium zorblax"], 1)
    assert unknown[0].score == known[0].score
    assert unknown[0].relevance < known[0].relevance / 2


def test_equal_scores_come_in_the_order_of_the_corpus() -> None:
    texts = ["iron"] * 3 + ["helium"] * 50 + ["helium helium helium"]
    (hits,) = Bm25(documents(*texts)).search(["helium"], 10)
    assert [hit.position for hit in hits] == [53, *range(3, 12)]


def test_nothing_is_found_for_what_no_document_has() -> None:
    index = Bm25(documents("helium", "the of"))
    assert index.search(["zorblax", "the", "", "iron"], 5) == [[], [], [], []]
    assert [len(hits) for hits in index.search(["helium"], 5)] == [1]
    assert Bm25(documents("the of")).search(["helium"], 5) == [[]]


def test_titles_are_searched_and_case_and_width_do_not_matter() -> None:
    index = Bm25([Document("a", "A gas.", title="Helium"), Document("b", "A metal.")])
    assert [hit.position for hit in index.search(["ＨＥＬＩＵＭ"], 5)[0]] == [0]


def test_chinese_is_searched_by_word() -> None:
    index = Bm25(
        documents("他来到北京清华大学学习化学。", "氦是最轻的惰性气体。", "上海是一座城市。")
    )
    found = index.search(["惰性气体是什么", "清华大学"], 5)
    assert [[hit.position for hit in hits] for hits in found] == [[1], [0]]


@pytest.mark.skipif(not XIEZHI.exists(), reason="Xiezhi is not at hand")
def test_a_chinese_question_finds_itself_by_its_words() -> None:
    rows = [json.loads(line) for line in XIEZHI.read_text(encoding="utf-8").splitlines()[:300]]
    stems = list(dict.fromkeys(row["question"] for row in rows))
    hits = Bm25(documents(*stems)).search(stems, 1)
    assert sum(hit[0].position == at for at, hit in enumerate(hits)) >= 0.99 * len(stems)
