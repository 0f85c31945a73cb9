"""Asks a SearXNG instance for pages, one query at a time (docs.searxng.org/dev/search_api.html).

Every search is kept on disk, unless its engines did not answer; pages are those of `fetching`.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx

from cem_lightning.knowledge.config import WebKnowledge
from cem_lightning.knowledge.manners import BUSY, NotNow, pause_of, plain, user_agent
from cem_lightning.knowledge.responses import ResponseCache
from cem_lightning.knowledge.services import ServiceFailure, answered, whole_answer

LARGEST = 4 * 2**20  # bytes of a response; fifty results have some thousands


class SearXng:
    """A client of one instance.

    Args:
        folder: of the cache of what it has found.

    Attributes:
        requests: sent so far.
        hits: searches that were on disk.
    """

    def __init__(self, config: WebKnowledge, folder: Path) -> None:
        self.requests = 0
        self.hits = 0
        self._config = config
        self._cache = ResponseCache(folder, usable=_usable)
        self._next = 0.0
        self._address = f"{(config.searxng or '').rstrip('/')}/search"
        self._client = httpx.AsyncClient(
            headers={"User-Agent": user_agent(config.contact or "")},
            follow_redirects=False,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close the connection, if one was opened."""
        await self._client.aclose()

    async def results(self, query: str) -> list[str]:
        """Addresses of the pages found, the best first.

        Raises:
            ServiceFailure: if there is no answer, after all retries.
        """
        sent = {"q": query, "format": "json", "language": self._config.language}
        request = {"search": self._address, "params": sent}
        kept = self._cache.get(request)
        if kept is not None:
            self.hits += 1
        else:
            found = await answered(lambda: self._ask(sent), self._config.retries, asyncio.sleep)
            kept = self._cache.put(request, {"addresses": found})
        return [each for each in kept["addresses"] if isinstance(each, str)]

    async def _ask(self, sent: dict[str, str]) -> list[str]:
        await asyncio.sleep(self._next - time.monotonic())
        self._next = time.monotonic() + 1 / self._config.requests_per_second
        self.requests += 1
        response, body = await whole_answer(
            self._client,
            "GET",
            self._address,
            largest=LARGEST,
            timeout=self._config.timeout,
            params=sent,
        )
        if response.status_code in BUSY:
            pause = pause_of(response.headers.get("Retry-After", ""))
            raise NotNow(f"answers with status {response.status_code}", pause)
        if response.status_code == 403:
            raise ServiceFailure(
                "answers with status 403: it must have json among search.formats in its "
                "settings.yml, and no limiter against us"
            )
        if response.status_code != 200:
            raise ServiceFailure(f"answers with status {response.status_code}")
        return _addresses(body)


def _usable(kept: dict[str, Any]) -> bool:
    return isinstance(kept.get("addresses"), list)


def _addresses(body: bytes) -> list[str]:
    """The results of a search, in its order; those of engines that did not answer are missing."""
    try:
        value: Any = json.loads(body)
        rows = value["results"]
        found: list[str] = [row["url"] for row in rows if isinstance(row.get("url"), str)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ServiceFailure(
            "answers without a list of results, so it is no SearXNG: "
            f"{plain(body[:200].decode('utf-8', 'replace'))!r}"
        ) from None
    silent = value.get("unresponsive_engines")
    if not found and silent:
        raise NotNow(f"finds nothing, since its engines do not answer ({plain(silent)})")
    # half a surrogate pair, which JSON can escape, is no text and could not be written
    return [each for each in dict.fromkeys(found) if each.isprintable()]
