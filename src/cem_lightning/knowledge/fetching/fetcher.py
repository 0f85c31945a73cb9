"""Fetches pages: many at a time, few from one host, each once and for good.

A page is kept on disk only when it is whole, and so is a refusal that will last; what failed for
now is asked again by the next run.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx
from protego import Protego

from cem_lightning.knowledge.config import WebKnowledge
from cem_lightning.knowledge.fetching.addresses import (
    PublicTransport,
    Refused,
    Resolve,
    check_address,
    resolve,
)
from cem_lightning.knowledge.fetching.pages import TYPES, NoPage, Page, Reason, decoded
from cem_lightning.knowledge.manners import (
    BACKOFF,
    BUSY,
    LONGEST_BACKOFF,
    SLOWEST,
    NotNow,
    pause_of,
    plain,
    user_agent,
)
from cem_lightning.knowledge.responses import ResponseCache

AGENT = "cem-lightning"  # as robots.txt calls us
LONGEST_DELAY = 30.0  # seconds between two pages of a host; who wants more is not asked
LONGEST_PAUSE = 60.0  # seconds that one page is worth waiting for
LARGEST_ROBOTS = 500 * 1024  # bytes that are read of a robots.txt (RFC 9309, 2.5)


class _Never(Exception):
    """A page that will not come, however often it is asked for."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Fetcher:
    """Fetches pages while its context is open.

    Args:
        resolve: finds the addresses of a host.

    Attributes:
        requests: sent so far.
        hits: pages that were on disk.
    """

    def __init__(
        self, config: WebKnowledge, cache: ResponseCache, resolve: Resolve = resolve
    ) -> None:
        self.requests = 0
        self.hits = 0
        self._config = config
        self._cache = cache
        self._left = config.pages
        self._turns = asyncio.Semaphore(config.concurrency)
        self._hosts: dict[str, _Host] = {}
        self._client = httpx.AsyncClient(
            transport=PublicTransport(private=config.allow_private, resolve=resolve),
            headers={
                "User-Agent": user_agent(config.contact or ""),
                "Accept": ", ".join(TYPES),
                # what an httpx without extras can read, and no bomb of a far greater ratio
                "Accept-Encoding": "gzip, deflate",
            },
            timeout=config.timeout,
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()

    async def fetch(self, url: str, sleep: Callable[[float], Any] = asyncio.sleep) -> Page | NoPage:
        """A page, from disk if it is there."""
        request = {"page": url}
        kept = self._cache.get(request)
        if kept is not None and (found := _read(kept)) is not None:
            self.hits += 1
            return found
        if self._left <= 0:
            return NoPage(url, "budget", f"knowledge.pages: {self._config.pages}", False)
        self._left -= 1
        answer = await self._patiently(url, sleep)
        if isinstance(answer, Page) or answer.lasting:
            told = {"whole" if isinstance(answer, Page) else "refused": asdict(answer)}
            return _read(self._cache.put(request, told)) or answer
        return answer

    async def _patiently(self, url: str, sleep: Callable[[float], Any]) -> Page | NoPage:
        backoff = BACKOFF
        for attempt in range(self._config.retries + 1):
            try:
                return await self._follow(url)
            except _Never as never:
                return NoPage(url, never.reason, str(never), True)
            except NotNow as busy:
                wait = backoff if busy.pause is None else busy.pause
                if attempt == self._config.retries or wait > LONGEST_PAUSE:
                    return NoPage(url, "unreachable", str(busy), False)
            await sleep(wait)
            backoff = min(2 * backoff, LONGEST_BACKOFF)
        raise AssertionError("unreachable")

    async def _follow(self, url: str) -> Page:
        """A page behind as many redirects as are allowed, every one of them checked."""
        address = url
        for _ in range(self._config.redirects + 1):
            try:
                check_address(address, private=self._config.allow_private)
                await self._host(address).admit(self, address)
                found = await self._page(url, address)
            except Refused as refused:
                raise _Never("address", plain(refused)) from None
            if isinstance(found, Page):
                return found
            address = found
        raise _Never("redirects", f"more than {self._config.redirects}")

    async def _page(self, url: str, address: str) -> Page | str:
        """The page at an address, or where it redirects to."""
        response, body = await self.get(address, self._config.largest)
        if response.is_redirect:
            return _target(address, response)
        if response.status_code in BUSY:
            pause = pause_of(response.headers.get("Retry-After", ""))
            raise NotNow(f"status {response.status_code}", pause)
        if response.status_code != 200:
            raise _Never("status", str(response.status_code))
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in TYPES:
            raise _Never("type", plain(kind) or "none given")
        if body is None:
            raise _Never("size", f"more than {self._config.largest} bytes")
        text = decoded(body, response.charset_encoding)
        if text is None:
            raise _Never("unreadable", "no encoding fits it")
        headers = response.headers
        return Page(
            url=url,
            address=address,
            type=kind,
            text=text,
            fetched=datetime.now(UTC).isoformat(timespec="seconds"),
            digest=hashlib.sha256(body).hexdigest(),
            revision=plain(headers.get("ETag") or headers.get("Last-Modified") or ""),
        )

    async def get(self, address: str, largest: int) -> tuple[httpx.Response, bytes | None]:
        """A response with its whole body; None where that is larger than it may be.

        Raises:
            NotNow: if it did not come, or not to its end.
            Refused: if the address may not be asked.
        """
        self.requests += 1
        body = b""
        longest = SLOWEST * self._config.timeout
        try:
            async with (
                self._turns,
                asyncio.timeout(longest),
                self._client.stream("GET", address) as response,
            ):
                if response.is_redirect:
                    return response, b""
                async for chunk in response.aiter_bytes(chunk_size=2**16):
                    body += chunk
                    if len(body) > largest:
                        return response, None
        except httpx.TimeoutException:
            raise NotNow(f"no answer within {self._config.timeout:g} s") from None
        except TimeoutError:
            raise NotNow(f"no end within {longest:g} s") from None
        except httpx.InvalidURL:
            raise Refused("no address") from None
        except httpx.DecodingError:
            raise _Never("unreadable", "cannot be decompressed") from None
        except httpx.HTTPError as error:
            raise NotNow(plain(error) or type(error).__name__) from None
        return response, body

    def _host(self, address: str) -> _Host:
        parts = urlsplit(address)
        origin = f"{parts.scheme}://{parts.netloc.lower()}"
        if origin not in self._hosts:
            self._hosts[origin] = _Host(origin, self._cache, 1 / self._config.requests_per_second)
        return self._hosts[origin]


class _Host:
    """What one host wants, and when it may be asked next."""

    def __init__(self, origin: str, cache: ResponseCache, spacing: float) -> None:
        self._origin = origin
        self._cache = cache
        self._spacing = spacing
        self._turn = asyncio.Lock()
        self._next = 0.0
        self._rules: Protego | None = None

    async def admit(self, fetcher: Fetcher, address: str) -> None:
        """Wait for one's turn.

        Raises:
            NotNow: if the host does not tell its rules for now.
            _Never: if it does not want us there, or not as often as is worth waiting for.
        """
        async with self._turn:
            if self._rules is None:
                self._rules = Protego.parse(await self._robots(fetcher))
            if not self._rules.can_fetch(address, AGENT):
                raise _Never("robots", "disallowed by robots.txt")
            delay = max(self._spacing, self._rules.crawl_delay(AGENT) or 0.0)
            if delay > LONGEST_DELAY:
                raise _Never("crawl_delay", f"{delay:g} s between pages")
            await asyncio.sleep(self._next - time.monotonic())
            self._next = time.monotonic() + delay

    async def _robots(self, fetcher: Fetcher) -> str:
        """The host's rules; "" if it has none (RFC 9309, 2.3.1)."""
        request = {"robots": self._origin}
        if (kept := self._cache.get(request)) is not None:
            return str(kept.get("text", ""))
        address = f"{self._origin}/robots.txt"
        for _ in range(5):
            response, body = await fetcher.get(address, LARGEST_ROBOTS)
            if not response.is_redirect:
                break
            address = _target(address, response)
        if response.status_code >= 500 or response.status_code == 429:
            raise NotNow(f"robots.txt: status {response.status_code}")
        if body is None:
            raise _Never("robots", f"robots.txt has more than {LARGEST_ROBOTS} bytes")
        text = body.decode("utf-8", "replace") if response.status_code == 200 else ""
        return str(self._cache.put(request, {"text": text})["text"])


def _target(address: str, response: httpx.Response) -> str:
    """Where a response redirects to."""
    try:
        return str(urljoin(address, response.headers.get("Location", "")))
    except ValueError:
        raise Refused("no address") from None


def _read(kept: Mapping[str, Any]) -> Page | NoPage | None:
    """What the cache holds, unless it was written in another form."""
    try:
        if "whole" in kept:
            return Page(**kept["whole"])
        return NoPage(**kept["refused"])
    except (KeyError, TypeError):
        return None
