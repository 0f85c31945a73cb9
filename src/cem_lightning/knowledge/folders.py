"""A folder of text, Markdown and HTML files as documents, with every file that cannot be read.

Long files become several documents; what is searched in them is the business of `bm25`.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cem_lightning.knowledge.fetching.pages import decoded
from cem_lightning.knowledge.html import SUFFIXES as HTML
from cem_lightning.knowledge.html import page_text
from cem_lightning.knowledge.markdown import plain_blocks
from cem_lightning.knowledge.records import Document
from cem_lightning.knowledge.splitting import LONGEST, packed, paragraphs
from cem_lightning.questions.lines import lines

MARKDOWN = (".md", ".markdown")
SUFFIXES = (".txt", *MARKDOWN, *HTML)


def folder_documents(folder: Path, problems: list[str]) -> Iterator[Document]:
    """The documents below a folder by relative path; what begins with a dot is a program's own.

    Args:
        problems: receives what cannot be read.
    """
    for path in sorted(folder.rglob("*"), key=lambda each: each.relative_to(folder).as_posix()):
        relative = path.relative_to(folder)
        if _is_hidden(relative) or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        name = os.fsencode(relative).decode("utf-8", "backslashreplace")
        if name != str(relative):  # ids and origins are written down in UTF-8
            problems.append(f"the file {name} of knowledge.corpus: its name is no UTF-8; rename it")
            continue
        text = _text(path, problems)
        if text is not None:
            yield from _documents(relative.as_posix(), path, text)


def unread_files(corpus: str) -> dict[str, int]:
    """How many files below a folder are of kinds that are not read, by the ends of their names.

    Args:
        corpus: as `knowledge.corpus` names it; what is no folder has none.
    """
    folder = Path(corpus).expanduser()
    endings = Counter(
        path.suffix.lower() or "without ending"
        for path in (folder.rglob("*") if folder.is_dir() else ())
        if path.is_file()
        and path.suffix.lower() not in SUFFIXES
        and not _is_hidden(path.relative_to(folder))
    )
    return dict(endings.most_common())


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _text(path: Path, problems: list[str]) -> str | None:
    """A file's text, or None and one problem more."""
    if path.suffix.lower() in HTML and (page := _page(path)) is not None:
        return page
    read: list[str] = []
    before = len(problems)
    for line in lines(path, "knowledge.corpus", problems, "text"):
        if line.problem is not None:
            problems.append(f"{path}, line {line.number}: {line.problem}")
            return None
        read.append(line.text.removesuffix("\r"))
    return "\n".join(read) if len(problems) == before else None


def _page(path: Path) -> str | None:
    """A page in the encoding that it names, as a browser reads it; None if there is none."""
    try:
        return decoded(path.read_bytes(), None)
    except OSError:
        return None  # told by whoever reads its lines


def _documents(name: str, path: Path, text: str) -> list[Document]:
    text = unicodedata.normalize("NFC", text).strip()
    title = licence = ""
    if path.suffix.lower() in MARKDOWN:
        title, blocks = plain_blocks(text)
        text = "\n\n".join(blocks)
    elif path.suffix.lower() in HTML:
        page = page_text(text)
        title, licence, text = page.title, page.licence, "\n\n".join(page.blocks)
    texts = [text] if len(text) <= LONGEST else packed(paragraphs(text))
    return [
        Document(f"{name}#{at}" if at > 1 else name, each, title or path.stem, name, licence)
        for at, each in enumerate(texts, start=1)
        if each
    ]
