"""A dump of a Wikipedia as documents, for volume: the XML files of dumps.wikimedia.org.

Streams: of a dump of any size a few pages are in memory. What an article says is taken out of its
wikitext; which paragraphs make a document is as for articles of the API (`articles`).
"""

from __future__ import annotations

import bz2
import gzip
import os
import re
import signal
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cem_lightning.errors import UserError
from cem_lightning.knowledge.articles import LICENCE, article_documents
from cem_lightning.knowledge.records import Document

_OPEN: dict[str, Callable[[Path], Any]] = {
    ".xml": lambda path: path.open("rb"),
    ".bz2": bz2.BZ2File,
    ".gz": gzip.GzipFile,
}
_ALONE = 2**20  # bytes of a dump for which no other process is worth its start
_BATCH = 16  # pages that a process is given at once
_DIGITS = 20  # no id has as many
_AHEAD = 4  # batches a process that wait

# Localised names of namespaces come from the dump; these hold in every wiki.
_FILES = frozenset(("file", "image", "media", "category"))
_DISAMBIGUATION = re.compile(
    r"__DISAMBIG__|\{\{\s*+(?:template:)?(?:[\w\s-]{0,99}disambig|dab\b|hndis|geodis|begriffsklärung"
    r"|homonymie|desambigua|消歧[义義])",
    re.I,
)
_ITEMS = frozenset(("li", "dd", "dt"))  # whose text follows the tag that stands for *, : or ;
_BLANK_LINE = re.compile(r"\n\s*\n")
_SWITCH = re.compile(r"__[A-Z]+__")  # such as __NOTOC__
# -{A}- and -{zh-hans:A; zh-hant:B}- are for converters of script; the first is what is written
_CONVERTED = re.compile(r"-\{(?:([^{}|]*)\|)?(?:[\w\s-]+:)?([^{}|;]*+)[^{}|]*+\}-")
# what is left of a parenthesis that held templates alone
_BLANKS = r"(?:(?<![ \t])[ \t]+)?"  # as many as there are, tried once
_HOLLOW = re.compile(rf"{_BLANKS}[(（][\s,;，；]*[)）]")
_AJAR = re.compile(rf"(?<=[(（])[\s,;，；]+|{_BLANKS}[,;，；][ \t]*(?=[)）])")


@dataclass(frozen=True)
class _Page:
    id: int
    title: str
    revision: int
    wikitext: str


@dataclass(frozen=True)
class _Wiki:
    """What a dump says of the wiki.

    Attributes:
        prefixes: names of namespaces in lower case, of which links are no text.
    """

    address: str
    prefixes: frozenset[str]


def is_dump(path: Path) -> bool:
    """Whether a file's name is that of a dump: .xml, .xml.bz2 or .xml.gz."""
    return path.suffix.lower() == ".xml" or (
        path.suffix.lower() in _OPEN and path.with_suffix("").suffix.lower() == ".xml"
    )


def dump_documents(path: Path) -> Iterator[Document]:
    """The articles of a dump in its order, each as documents of some paragraphs of one section.

    Redirects, pages of other namespaces and lists of meanings are left out. Articles are read in as
    many processes as there are cores; the documents are the same with any number.

    Raises:
        UserError: if the file is damaged or no dump of a MediaWiki.
    """
    wiki, pages = _opened(path)
    batches = iter(lambda: list(islice(pages, _BATCH)), [])
    cores = _cores()
    if cores == 1 or path.stat().st_size < _ALONE:
        for batch in batches:
            yield from _documents(batch, wiki)
    else:
        yield from _in_processes(batches, wiki, cores)


def article_text(wikitext: str, prefixes: frozenset[str] = _FILES) -> str:
    """The sentences of an article, a paragraph or item of a list a line, ``== Heading ==`` too.

    Tables, references, files, galleries and templates are left out, but for templates that stand
    for words of a sentence (`_words_of`).

    Args:
        prefixes: names of namespaces in lower case, of which links are no text.
    """
    import mwparserfromhell

    wikitext = _CONVERTED.sub(_converted, _SWITCH.sub("", wikitext))
    text = _text(mwparserfromhell.parse(wikitext), prefixes)
    text = _AJAR.sub("", _HOLLOW.sub("", text))
    paragraphs = (" ".join(each.split()) for each in _BLANK_LINE.split(text))
    return "\n".join(filter(None, paragraphs))


def _in_processes(
    batches: Iterator[list[_Page]], wiki: _Wiki, processes: int
) -> Iterator[Document]:
    """The documents of all batches in their order; few batches lie in memory at a time."""
    context = get_context("spawn")  # a fork would copy the threads' locks of what is loaded
    with ProcessPoolExecutor(processes, context, _uninterrupted) as pool:
        read: deque[Future[list[Document]]] = deque()
        for batch in batches:
            read.append(pool.submit(_documents, batch, wiki))
            if len(read) > _AHEAD * processes:
                yield from read.popleft().result()
        while read:
            yield from read.popleft().result()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _uninterrupted() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the others


def _opened(path: Path) -> tuple[_Wiki, Iterator[_Page]]:
    events = _elements(path)
    first = next(events, None)
    base = urlsplit("" if first is None else first.findtext("{*}base") or "")
    if first is None or not base.hostname:
        raise UserError(
            f"knowledge.corpus: {path} is XML, but no dump of a MediaWiki; give a file such as "
            "enwiki-latest-pages-articles.xml.bz2 of https://dumps.wikimedia.org, or JSONL."
        )
    named = (each.text for each in first.iterfind("{*}namespaces/{*}namespace"))
    prefixes = _FILES | {each.casefold() for each in named if each}
    return _Wiki(f"{base.scheme}://{base.hostname}/w/api.php", prefixes), _articles(events)


def _elements(path: Path) -> Iterator[Any]:
    """What a dump says of its wiki, then its pages; each is forgotten as the next is asked for."""
    from lxml import etree

    wanted = ("{*}siteinfo", "{*}page")
    try:
        with _OPEN[path.suffix.lower()](path) as file:
            for _, element in etree.iterparse(
                file, tag=wanted, resolve_entities=False, no_network=True
            ):
                yield element
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
    except (etree.XMLSyntaxError, EOFError, OSError, zlib.error) as error:
        raise UserError(
            f"knowledge.corpus: {path} cannot be read to its end ({error}); it is damaged or came "
            "in part. Fetch it again and compare its checksum with that of the dump's page."
        ) from error


def _articles(pages: Iterator[Any]) -> Iterator[_Page]:
    for page in pages:
        revision = page.find("{*}revision[last()]")
        if page.findtext("{*}ns") != "0" or page.find("{*}redirect") is not None:
            continue
        if revision is None or revision.findtext("{*}model") not in (None, "wikitext"):
            continue
        text = revision.findtext("{*}text") or ""
        title = page.findtext("{*}title") or ""
        ids = [each.findtext("{*}id") or "" for each in (page, revision)]
        if title and all(map(_is_number, ids)) and not _DISAMBIGUATION.search(text):
            yield _Page(int(ids[0]), title, int(ids[1]), text)


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < _DIGITS


def _documents(pages: Sequence[_Page], wiki: _Wiki) -> list[Document]:
    from mwparserfromhell.parser import ParserError

    found: list[Document] = []
    licence = LICENCE if (urlsplit(wiki.address).hostname or "").endswith(".wikipedia.org") else ""
    for page in pages:
        told = {"pageid": page.id, "title": page.title, "lastrevid": page.revision}
        try:
            told["extract"] = article_text(page.wikitext, wiki.prefixes)
        except ParserError:  # its own fault, as it says; an article in millions
            continue
        found += article_documents(told, wiki.address, licence=licence)
    return found


def _converted(match: re.Match[str]) -> str:
    hidden = set((match[1] or "").replace(" ", "").upper()) & {"H", "T", "-"}  # rules, titles
    return "" if hidden else match[2].strip()


def _text(code: Any, prefixes: frozenset[str]) -> str:
    return "".join(_told(node, prefixes) for node in code.nodes)


def _told(node: Any, prefixes: frozenset[str]) -> str:
    """What a reader sees of a node as part of a sentence."""
    from mwparserfromhell import nodes
    from mwparserfromhell.definitions import is_visible

    match node:
        case nodes.Text():
            return str(node.value)
        case nodes.Wikilink():
            prefix, colon, _ = str(node.title).partition(":")
            if colon and prefix.strip().casefold() in prefixes:
                return ""
            return _text(node.title if node.text is None else node.text, prefixes).lstrip(":")
        case nodes.ExternalLink():
            return "" if node.title is None else _text(node.title, prefixes)
        case nodes.HTMLEntity():
            return str(node.normalize())
        case nodes.Heading():
            marks = "=" * node.level
            return f"\n\n{marks} {_text(node.title, prefixes).strip()} {marks}\n\n"
        case nodes.Template():
            return _words_of(node, prefixes)
        case nodes.Tag():
            tag = str(node.tag).strip().casefold()
            if tag == "br":
                return " "
            if tag in _ITEMS and node.wiki_markup:
                return "\n\n"
            if tag == "math":
                return str(node.contents)
            if tag == "table" or not is_visible(tag) or node.contents is None:
                return ""
            return _text(node.contents, prefixes)
    return ""  # comments and arguments


def _words_of(template: Any, prefixes: frozenset[str]) -> str:
    """What a template stands for within a sentence; "" for infoboxes, notes and all others."""
    name = str(template.name).strip().casefold()
    given = [_text(each.value, prefixes).strip() for each in template.params if not each.showkey]
    if name in ("nowrap", "nobr", "abbr") and given:
        return given[0]
    if name in ("lang", "langx") and len(given) > 1:
        return given[1]
    if name in ("convert", "cvt") and len(given) > 1:
        return f"{given[0]} {given[1]}"
    return ""
