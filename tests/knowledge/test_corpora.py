from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict
from rich.console import Console

from cem_lightning.errors import UserError
from cem_lightning.knowledge.config import LocalKnowledge
from cem_lightning.knowledge.corpora import read_corpus
from cem_lightning.reporting.progress import RichProgress
from tests.knowledge.settings import FILTERS
from tests.workspace import compose_config


def config(corpus: Path | str, cache: Path | None = None, column: str = "text") -> LocalKnowledge:
    return LocalKnowledge(
        retriever="local",
        corpus=str(corpus),
        column=column,
        cache=cache or Path(corpus).parent / ".cache",
        **FILTERS,
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
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "d.md").write_text("no")
    (tmp_path / "e.markdown").write_bytes("Grüße".encode("utf-16"))
    (tmp_path / "empty.txt").write_text("\n")
    documents = read_corpus(config(tmp_path)).documents
    assert [(each.id, each.text, each.title) for each in documents] == [
        ("b.txt", "B\nb", "b"),
        ("e.markdown", "Grüße", "e"),
        ("sub/a.md", "A", "A"),
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
        (b'\n{"text": "x", "text": "y"}', "line 2: the key 'text' stands twice in it"),
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
    with pytest.raises(UserError, match=r"a\.txt, line 2: byte 5 is not UTF-8"):
        read_corpus(config(tmp_path))


def test_a_name_that_is_no_utf_8_is_told_in_plain_characters(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.txt")).write_text("One.")
    except OSError:
        pytest.skip("this file system holds no such name")
    with pytest.raises(UserError, match=r"a\\xff\.txt .* its name is no UTF-8; rename it") as error:
        read_corpus(config(tmp_path))
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("c.txt", r"knowledge\.corpus: .*c\.txt: a single \.txt file is not read; give its folder"),
        ("c.MD", r"a single \.md file is not read; give its folder"),
        ("c.csv", r"\.csv is not read as a corpus; give a JSONL or Parquet file"),
        ("c.jsonl.gz", r"\.gz is not read; unpack it"),
        ("c.arrow", r"\.arrow is not read here; .*read_feather"),
    ],
)
def test_a_file_in_another_form_is_refused_by_its_ending(
    tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / name).write_bytes(b"text\n\xff\n" * 9)
    with pytest.raises(UserError, match=told) as error:
        read_corpus(config(tmp_path / name))
    assert "\n" not in str(error.value)


def test_a_folder_of_parquet_files_says_how_to_give_them(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        write_parquet(tmp_path / name, text=["One."])
    with pytest.raises(UserError, match="holds no text; its 2 Parquet files are read one at a"):
        read_corpus(config(tmp_path))


def test_an_empty_path_is_not_the_working_folder() -> None:
    with pytest.raises(UserError, match=r"knowledge\.corpus: .* at least 1 character"):
        compose_config("knowledge=local", "knowledge.corpus=''")


def test_a_misspelt_name_gets_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"knowledge\.corpus: .*did you mean 'elements'"):
        read_corpus(config("elemnts"))


def test_a_long_file_becomes_several_documents_of_whole_paragraphs(tmp_path: Path) -> None:
    told = [f"Paragraph {at} tells of hill {at} and of the river below it. " * 8 for at in range(9)]
    (tmp_path / "a.md").write_text("# Hills\n\n" + "\n\n".join(told))
    (tmp_path / "b.txt").write_text("\n \n".join(told))
    documents = read_corpus(config(tmp_path)).documents
    for name, title in (("a.md", "Hills"), ("b.txt", "b")):
        mine = [each for each in documents if each.origin == name]
        assert [each.id for each in mine] == [
            name,
            *(f"{name}#{at}" for at in range(2, len(mine) + 1)),
        ]
        assert len(mine) > 2
        assert all(each.title == title and len(each.text) <= 1500 for each in mine)
        text = "\n\n".join(each.text for each in mine)
        assert all(each.strip() in text for each in told)


MARKDOWN = """---
title: "The Gruk"
tags: [a, b]
---
# A heading

The **gruk** is *red*, see [its page](https://example.org/gruk) ![picture](g.png).
<!-- nobody reads this -->

- It lives in `Arle`.
- It eats 2 * 3 \\* 4 leaves.

| year | name |
|------|------|
| 1898 | Ada  |

```python
print("gruk")
```
"""


def test_markdown_is_read_as_its_reader_sees_it(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(MARKDOWN)
    (document,) = read_corpus(config(tmp_path)).documents
    assert document.title == "The Gruk"
    assert document.text == (
        "A heading\n\nThe gruk is red, see its page .\n\nIt lives in Arle.\n\n"
        'It eats 2 * 3 * 4 leaves.\n\nyear, name\n\n1898, Ada\n\nprint("gruk")'
    )


def test_a_rule_at_the_top_of_markdown_is_no_front_matter(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("---\nOne thing.\n\n---\n\n## Second\n\nAnother.\n")
    (document,) = read_corpus(config(tmp_path)).documents
    assert (document.title, document.text.split("\n\n")[-1]) == ("Second", "Another.")
    assert "One thing." in document.text


def write_parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_gives_documents_and_other_columns_are_ignored(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "c.parquet",
        text=pa.array([" One. ", None, "Two."]).dictionary_encode(),
        id=pa.array(["a", None, None], pa.large_string()),
        title=["T", None, None],
        embedding=[[1.0], [2.0], [3.0]],
    )
    first, second = read_corpus(config(path)).documents
    assert (first.id, first.text, first.title) == ("a", "One.", "T")
    assert (second.id, second.text, second.title) == ("c.parquet:3", "Two.", "")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"txet": ["x"], "id": ["a"]}, "no column 'text'; did you mean 'txet'.* 'txet', 'id'"),
        ({"text": [3]}, "the column 'text' holds int64; make it a column of strings"),
        ({"text": ["x"], "id": [3]}, "the column 'id' holds int64; .* or leave it out"),
        ({"text": ["x", "y"], "id": ["a", "a"]}, "row 2: the id 'a' is already that of row 1"),
        ({"text": ["", None]}, "holds no text"),
    ],
)
def test_bad_parquet_is_named_by_column_and_row(
    tmp_path: Path, columns: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        read_corpus(config(write_parquet(tmp_path / "c.parquet", **columns)))


def test_a_parquet_file_that_is_none_is_refused(tmp_path: Path) -> None:
    whole = write_parquet(tmp_path / "c.parquet", text=["x" * 999]).read_bytes()
    for content in (b"", b'{"text": "x"}', whole[:-20], whole[:40] + b"\0" * 40 + whole[80:]):
        (tmp_path / "c.parquet").write_bytes(content)
        with pytest.raises(UserError, match=r"c\.parquet cannot be read as Parquet"):
            read_corpus(config(tmp_path / "c.parquet"))


PAGE = """<html><head><title>The Gruk</title></head><body>
<nav><a href="/">Home</a> <a href="/about">About us</a></nav>
<article><h1>The Gruk</h1><p>The gruk lives in the hills of Arle and eats leaves in summer.</p>
<p>In winter it sleeps below the roots of old oaks, as all gruks do.</p></article>
<footer>Copyright 2020, all rights reserved</footer></body></html>"""


def test_html_is_read_without_its_menus_and_footers(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE)
    (tmp_path / "empty.htm").write_text("<html><body></body></html>")
    documents = read_corpus(config(tmp_path)).documents
    assert [(each.id, each.title) for each in documents] == [("a.html", "The Gruk")]
    assert documents[0].text == (
        "The Gruk\n\nThe gruk lives in the hills of Arle and eats leaves in summer.\n\n"
        "In winter it sleeps below the roots of old oaks, as all gruks do."
    )


def test_html_is_read_in_the_encoding_it_names(tmp_path: Path) -> None:
    page = '<html><head><meta charset="iso-8859-1"></head><body><p>Größe zählt.</p></body></html>'
    (tmp_path / "old.html").write_bytes(page.encode("iso-8859-1"))
    assert "Größe zählt." in read_corpus(config(tmp_path)).documents[0].text


def test_texts_may_stand_in_another_column(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"body": "One."}\n')
    (document,) = read_corpus(config(path, column="body")).documents
    assert document.text == "One."


# what is not read counts too
LARGE = (json.dumps({"text": "", "more": "x" * 2**23}) + "\n") * 2


@pytest.mark.invariant
def test_a_large_corpus_is_kept_on_disk_and_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    rows = [{"text": f"Text {at} tells of hill {at}. " * 40, "title": f"T{at}"} for at in range(99)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    small = read_corpus(config(path)).documents
    with path.open("a") as file:
        file.write(LARGE)
    told = io.StringIO()
    progress = RichProgress(Console(file=told, width=120))
    corpus = read_corpus(config(path, tmp_path / "cache"), progress)
    assert list((tmp_path / "cache" / "corpora").iterdir())
    assert "read the corpus, once: done, 99 documents" in told.getvalue()
    assert "index the corpus, once: done" in told.getvalue()
    assert tuple(corpus.documents) == small and corpus.documents[7] == small[7]
    once = told.getvalue()
    again = read_corpus(config(path, tmp_path / "cache"), progress)
    assert told.getvalue() == once
    assert again.digest == corpus.digest and len(again.documents) == len(small)
    settings = config(path)
    (hits,) = again.index(settings).search(["hill 7"], 3)
    assert hits == read_corpus(settings).index(settings).search(["hill 7"], 3)[0]


@pytest.mark.parametrize("name", ["documents.arrow", "corpus.json", "bm25/vocab.index.json"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("{}")])
def test_what_is_kept_of_a_corpus_and_was_damaged_is_made_anew(
    tmp_path: Path, name: str, damage: Callable[[Path], object]
) -> None:
    path = tmp_path / "c.jsonl"
    rows = [{"text": f"Text {at} tells of hill {at}."} for at in range(9)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + LARGE)
    settings = config(path, tmp_path / "cache")
    corpus = read_corpus(settings)
    digest, documents = corpus.digest, tuple(corpus.documents)
    hits = corpus.index(settings).search(["hill 7"], 3)
    (kept,) = (tmp_path / "cache" / "corpora").glob(f"*/{name}")
    damage(kept)
    again = read_corpus(settings)
    assert again.digest == digest and tuple(again.documents) == documents
    assert again.index(settings).search(["hill 7"], 3) == hits


def test_a_cache_in_which_nothing_can_be_kept_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    (tmp_path / "c.jsonl").write_text('{"text": "a"}\n' + LARGE)
    with pytest.raises(UserError, match=r"knowledge\.cache: .*cache cannot be written"):
        read_corpus(config(tmp_path / "c.jsonl", tmp_path / "cache"))


def test_a_pipe_is_no_corpus(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"pipe is no file or folder"):
        read_corpus(config(tmp_path / "pipe"))


def test_a_large_corpus_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    with path.open("w") as file:
        file.write(LARGE + '{"text": 3}\n')
    for _ in range(2):
        with pytest.raises(UserError, match="'text' is not text"):
            read_corpus(config(path, tmp_path / "cache"))
    assert not [each for each in (tmp_path / "cache" / "corpora").iterdir() if each.is_dir()]


def test_a_data_set_that_was_saved_is_read_by_its_column(tmp_path: Path) -> None:
    rows = {
        "body": ["One.", "", "Two.\n\n" + "Long. " * 400, None],
        "title": ["T", "", None, ""],
        "url": ["https://example.org/1", "", None, ""],
    }
    table = Dataset.from_dict(rows)
    table.save_to_disk(tmp_path / "one")
    DatasetDict(train=table, other=table.select([0])).save_to_disk(tmp_path / "two")
    for corpus in (tmp_path / "one", f"datasets:{tmp_path / 'two'}"):
        found = read_corpus(config(corpus, tmp_path / "cache", column="body")).documents
        assert [(each.id, each.title) for each in found] == [("0", "T"), ("2", ""), ("2#2", "")]
        assert found[0].origin == "https://example.org/1" and "row 2" in found[1].origin
    (only,) = read_corpus(
        config(f"{tmp_path / 'two'}#other", tmp_path / "cache", column="body")
    ).documents
    assert only.text == "One."


@pytest.mark.parametrize(
    ("corpus", "column", "told"),
    [
        ("two#nothing", "body", "no split 'nothing'; it has train"),
        ("two", "bodi", r"knowledge\.column: .*did you mean 'body'"),
        ("two", "empty", "holds no text in the column 'empty'"),
        ("broken", "body", "cannot be loaded"),
    ],
)
def test_a_data_set_that_cannot_be_used_says_why(
    tmp_path: Path, corpus: str, column: str, told: str
) -> None:
    table = Dataset.from_dict({"body": ["One."], "empty": [""]})
    DatasetDict(train=table).save_to_disk(tmp_path / "two")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "state.json").write_text("{}")
    with pytest.raises(UserError, match=told):
        read_corpus(config(f"{tmp_path}/{corpus}", tmp_path / "cache", column=column))


def test_a_data_set_that_is_nowhere_is_told_with_the_forms_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be loaded; give datasets:ID"):
        read_corpus(config("datasets:no-such/data-set", tmp_path / "cache"))
