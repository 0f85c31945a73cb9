"""What a host of the web wants: which of its pages are asked for, and how often.

How its robots.txt comes over the network is the business of `fetcher`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from protego import Protego

from cem_lightning.knowledge.fetching.pages import Never
from cem_lightning.knowledge.manners import NotNow
from cem_lightning.knowledge.responses import ResponseCache
from cem_lightning.knowledge.retries import Sleep, patiently

AGENT = "cem-lightning"  # as robots.txt calls us
LONGEST_DELAY = 30.0  # seconds between two pages of a host; who wants more is not asked
LONGEST_REST = 60.0  # seconds that one page is worth waiting for


class Down(Exception):
    """A host that is not asked again before the next run."""


class Host:
    """The rules of one host, asked for once, and when it may be asked next.

    Args:
        origin: scheme, name and port.
        read: gets the text of its robots.txt; raises `NotNow` if it did not come.
        spacing: least time between two pages, in seconds.
        retries: further attempts at the rules.
    """

    def __init__(
        self,
        origin: str,
        read: Callable[[str], Awaitable[str]],
        cache: ResponseCache,
        *,
        spacing: float,
        retries: int,
        sleep: Sleep,
    ) -> None:
        self._origin = origin
        self._read = read
        self._cache = cache
        self._spacing = spacing
        self._retries = retries
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._next = 0.0
        self._rules: Protego | None = None
        self._down = ""

    async def admit(self, address: str) -> None:
        """Wait for one's turn.

        Raises:
            Down: if the host does not tell its rules, or wants to be left alone for long.
            Never: if it does not want us there, or not as often as is worth waiting for.
        """
        async with self._turn:
            self._refuse_down()
            rules = await self._ruled()
            if not rules.can_fetch(address, AGENT):
                raise Never("robots", "disallowed by robots.txt")
            delay = rules.crawl_delay(AGENT) or 0.0
            if delay > LONGEST_DELAY:
                raise Never("crawl_delay", f"{delay:g} s between pages")
            ahead = self._next - time.monotonic()
            if ahead > 0:
                await self._sleep(ahead)
                self._refuse_down()  # it may have asked for a pause meanwhile
            self._next = max(self._next, time.monotonic()) + max(self._spacing, delay)

    def rest(self, pause: float) -> None:
        """Leave the host alone for some seconds, as it has asked.

        Raises:
            Down: if that is too long to wait for.
        """
        if pause > LONGEST_REST:
            self._down = f"asks for a pause of {pause:.0f} s"
            raise Down(self._down)
        self._next = max(self._next, time.monotonic() + pause)

    def _refuse_down(self) -> None:
        if self._down:
            raise Down(self._down)

    async def _ruled(self) -> Protego:
        if self._rules is None:
            try:
                self._rules = Protego.parse(await self._robots())
            except NotNow as busy:
                self._down = f"robots.txt: {busy}"
                raise Down(self._down) from None
        return self._rules

    async def _robots(self) -> str:
        """The text of its robots.txt, "" if it has none."""
        request = {"robots": self._origin}
        if (kept := self._cache.get(request)) is not None:
            return str(kept.get("text", ""))
        text = await patiently(
            lambda: self._read(self._origin), self._retries, self._sleep, LONGEST_REST
        )
        self._next = time.monotonic() + self._spacing
        return str(self._cache.put(request, {"text": text})["text"])
