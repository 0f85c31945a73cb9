"""Articles of a Wikipedia as documents, from wherever they come: its API or a dump."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from cem_lightning.knowledge.records import Document
from cem_lightning.knowledge.splitting import packed

LICENCE = "CC BY-SA 4.0"

_HEADING = re.compile(r"(={2,6})\s*(.+?)\s*\1")
# What stands below holds no sentences.
_APPENDIX = re.compile(
    "bibliography|citations|external links|footnotes|further reading|notes|references|see also|"
    "sources|works cited|参考(文献|书目|资料)?|參考(文獻|書目|資料)?|参[见看]|參[見看]|"
    "外部(链接|連結)|延伸(阅读|閱讀)|注[释釋]|註[释釋]|脚注|腳註|相关条目|相關條目"
)
# A formula comes as its symbols one a line, then as TeX. What was read is not tried in another way,
# and there are bounds: else verses and blanks would be read again and again.
_FORMULA = re.compile(
    r"(?:\n[ \t]++[^\n{]*+){0,500}+\n?(?:(?<![ \t])[ \t]++)?"
    r"\{\\(?:display|text)style ([^\n]{0,4000})\}[ \t\n]*"
)


def article_documents(
    page: dict[str, Any], api: str, fetched: str = "", licence: str = LICENCE
) -> list[Document]:
    """An article as documents of a few paragraphs of one section.

    Args:
        page: "pageid", "title", "lastrevid" and the plain-text "extract" of the API.
        api: the api.php it comes from; beside it lies the index.php of permanent links.
        fetched: when it came, ISO 8601 in UTC.
    """
    title, text, revision = (page.get(key) for key in ("title", "extract", "lastrevid"))
    if not (isinstance(title, str) and isinstance(text, str) and isinstance(revision, int)):
        return []
    base = api.removesuffix("api.php")
    origin = f"{base}index.php?title={quote(title.replace(' ', '_'))}&oldid={revision}"
    found = [
        (f"{title}: {heading}" if heading else title, piece)
        for heading, lines in _sections(text)
        for piece in packed(lines)
    ]
    name = f"{urlsplit(api).hostname}/{page['pageid']}@{revision}"
    return [
        Document(f"{name}#{at}", piece, heading, origin, licence, fetched, str(revision))
        for at, (heading, piece) in enumerate(found, start=1)
    ]


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """Headings of a plain-text extract, "" for the lead, with their paragraphs."""
    text = unicodedata.normalize("NFC", text)
    if "{\\" in text:
        text = _FORMULA.sub(r" \1 ", text)
    sections: list[tuple[str, list[str]]] = [("", [])]
    skipped = 0
    for line in filter(None, (" ".join(each.split()) for each in text.splitlines())):
        if match := _HEADING.fullmatch(line):
            level = len(match[1])
            if not skipped or level <= skipped:
                skipped = level if _APPENDIX.fullmatch(match[2].casefold()) else 0
            sections.append((match[2], []))
        elif not skipped:
            sections[-1][1].append(line)
    yield from ((heading, lines) for heading, lines in sections if lines)
