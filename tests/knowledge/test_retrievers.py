"""Every source behind one interface: combined with quotas, and of the user's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from cem_lightning.errors import UserError
from cem_lightning.knowledge.acquire import Acquired, acquire
from cem_lightning.knowledge.config import (
    CombinedKnowledge,
    CustomKnowledge,
    KnowledgeConfig,
    joined,
    parted,
)
from cem_lightning.knowledge.corpora import Corpus, Unfetched
from cem_lightning.knowledge.records import Document
from cem_lightning.knowledge.retrievers import retriever_of
from cem_lightning.mistakes.records import Mistake
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import Question
from tests.knowledge.settings import FILTERS
from tests.workspace import compose_config

NEON = Question("neon", "Which chemist isolated neon from air?", ("Ramsay", "Curie"), 0, "neon")


class Notes:
    """A retriever of one's own: a text for every phrase, one that did not come, and one more."""

    def __init__(self, config: CustomKnowledge, greeting: str) -> None:
        self._config = config
        self._greeting = greeting

    def known(self) -> Corpus:
        return Corpus(())

    def gather(
        self,
        queries: Sequence[Sequence[str]],
        count_tokens: Callable[[str], int],
        served: Callable[[int, str], None],
        *,
        unit: str = "mistakes",
        control: bool = True,
    ) -> Corpus:
        served(len(queries), "")
        found = [
            Document(word, f"{self._greeting}: Ramsay isolated neon from air, {word} he said.")
            for word in ("gladly", "quickly", "slowly", "calmly", "proudly", "quietly")
        ]
        beside = Document("beside", "The river flows past the town and into the sea.")
        return Corpus((*found, beside), len(found), (Unfetched("gone", "status", "404"),))


def custom(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    return {
        "retriever": "custom",
        "target": "tests.knowledge.test_retrievers:Notes",
        "options": {"greeting": "Hear"},
        "cache": str(tmp_path / "cache"),
        **FILTERS,
        **changes,
    }


def config_of(values: dict[str, Any]) -> KnowledgeConfig:
    adapter: TypeAdapter[KnowledgeConfig] = TypeAdapter(KnowledgeConfig)
    return adapter.validate_python(values)


def combined(tmp_path: Path, **quotas: int) -> CombinedKnowledge:
    text = tmp_path / "notes"
    text.mkdir(exist_ok=True)
    for word in ("young", "old", "bright", "tall", "learned", "patient"):
        (text / f"{word}.txt").write_text(f"The {word} chemist Ramsay isolated neon from air.")
    found = config_of(
        {
            "retriever": "combined",
            "cache": str(tmp_path / "cache"),
            "contact": None,
            "searxng": None,
            **FILTERS,
            "passages": 5,
            "near_duplicate": 1.0,
            "sources": {
                "own": {
                    key: each for key, each in custom(tmp_path).items() if key not in FILTERS
                } | {"passages": quotas["own"]},
                "disk": {
                    "retriever": "local",
                    "corpus": str(text),
                    "column": "text",
                    "passages": quotas["disk"],
                },
            },
        }
    )  # fmt: skip
    assert isinstance(found, CombinedKnowledge)
    return found


def read(config: KnowledgeConfig) -> Acquired:
    notes: list[tuple[int, str]] = []

    def count(text: str) -> int:
        return len(text.split())

    def served(amount: int, note: str) -> None:
        notes.append((amount, note))

    mistake = Mistake(NEON, "wrong", 1, 0.3, ("chemist isolated neon", "ramsay"))
    corpus = retriever_of(config).gather([mistake.points], count, served)
    assert sum(amount for amount, _ in notes) == 1
    return acquire([mistake], corpus, Pools((NEON,), ()), config, 1, count)


def test_a_retriever_of_ones_own_is_found_by_its_name(tmp_path: Path) -> None:
    found = read(config_of(custom(tmp_path)))
    assert [each.text[:4] for each in found.passages] == ["Hear"] * 2
    assert [each.document for each in found.control] == ["beside"]
    assert [(each.document, each.reason, each.detail) for each in found.dropped][-1] == (
        "gone", "unfetched", "status: 404",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"target": "no_such_module:Notes"}, r"knowledge\.target: .*cannot be imported"),
        ({"target": "tests.knowledge.test_retrievers:Nothing"}, r"knowledge\.target: .*Nothing"),
        ({"options": {"greting": "x"}}, r"knowledge\.options: .*greting"),
    ],
)
def test_a_class_that_cannot_be_made_is_told_by_key(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        retriever_of(config_of(custom(tmp_path, **changes)))


class Broken:
    """A retriever that returns what it was made with."""

    def __init__(self, config: CustomKnowledge, found: str) -> None:
        texts = {"number": Corpus((Document("a", 5),)), "list": [1], "row": Corpus(("a",))}  # type: ignore[arg-type]
        self._found: Any = texts.get(found)

    def known(self) -> Corpus:
        return Corpus(())

    def gather(self, *_: Any, **__: Any) -> Any:
        return self._found


def test_what_a_changed_class_has_found_before_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    source = tmp_path / "own_notes.py"
    source.write_text("from tests.knowledge.test_retrievers import Notes as Base\n"
                      "class Notes(Base):\n    pass\n")  # fmt: skip
    config = config_of(custom(tmp_path, target="own_notes:Notes"))
    first = retriever_of(config).known().digest
    assert retriever_of(config).known().digest == first
    source.write_text(source.read_text() + "# changed\n")
    assert retriever_of(config).known().digest != first


@pytest.mark.parametrize(
    ("found", "told"),
    [("number", "Document"), ("list", "list"), ("row", "str"), ("none", "NoneType")],
)
def test_what_a_class_must_not_return_is_told(tmp_path: Path, found: str, told: str) -> None:
    target = "tests.knowledge.test_retrievers:Broken"
    broken = retriever_of(config_of(custom(tmp_path, target=target, options={"found": found})))
    with pytest.raises(UserError, match=rf"knowledge\.target: gather of .*Broken .*found {told}"):
        broken.gather([("neon",)], len, lambda *_: None)


@pytest.mark.parametrize(("own", "disk"), [(1, 4), (3, 1), (5, 5)])
def test_every_source_gives_at_most_its_quota(tmp_path: Path, own: int, disk: int) -> None:
    found = read(combined(tmp_path, own=own, disk=disk))
    sources = [each.source for each in found.passages]
    assert len(sources) == 5 if own + disk >= 5 else own + disk
    assert sources.count("own") <= own and sources.count("disk") <= disk
    assert all(each.document.startswith(f"{each.source}/") for each in found.passages)


def test_what_enters_a_key_is_not_how_sources_are_reached(tmp_path: Path) -> None:
    config = combined(tmp_path, own=1, disk=2)
    found, reached = parted(config)
    assert "cache" not in json.dumps(found) and "contact" not in found
    assert joined(json.loads(json.dumps(found)), json.loads(json.dumps(reached))) == config


def test_a_wrong_key_of_a_source_is_named(tmp_path: Path) -> None:
    values = combined(tmp_path, own=1, disk=2).model_dump()
    values["sources"]["own"]["tarrget"] = "x"
    with pytest.raises(ValidationError, match=r"sources\.own\.custom\.tarrget"):
        config_of(values)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["knowledge.sources.web.passages=0"], r"^knowledge\.sources\.web\.passages: .*greater"),
        (["+knowledge.sources.mine.retriever=local"], r"knowledge\.sources\.mine\.corpus: must be"),
        (["knowledge.languages=[]"], r"knowledge\.languages: .*at least 1"),
        (["knowledge.languages=[xx]"], r"knowledge\.languages: 'xx' is no language"),
    ],
)
def test_a_key_is_named_as_it_was_written(changes: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        compose_config("knowledge=wikipedia_and_web", *changes)
