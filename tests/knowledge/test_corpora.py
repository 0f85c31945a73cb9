from __future__ import annotations

import json
from pathlib import Path

import pytest

from cem_lightning.errors import UserError
from cem_lightning.knowledge.config import KnowledgeConfig
from cem_lightning.knowledge.corpora import read_corpus


def config(corpus: Path | str) -> KnowledgeConfig:
    return KnowledgeConfig(
        corpus=str(corpus),
        passages=1,
        passage_tokens=50,
        min_score=0,
        near_duplicate=0.8,
        leak_threshold=0.1,
    )


def test_jsonl_gives_documents_with_what_is_known_of_them(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    rows = [
        {"text": "  One. ", "id": "a", "title": "T", "origin": "O", "licence": "L", "more": 1},
        {"text": " "},
        {"text": "Two.", "title": None},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = read_corpus(config(path)).documents
    assert (first.id, first.text, first.title, first.origin, first.licence) == (
        "a",
        "One.",
        "T",
        "O",
        "L",
    )
    assert (second.id, second.text, second.title) == ("c.jsonl:3", "Two.", "")


def test_a_folder_gives_its_text_files_in_a_fixed_order_with_relative_names(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.md").write_text("# A")
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfB\r\nb")
    (tmp_path / "c.pdf").write_text("no")
    (tmp_path / "empty.txt").write_text("\n")
    documents = read_corpus(config(tmp_path)).documents
    assert [(each.id, each.text, each.title) for each in documents] == [
        ("b.txt", "B\nb", "b"),
        ("sub/a.md", "# A", "a"),
    ]


def test_the_digest_is_of_the_content_and_not_of_the_place(tmp_path: Path) -> None:
    digests = []
    for name, text in (("one", "x"), ("two", "x"), ("three", "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(text)
        digests.append(read_corpus(config(tmp_path / name)).digest)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "c.jsonl is empty"),
        (b'{"text": " "}\n', "holds no text"),
        (b'{"text": "x"}\n{"txet": "x"}\n', "line 2: 'text' is missing; did you mean 'txet'"),
        (b'{"text": 3}\n', "line 1: 'text' is not text"),
        (b'{"text": "x", "title": 3}\n', "line 1: 'title' is not text"),
        (b'{"text": "x"\n', "line 1: malformed JSON"),
        (b'{"text": "\xe9"}\n', "line 1: byte 11 is not UTF-8"),
        (b'{"text": "x", "id": "a"}\n' * 2, "line 2: the id 'a' is already that of line 1"),
    ],
)
def test_a_bad_file_is_named_by_line_and_key(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=told):
        read_corpus(config(path))


def test_folders_without_text_and_with_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no text"):
        read_corpus(config(tmp_path))
    (tmp_path / "a.txt").write_bytes(b"one\ntwo \xe9\n")
    with pytest.raises(UserError, match=r"a\.txt, line 2: not UTF-8"):
        read_corpus(config(tmp_path))


def test_a_misspelt_name_gets_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"knowledge\.corpus: .*did you mean 'elements'"):
        read_corpus(config("elemnts"))
