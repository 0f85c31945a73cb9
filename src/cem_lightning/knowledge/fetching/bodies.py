"""Reads the body of a response up to a limit, however small it was packed.

Its text is the business of `pages`; that it comes in time, that of `fetcher`.
"""

from __future__ import annotations

import zlib

import httpx

from cem_lightning.knowledge.fetching.pages import Never
from cem_lightning.knowledge.manners import NotNow, plain

_GZIP = 16 + zlib.MAX_WBITS  # a window with the header and the checksum of gzip


async def read_body(response: httpx.Response, largest: int) -> bytes | None:
    """A whole body; None as soon as it is larger than it may be.

    httpx would unpack all that has arrived at once, and as often as the server says it is packed.

    Args:
        largest: bytes, unpacked.

    Raises:
        NotNow: if it is cut short.
        Never: if it cannot be unpacked.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise Never("unreadable", f"packed by {plain(encoding)}")
    gzip = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
    body = b""
    async for chunk in response.aiter_raw():
        try:
            body += gzip.decompress(chunk, largest + 1 - len(body)) if gzip else chunk
        except zlib.error:
            raise Never("unreadable", "cannot be decompressed") from None
        if len(body) > largest:
            return None
        if gzip and gzip.unused_data:
            raise Never("unreadable", "something after its end")
    if gzip and not gzip.eof:
        raise NotNow("its compressed body is cut short")
    return body
