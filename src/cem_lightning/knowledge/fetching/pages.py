"""A page as it came, or why it did not; and its text, whatever its encoding."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Reason = Literal[
    "address", "robots", "crawl_delay", "status", "type", "size", "redirects", "unreadable",
    "unreachable", "budget",
]  # fmt: skip

TYPES = ("text/html", "application/xhtml+xml", "text/plain", "text/markdown")

_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.I)
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))

# Every second file is text in these, of characters that hardly anyone has ever seen together.
_UNMARKED = ["utf_7", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le"]


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes:
        url: that was asked for.
        address: that it came from, after all redirects.
        type: its media type, one of `TYPES`.
        fetched: when, ISO 8601 in UTC.
        digest: SHA-256 of its bytes.
        revision: its ETag or date of change, "" if it tells none.
    """

    url: str
    address: str
    type: str
    text: str
    fetched: str
    digest: str
    revision: str


@dataclass(frozen=True)
class NoPage:
    """A page that did not come.

    Attributes:
        lasting: whether asking again would be in vain.
    """

    url: str
    reason: Reason
    detail: str
    lasting: bool


class Never(Exception):
    """A page that will not come, however often it is asked for."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def decoded(body: bytes, charset: str | None) -> str | None:
    """The text of a page, or None if no encoding fits it.

    A byte order mark comes first; then UTF-8, since hardly another text is valid in it by chance;
    then what the server says, what the page says, and what `charset-normalizer` makes of it.

    Args:
        charset: as the server says.
    """
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return _decode(body[len(mark) :], encoding)
    said = _META.search(body[:4096])
    for name in ("utf-8", charset, said and said[1].decode("ascii", "replace")):
        if name and (text := _decode(body, name)) is not None:
            return text
    from charset_normalizer import from_bytes

    best = from_bytes(body, cp_exclusion=_UNMARKED).best()
    return None if best is None or "\x00" in str(best) else str(best)


def _decode(body: bytes, encoding: str) -> str | None:
    try:
        text = body.decode(encoding)
        text.encode()  # unicode_escape and its like make what is no text
    except (UnicodeError, LookupError):
        return None
    return None if "\x00" in text else text
