"""Fetches pages: many at a time, few from one host, each once and for good.

A page is kept on disk only when it is whole, and so is a refusal that will last; what failed for
now is asked again by the next run.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx

from cem_lightning.knowledge.bodies import ACCEPTED, Unusable, read_body
from cem_lightning.knowledge.config import WebKnowledge
from cem_lightning.knowledge.fetching.addresses import (
    PublicTransport,
    Refused,
    Resolve,
    check_address,
    resolve,
)
from cem_lightning.knowledge.fetching.pages import TYPES, Never, NoPage, Page, decoded
from cem_lightning.knowledge.fetching.robots import LONGEST_REST, Down, Host
from cem_lightning.knowledge.manners import BUSY, SLOWEST, NotNow, pause_of, plain, user_agent
from cem_lightning.knowledge.responses import ResponseCache
from cem_lightning.knowledge.retries import Sleep, patiently

LARGEST_ROBOTS = 500 * 1024  # bytes that are read of a robots.txt (RFC 9309, 2.5)
ROBOTS_REDIRECTS = 5  # RFC 9309, 2.3.1.2

_NOTHING_ALLOWED = "User-agent: *\nDisallow: /"  # by rules that are too long to be read


class Fetcher:
    """Fetches pages while its context is open.

    Args:
        resolve: finds the addresses of a host.
        sleep: waits for a number of seconds.

    Attributes:
        requests: sent so far.
        hits: pages that were on disk.
    """

    def __init__(
        self,
        config: WebKnowledge,
        cache: ResponseCache,
        resolve: Resolve = resolve,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.requests = 0
        self.hits = 0
        self._config = config
        self._cache = cache
        self._sleep = sleep
        self._turns = asyncio.Semaphore(config.concurrency)
        self._hosts: dict[str, Host] = {}
        self._asked: dict[str, asyncio.Task[Page | NoPage]] = {}
        self._client = httpx.AsyncClient(
            transport=PublicTransport(private=config.allow_private, resolve=resolve),
            headers={
                "User-Agent": user_agent(config.contact or ""),
                "Accept": ", ".join(TYPES),
                **ACCEPTED,
            },
            timeout=config.timeout,
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._asked.values():
            task.cancel()  # those that are still at it when something else went wrong
        await self._client.aclose()

    async def fetch(self, url: str) -> Page | NoPage:
        """A page, from disk if it is there; the same one if it is asked for again."""
        if url not in self._asked:
            # Pages on disk count as well, so that a run is the same with them and without.
            if len(self._asked) == self._config.pages:
                return NoPage(url, "budget", f"knowledge.pages: {self._config.pages}", False)
            self._asked[url] = asyncio.create_task(self._once(url))
        return await self._asked[url]

    async def _once(self, url: str) -> Page | NoPage:
        whole: dict[str, Any] = {"page": url}
        own = whole | {"allow_private": True} if self._config.allow_private else whole
        limits = self._config.model_dump(include={"largest", "redirects", "allow_private"})
        refused = {"refused": url, "limits": limits}
        for request in (own, whole, refused):
            if (found := _read(self._cache.get(request))) is not None:
                self.hits += 1
                return found
        try:
            page = await patiently(
                lambda: self._follow(url), self._config.retries, self._sleep, LONGEST_REST
            )
        except (NotNow, Down) as busy:
            return NoPage(url, "unreachable", str(busy), False)
        except Never as never:
            told = NoPage(url, never.reason, str(never), True)
            return _read(self._cache.put(refused, {"refused": asdict(told)})) or told
        return _read(self._cache.put(own, {"whole": asdict(page)})) or page

    async def _follow(self, url: str) -> Page:
        """A page behind as many redirects as are allowed, every one of them checked."""
        address = url
        for _ in range(self._config.redirects + 1):
            try:
                check_address(address, private=self._config.allow_private)
                host = self._host(address)
                await host.admit(address)
                found = await self._page(url, address, host)
            except Refused as refused:
                raise Never("address", plain(refused)) from None
            if isinstance(found, Page):
                return found
            address = found
        raise Never("redirects", f"more than {self._config.redirects}")

    async def _page(self, url: str, address: str, host: Host) -> Page | str:
        """The page at an address, or where it redirects to."""
        async with self._answer(address) as response:
            headers = response.headers
            if response.has_redirect_location:
                return _target(address, response)
            if response.status_code in BUSY:
                if (pause := pause_of(headers.get("Retry-After", ""))) is not None:
                    host.rest(pause)
                    pause = 0.0  # the host's next turn comes after it
                raise NotNow(f"status {response.status_code}", pause)
            if response.status_code != 200:
                raise Never("status", str(response.status_code))
            kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind not in TYPES:
                raise Never("type", plain(kind) or "none given")
            try:
                body = await read_body(response, self._config.largest)
            except Unusable as unusable:
                raise Never(unusable.reason, str(unusable)) from None
        text = decoded(body, response.charset_encoding)
        if text is None:
            raise Never("unreadable", "no encoding fits it")
        return Page(
            url=url,
            address=address,
            type=kind,
            text=text,
            fetched=datetime.now(UTC).isoformat(timespec="seconds"),
            digest=hashlib.sha256(body).hexdigest(),
            revision=plain(headers.get("ETag") or headers.get("Last-Modified") or ""),
        )

    async def _robots(self, origin: str) -> str:
        """The rules of a host; "" if it has none (RFC 9309, 2.3.1)."""
        address = f"{origin}/robots.txt"
        for _ in range(ROBOTS_REDIRECTS + 1):
            async with self._answer(address) as response:
                if response.has_redirect_location:
                    address = _target(address, response)
                    continue
                if response.status_code >= 500 or response.status_code in BUSY:
                    pause = pause_of(response.headers.get("Retry-After", ""))
                    raise NotNow(f"status {response.status_code}", pause)
                if response.status_code != 200:
                    return ""
                try:
                    body = await read_body(response, LARGEST_ROBOTS)
                except Unusable:
                    return _NOTHING_ALLOWED
            return body.decode("utf-8", "replace")
        return ""

    @contextlib.asynccontextmanager
    async def _answer(self, address: str) -> AsyncIterator[httpx.Response]:
        """A response whose body is still on its way.

        Raises:
            NotNow: if it does not come, or not to its end.
            Refused: if the address may not be asked.
        """
        longest = SLOWEST * self._config.timeout
        async with self._turns:
            self.requests += 1
            try:
                async with (
                    asyncio.timeout(longest),
                    self._client.stream("GET", address) as response,
                ):
                    yield response
            except httpx.TimeoutException:
                raise NotNow(f"no answer within {self._config.timeout:g} s") from None
            except TimeoutError:
                raise NotNow(f"no end within {longest:g} s") from None
            except httpx.InvalidURL:
                raise Refused("no address") from None
            except httpx.HTTPError as error:
                raise NotNow(plain(error) or type(error).__name__) from None

    def _host(self, address: str) -> Host:
        parts = urlsplit(address)
        origin = f"{parts.scheme}://{parts.netloc.lower()}"
        if origin not in self._hosts:
            self._hosts[origin] = Host(
                origin,
                self._robots,
                self._cache,
                spacing=1 / self._config.requests_per_second,
                retries=self._config.retries,
                sleep=self._sleep,
            )
        return self._hosts[origin]


def _target(address: str, response: httpx.Response) -> str:
    """Where a response redirects to."""
    try:
        return str(urljoin(address, response.headers["Location"]))
    except ValueError:
        raise Refused("no address") from None


def _read(kept: Mapping[str, Any] | None) -> Page | NoPage | None:
    """What the cache holds, unless that is nothing or was written in another form."""
    try:
        if kept is None:
            return None
        return Page(**kept["whole"]) if "whole" in kept else NoPage(**kept["refused"])
    except (KeyError, TypeError):
        return None
