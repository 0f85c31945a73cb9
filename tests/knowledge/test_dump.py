"""The dump of a Wikipedia as a corpus: what becomes text, what is left out, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import os
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from cem_lightning.errors import UserError
from cem_lightning.knowledge import corpora, dump
from cem_lightning.knowledge.articles import article_documents
from cem_lightning.knowledge.config import LocalKnowledge
from cem_lightning.knowledge.corpora import read_corpus
from cem_lightning.knowledge.records import Document
from tests.knowledge.settings import FILTERS

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <base>https://de.wikipedia.org/wiki/Wikipedia:Hauptseite</base>
    <namespaces><namespace key="0" /><namespace key="6">Datei</namespace></namespaces>
  </siteinfo>
"""
TAIL = "</mediawiki>\n"
HELIUM = """{{Short description|A gas}}{{Infobox element|name=Helium|a={{b|c}}}}
'''Helium''' (from {{langx|el|ἥλιος}}; {{IPA|x}}) is a [[chemical element]] with
[[Atomic number|atomic number 2]].<ref name="a">{{cite web|url=http://x|title=y}}</ref> It boils at
{{convert|-268.9|C}}.&nbsp;Its symbol is ''He''&#32;({{IPA|he}}). <!-- a note -->
[[Datei:He.jpg|thumb|A [[tube]] of it]] It makes [http://x.org balloons] rise.<br />__NOTOC__
{| class="wikitable"
| a cell
|}

== History ==
* It was found in {{nowrap|1868}} by [[Pierre Janssen]] in the [[:Category:Sun|sun]].
* It is light.
<gallery>Datei:a.jpg|x</gallery>
=== Name ===
H<sub>2</sub>O and <math>E=mc^2</math> are other things. [[Category:Elements]]

== References ==
{{reflist}}
Left out.
"""


def page(number: int, title: str, text: str, ns: int = 0, more: str = "") -> str:
    return f"""  <page><title>{escape(title)}</title><ns>{ns}</ns><id>{number}</id>{more}
    <revision><id>{number + 100}</id><contributor><id>7</id></contributor><model>wikitext</model>
      <text xml:space="preserve">{escape(text)}</text></revision></page>
"""


def written(path: Path, *pages: str) -> Path:
    content = (HEAD + "".join(pages) + TAIL).encode()
    match path.suffix:
        case ".bz2":  # of several streams, as the dumps are that have an index
            half = len(content) // 2
            path.write_bytes(bz2.compress(content[:half]) + bz2.compress(content[half:]))
        case ".gz":
            path.write_bytes(gzip.compress(content))
        case _:
            path.write_bytes(content)
    return path


def config(corpus: Path) -> LocalKnowledge:
    return LocalKnowledge(
        retriever="local",
        corpus=str(corpus),
        column="text",
        cache=corpus.parent / ".cache",
        **FILTERS,
    )


def read(corpus: Path) -> list[Document]:
    return list(read_corpus(config(corpus)).documents)


def test_an_article_becomes_its_sentences_with_permanent_links(tmp_path: Path) -> None:
    lead, history, name = read(written(tmp_path / "w.xml", page(1, "Helium & co", HELIUM)))
    assert lead.text == (
        "Helium (from ἥλιος) is a chemical element with atomic number 2. It boils at -268.9 C. "
        "Its symbol is He. It makes balloons rise."
    )
    assert (lead.title, lead.licence, lead.revision) == ("Helium & co", "CC BY-SA 4.0", "101")
    assert lead.origin == "https://de.wikipedia.org/w/index.php?title=Helium_%26_co&oldid=101"
    assert lead.id == "de.wikipedia.org/1@101#1"
    assert history.text == "It was found in 1868 by Pierre Janssen in the sun.\n\nIt is light."
    assert history.title == "Helium & co: History"
    assert name.text == "H2O and E=mc^2 are other things."


@pytest.mark.parametrize("name", ["w.xml", "w.xml.bz2", "w.XML.gz"])
def test_packed_or_not_only_articles_are_read(tmp_path: Path, name: str) -> None:
    dumped = written(
        tmp_path / name,
        page(
            1,
            "氦",
            "'''氦'''是-{H|zh-cn:x}-一种[[化学元素]],-{zh-hans:气体; zh-hant:氣體}-。-{甲}-",
        ),
        page(2, "He", "#REDIRECT [[Helium]]", more='<redirect title="Helium" />'),
        page(3, "Talk:Helium", "No.", ns=1),
        page(4, "Helium (disambiguation)", "Helium may mean:\n{{Disambiguation}}"),
        page(5, "Hydrogen", "'''Hydrogen''' is light."),
    )
    assert [each.text for each in read(dumped)] == [
        "氦是一种化学元素,气体。甲",
        "Hydrogen is light.",
    ]


def test_it_is_read_once_and_found_by_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [page(at, f"T{at}", f"Word{at} is a thing.") for at in range(1, 40)]
    dumped = written(tmp_path / "w.xml.bz2", *pages)
    read(dumped)
    monkeypatch.setattr(corpora, "dump_documents", None)  # asking it again would fail
    corpus = read_corpus(config(dumped))
    (hits,) = corpus.index(config(dumped)).search(["word17"], 1)
    assert [corpus.documents[hit.position].title for hit in hits] == ["T17"]


def test_any_number_of_processes_reads_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a single core")
    pages = [page(at, f"T{at}", HELIUM * 8) for at in range(1, 200)]
    dumped = written(tmp_path / "w.xml", *pages)
    assert dumped.stat().st_size > 2**20
    several = list(dump.dump_documents(dumped))
    monkeypatch.setattr(dump, "_cores", lambda: 1)
    assert several == list(dump.dump_documents(dumped))
    assert len({each.origin for each in several}) == 199


def test_damaged_files_and_other_xml_are_refused_with_a_remedy(tmp_path: Path) -> None:
    whole = written(tmp_path / "w.xml.bz2", page(1, "A", "A is a letter. " * 999)).read_bytes()
    for name, content in (
        ("half.xml.bz2", whole[: len(whole) // 2]),
        ("none.xml.gz", b"no gzip"),
        ("damaged.xml.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 99),
        ("open.xml", (HEAD + page(1, "A", "A is.")).encode()),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name} cannot be read to its end .*Fetch it again"):
            read(tmp_path / name)
    for content in ("<rss><channel /></rss>", "<mediawiki><page /></mediawiki>"):
        (tmp_path / "other.xml").write_text(content)
        with pytest.raises(UserError, match="no dump of a MediaWiki; give a file such as enwiki"):
            read(tmp_path / "other.xml")
    with pytest.raises(UserError, match="holds no text"):
        read(written(tmp_path / "empty.xml", page(1, "A", "{{stub}}")))


def test_a_number_beyond_all_ids_is_none(tmp_path: Path) -> None:
    huge = page(1, "B", "B is one.").replace("<id>1</id>", f"<id>{'9' * 6000}</id>")
    found = read(written(tmp_path / "w.xml", page(1, "A", "A is a letter."), huge))
    assert [each.text for each in found] == ["A is a letter."]


def test_entities_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    entity = f'<!DOCTYPE m [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>\n'
    text = page(1, "A", "A is a letter. B").replace("letter.", "letter. &x;")
    (tmp_path / "w.xml").write_text(entity + HEAD + text + TAIL)
    assert [each.text for each in read(tmp_path / "w.xml")] == ["A is a letter."]


@pytest.mark.timeout(60)  # a quadratic search would take many minutes
@pytest.mark.parametrize("filler", [" ", "\t", "( ", " ,", "\n ", "-{a ", "{{ a "])
def test_fillers_without_end_hold_nothing_up(filler: str) -> None:
    text = f"Helium is a gas.{filler * 100_000}It rises."
    assert dump.article_text(text).startswith("Helium is a gas.")
    for formula in ("", "\n  {\\displaystyle E}\n"):
        page = {"pageid": 1, "title": "Helium", "lastrevid": 1, "extract": formula + text}
        found = article_documents(page, "https://de.wikipedia.org/w/api.php")
        assert found[-1].text.endswith("It rises.")
