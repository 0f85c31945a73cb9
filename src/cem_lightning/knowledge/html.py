"""The main text of a page of HTML, without menus, comments and footers, by `trafilatura`.

Precision before recall: what is left out is not trained on.
"""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import dataclass
from typing import Any

SUFFIXES = (".html", ".htm", ".xhtml")


@dataclass(frozen=True)
class PageText:
    """What a reader of a page reads.

    Attributes:
        blocks: paragraphs and headings in order; none if no main text is found.
        licence: as the page links or words it, "" if it does not.
    """

    title: str
    blocks: tuple[str, ...]
    licence: str


def page_text(html: str) -> PageText:
    """The main text of a page, with its title and licence."""
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it reports every odd page
    # NULs and the like are no text, and lxml refuses them
    clean = "".join(each if each.isprintable() or each in "\n\t" else " " for each in html)
    found: Any = trafilatura.bare_extraction(
        clean,
        with_metadata=True,
        include_comments=False,
        include_tables=False,
        favor_precision=True,
    )
    text = unicodedata.normalize("NFC", (found and found.text) or "")
    blocks = tuple(line.strip() for line in text.splitlines() if line.strip())
    if found is None:
        return PageText("", (), "")
    return PageText(found.title or "", blocks, found.license or "")
