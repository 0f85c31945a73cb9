from __future__ import annotations

import json
from pathlib import Path

import pytest

from cem_lightning.mistakes.points import keyphrases, knowledge_points
from cem_lightning.questions.records import Question

XIEZHI = Path(__file__).parents[3] / "shared/data/xiezhi/train_chn.jsonl"


def test_phrases_are_runs_between_stop_words_and_long_ones_come_first() -> None:
    text = "Compatibility of systems of linear constraints, and linear systems."
    assert keyphrases(text) == (
        "linear constraints",
        "linear systems",
        "systems",
        "compatibility",
    )


def test_question_words_are_no_keyphrases() -> None:
    assert keyphrases("What is it that they are for, and who was she?") == ()


def test_the_answer_is_among_the_points_even_if_they_are_few() -> None:
    stem = "In which old mining town near the long river did the famous chemist first find yttrium?"
    question = Question("q", stem, ("Ytterby", "Vaxholm"), 0, "q")
    assert "ytterby" in knowledge_points(question, 2)
    assert len(knowledge_points(question, 2)) == 2
    assert "vaxholm" not in " ".join(knowledge_points(question, 50))


def test_a_phrase_of_both_stem_and_answer_counts_once() -> None:
    question = Question("q", "Is it in helium, or in neon?", ("In neon", "No"), 0, "q")
    assert knowledge_points(question, 9) == ("helium", "neon")


def test_initials_do_not_break_a_name() -> None:
    assert "w ramsay" in keyphrases("Discovered by W. Ramsay. Found in Cornwall.")


def test_chinese_phrases_are_words_and_not_sentences() -> None:
    question = Question("q", "清华大学位于哪个城市？", ("北京", "上海"), 0, "q")
    points = knowledge_points(question, 5)
    assert "清华大学" in points[0]
    assert "北京" in points
    assert all("？" not in point and "哪个" not in point for point in points)


@pytest.mark.skipif(not XIEZHI.exists(), reason="Xiezhi is not at hand")
def test_real_chinese_questions_have_several_short_points() -> None:
    rows = [json.loads(line) for line in XIEZHI.read_text(encoding="utf-8").splitlines()[:200]]
    lengths = []
    for row in rows:
        question = Question("q", row["question"], (row["answer"], "-"), 0, "q")
        points = knowledge_points(question, 8)
        assert points
        lengths += [len(point) for point in points]
    assert sum(lengths) / len(lengths) < 12
