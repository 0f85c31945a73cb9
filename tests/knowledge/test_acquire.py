from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.errors import UserError
from cem_lightning.knowledge.acquire import Acquired, acquire
from cem_lightning.knowledge.config import LocalKnowledge
from cem_lightning.knowledge.corpora import Corpus
from cem_lightning.knowledge.records import Document
from cem_lightning.mistakes.points import knowledge_points
from cem_lightning.mistakes.records import Mistake
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import Question
from tests.knowledge.settings import FILTERS

GASES = ("helium", "neon", "argon", "krypton", "xenon", "radon")
CONFIG = LocalKnowledge(
    retriever="local",
    corpus="-",
    column="text",
    cache=Path("-"),
    **FILTERS | {"leak_threshold": 0.5},
)


def question(gas: str, stem: str = "Which chemist isolated {} from air?") -> Question:
    return Question(f"{gas}/{stem[:8]}", stem.format(gas), ("Ramsay", "Curie"), 0, gas)


def mistake(gas: str) -> Mistake:
    asked = question(gas)
    return Mistake(asked, "wrong", 1, 0.4, knowledge_points(asked, 6))


def documents(*texts: str) -> tuple[Document, ...]:
    return tuple(
        Document(f"d{at}", text, title=f"T{at}", origin="O", licence="CC0")
        for at, text in enumerate(texts)
    )


TELLING = tuple(
    text.format(gas)
    for gas in GASES
    for text in (
        "The chemist Ramsay isolated {} from liquid air with great patience in his laboratory.",
        "Air holds a little {}. Ramsay, a chemist, was first to isolate it. It glows in a tube.",
    )
)
FILLER = tuple(
    f"Chapter {at} of the saga tells how king number {at} crossed river {at} and built town {at}."
    for at in range(40)
)


def count(text: str) -> int:
    return len(text.split())


def run(
    *gases: str,
    texts: tuple[str, ...] = TELLING + FILLER,
    heldout: tuple[Question, ...] = (),
    seed: int = 1,
    **changes: Any,
) -> Acquired:
    pools = Pools(tuple(question(gas) for gas in GASES), heldout)
    config = CONFIG.model_copy(update=changes)
    mistakes = [mistake(gas) for gas in gases]
    return acquire(mistakes, Corpus(documents(*texts)), pools, config, seed, count)


def test_each_mistake_gets_the_passages_about_it_with_their_origin() -> None:
    acquired = run("neon", "xenon")
    assert [(each.serves, each.document) for each in acquired.passages] == [
        (("neon/Which ch",), "d2"),
        (("neon/Which ch",), "d3"),
        (("xenon/Which ch",), "d8"),
        (("xenon/Which ch",), "d9"),
    ]
    first = acquired.passages[0]
    assert (first.title, first.origin, first.licence) == ("T2", "O", "CC0")
    assert first.text == TELLING[2]
    assert first.score > 0
    assert len({each.id for each in acquired.passages}) == 4
    assert all(count(each.text) <= CONFIG.passage_tokens for each in acquired.passages)


def test_a_passage_found_twice_is_kept_once_and_serves_both() -> None:
    texts = ("The chemist Ramsay isolated neon and xenon from air.", *FILLER)
    acquired = run("neon", "xenon", texts=texts, passages=1)
    assert [each.serves for each in acquired.passages] == [("neon/Which ch", "xenon/Which ch")]
    assert acquired.counts == {}


def test_copies_are_dropped_and_the_next_hit_takes_their_place() -> None:
    near = TELLING[2].replace("laboratory", "kitchen")
    texts = (TELLING[2], TELLING[2].upper(), near, TELLING[3], *FILLER)
    acquired = run("neon", texts=texts)
    assert [each.document for each in acquired.passages] == ["d0", "d3"]
    assert acquired.counts == {"duplicate": 1, "near_duplicate": 1}
    assert [(each.document, each.detail) for each in acquired.dropped] == [
        ("d1", acquired.passages[0].id),
        ("d2", acquired.passages[0].id),
    ]


def test_a_planted_question_never_becomes_a_passage_nor_a_control() -> None:
    held = question("neon", "In which year did Ramsay isolate {} in London?")
    plant = "in what year did ramsay isolate NEON in London? Ramsay isolated neon from air."
    acquired = run("neon", texts=(plant, *TELLING, *FILLER), heldout=(held,))
    assert len(acquired.passages) == 2
    assert acquired.counts == {"leak": 1}
    (dropped,) = acquired.dropped
    assert (dropped.document, dropped.question) == ("d0", "neon/Which ch")
    assert held.id in dropped.detail

    other = replace(held, id="o", question="How did king number 5 cross river 7?")
    control = run("neon", texts=(*TELLING, *[other.question] * 30), heldout=(other,)).control
    assert all("cross" not in each.text for each in control)


def test_a_run_with_too_many_leaks_refuses_and_says_what_to_do() -> None:
    held = question("neon", "In which year did Ramsay isolate {} in London?")
    texts = (f"{held.question} In 1898, from air.", TELLING[2], *FILLER)
    with pytest.raises(UserError) as error:
        run("neon", texts=texts, heldout=(held,), leak_threshold=0.4)
    assert "1 of 2 passages" in str(error.value)
    assert "knowledge.leak_threshold: 0.4" in str(error.value)
    assert "'d0'" in str(error.value)
    assert held.id in str(error.value)
    assert len(run("neon", texts=texts, heldout=(held,)).passages) == 1


def test_what_is_beside_the_point_is_dropped_with_its_relevance() -> None:
    texts = ("A cup holds air.", TELLING[2], *FILLER)
    acquired = run("neon", texts=texts, min_score=0.25)
    assert [each.document for each in acquired.passages] == ["d1"]
    assert [(each.document, each.reason) for each in acquired.dropped] == [("d0", "irrelevant")]
    assert len(run("neon", texts=texts, min_score=0).passages) == 2


def test_long_documents_are_cut_to_the_sentence_that_matters() -> None:
    text = " ".join([*FILLER[:9], "Ramsay, a chemist, isolated neon from air.", *FILLER[9:20]])
    (passage,) = run("neon", texts=(text, *FILLER[20:])).passages
    assert passage.text == "Ramsay, a chemist, isolated neon from air."


def test_the_control_is_of_the_same_size_from_documents_not_found() -> None:
    acquired = run(*GASES)
    assert acquired.tokens == sum(count(each.text) for each in acquired.passages) > 150
    assert acquired.control_tokens == sum(count(each.text) for each in acquired.control)
    assert abs(acquired.control_tokens - acquired.tokens) <= CONFIG.passage_tokens / 4
    found = {each.document for each in acquired.passages}
    assert all(each.document not in found for each in acquired.control)
    assert all(each.serves == () and each.score == 0 for each in acquired.control)
    assert len({each.id for each in acquired.control}) == len(acquired.control)


def test_the_control_is_not_drawn_from_what_was_fetched_for_the_mistakes() -> None:
    texts = documents(*TELLING[:2], "Helium has two electrons.", *FILLER[:5])
    pools = Pools((question("helium"),))
    acquired = acquire([mistake("helium")], Corpus(texts, sought=3), pools, CONFIG, 1, count)
    assert {each.document for each in acquired.passages} <= {"d0", "d1", "d2"}
    assert acquired.control
    assert {each.document for each in acquired.control} <= {f"d{at}" for at in range(3, 8)}


def test_the_seed_moves_the_control_and_nothing_else() -> None:
    one, again, other = run(*GASES), run(*GASES), run(*GASES, seed=2)
    assert one == again
    assert one.passages == other.passages
    assert one.control != other.control


def test_a_corpus_that_knows_nothing_gives_nothing() -> None:
    acquired = run("neon", texts=FILLER)
    assert acquired == Acquired((), (), (), 0, 0)
    assert run() == Acquired((), (), (), 0, 0)


def test_a_hundred_mistakes_and_a_thousand_documents_take_less_than_a_second() -> None:
    texts = tuple(
        f"{gas} sample {at} came from mine {at % 37}. " + TELLING[at % 12] + FILLER[at % 40]
        for at in range(1000)
        for gas in (GASES[at % 6],)
    )
    held = tuple(
        question(str(at), "In which year did king {} cross the Rhine?") for at in range(30)
    )
    pools = Pools(tuple(question(gas) for gas in GASES), held)
    asked = [mistake(GASES[at % 6]) for at in range(100)]
    corpus = Corpus(documents(*texts))
    config = CONFIG.model_copy(update={"passages": 4, "passage_tokens": 60})
    started = time.process_time()
    acquired = acquire(asked, corpus, pools, config, 1, count)
    assert acquired.passages
    assert time.process_time() - started < 2


def test_nothing_depends_on_the_hash_seed() -> None:
    code = "from tests.knowledge.test_acquire import GASES, run\nprint(run(*GASES))"
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    ]
    assert printed[0] == printed[1]
    assert "Passage(" in printed[0]


def test_copies_that_contradict_each_other_are_all_left_out() -> None:
    told = (
        "In 1898 the chemist Ramsay isolated neon from liquid air in London.",
        "In 1889 the chemist Ramsay isolated neon from liquid air in London.",
    )
    acquired = run("neon", texts=(*told, TELLING[3], *FILLER))
    assert [each.document for each in acquired.passages] == ["d2"]
    assert [(each.document, each.reason) for each in acquired.dropped] == [
        ("d0", "disagreement"),
        ("d1", "disagreement"),
    ]
    assert {each.detail for each in acquired.dropped} == {"number, 1898 against 1889"}


def test_a_domain_gives_no_more_than_it_may() -> None:
    hosts = ("a.arle.co.uk", "b.arle.co.uk", "c.org", "arle.co.uk")
    told = ("Ramsay isolated neon", "A chemist found neon", "Neon was isolated", "Air holds neon")
    texts = tuple(
        Document(host, text, "", f"https://{host}/page")
        for host, text in zip(hosts, told, strict=True)
    )
    settings = CONFIG.model_copy(update={"per_domain": 1, "passages": 4})
    pools = Pools(tuple(question(gas) for gas in GASES), ())
    found = acquire([mistake("neon")], Corpus(texts), pools, settings, 1, count)
    assert len(found.passages) == 2
    assert [each.reason for each in found.dropped] == ["domain", "domain"]
    assert {each.detail for each in found.dropped} == {"arle.co.uk has given 1"}


def test_every_passage_tells_where_it_is_from_and_what_it_has_passed() -> None:
    (first, *_) = run("neon").passages
    assert first.digest == sha256(first.text.encode()).hexdigest()  # it fits whole
    assert first.passed[0] == "relevance" and "decontamination" in first.passed
    (drawn, *_) = run("neon").control
    assert drawn.passed == first.passed[1:]
