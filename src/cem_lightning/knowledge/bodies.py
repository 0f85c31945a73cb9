"""The body of a response up to a limit, however small it was packed.

httpx would unpack all that has arrived at once, and as often as the server says it is packed. What
the body says, and that it comes in time, is the business of whoever asks.
"""

from __future__ import annotations

import zlib
from typing import Literal

import httpx

from cem_lightning.knowledge.manners import NotNow, plain

ACCEPTED = {"Accept-Encoding": "gzip"}  # to be sent along

_GZIP = 16 + zlib.MAX_WBITS  # a window with the header and the checksum of gzip


class Unusable(Exception):
    """A body that is none to be read, however often it is asked for."""

    def __init__(self, reason: Literal["size", "unreadable"], detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Body:
    """What has arrived so far, unpacked; to be filled with the response's raw chunks.

    Args:
        largest: bytes, unpacked.

    Raises:
        Unusable: if it is packed in another way than by gzip, once.
    """

    def __init__(self, response: httpx.Response, largest: int) -> None:
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip"):
            raise Unusable("unreadable", f"packed by {plain(encoding)}")
        self._gzip = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
        self._largest = largest
        self._read = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take in what has arrived.

        Raises:
            Unusable: if it cannot be unpacked, or is more than it may be.
        """
        gzip = self._gzip
        try:
            rest = self._largest + 1 - len(self._read)
            self._read += gzip.decompress(chunk, rest) if gzip else chunk
        except zlib.error:
            raise Unusable("unreadable", "cannot be decompressed") from None
        if len(self._read) > self._largest:
            raise Unusable("size", f"more than {self._largest} bytes")
        if gzip and gzip.unused_data:
            raise Unusable("unreadable", "something after its end")

    def whole(self) -> bytes:
        """All of it, after the last chunk.

        Raises:
            NotNow: if it is cut short.
        """
        if self._gzip and not self._gzip.eof:
            raise NotNow("its compressed body is cut short")
        return bytes(self._read)


async def read_body(response: httpx.Response, largest: int) -> bytes:
    """A whole body.

    Args:
        largest: bytes, unpacked.

    Raises:
        NotNow: if it is cut short.
        Unusable: if it is larger, or cannot be unpacked.
    """
    body = Body(response, largest)
    async for chunk in response.aiter_raw():
        body.add(chunk)
    return body.whole()
