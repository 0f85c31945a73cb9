"""Pages never come from where nobody from outside has any business."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cem_lightning.knowledge.fetching.addresses import is_public, resolve
from cem_lightning.knowledge.fetching.fetcher import Fetcher
from cem_lightning.knowledge.fetching.pages import NoPage, Page
from cem_lightning.knowledge.responses import ResponseCache
from tests.address_tricks import REBOUND, TRICKS
from tests.knowledge.test_fetching import config
from tests.websites import Website, article


class _Listening:
    """What sockets are connected to; Python offers no way to stop an audit hook but to tell it."""

    def __init__(self) -> None:
        self.asked: list[Any] | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, details: tuple[Any, ...]) -> None:
        if event == "socket.connect" and self.asked is not None:
            self.asked.append(details[1])


_LISTENING = _Listening()


@pytest.fixture
def sockets() -> Iterator[list[Any]]:
    """The addresses that sockets were connected to."""
    _LISTENING.asked = asked = []
    yield asked
    _LISTENING.asked = None


async def rebound(host: str, port: int) -> list[str]:
    """A resolver that is told what the tricks' names are to be."""
    if host in REBOUND:
        return REBOUND[host]
    if host in ("example.com", "rebind.example"):
        return ["93.184.216.34"]

    return await resolve(host, port)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that connections were asked for, none of which is opened."""
    asked: list[str] = []

    async def connect(self: object, request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.path == "/robots.txt":
            return httpx.Response(404, request=request)
        location = request.headers.get("X-Location", "http://169.254.169.254/latest/meta-data")
        return httpx.Response(302, headers={"Location": location}, request=request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", connect)
    return asked


def guarded(folder: Path, urls: list[str], resolve: Any) -> list[Page | NoPage]:
    async def run() -> list[Page | NoPage]:
        settings = config(folder, allow_private=False, pages=10_000)
        async with Fetcher(settings, ResponseCache(folder), resolve) as fetcher:
            return list(await asyncio.gather(*map(fetcher.fetch, urls)))

    return asyncio.run(run())


def test_no_trick_leads_anywhere(tmp_path: Path, sockets: list[Any]) -> None:
    assert len(set(TRICKS)) >= 150
    found = guarded(tmp_path, list(TRICKS), rebound)
    assert sockets == []
    assert {each.reason for each in found if isinstance(each, NoPage)} == {
        "address", "unreachable",
    }  # fmt: skip


def test_what_is_allowed_to_be_private_is_connected_to(tmp_path: Path, sockets: list[Any]) -> None:
    async def told(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]  # nobody listens at the first

    async def run(url: str) -> Page | NoPage:
        async with Fetcher(config(tmp_path), ResponseCache(tmp_path), told) as fetcher:
            return await fetcher.fetch(url)

    with Website({"/a.html": article("Neon", "Neon is a gas.")}) as site:
        found = asyncio.run(run(f"http://faß.example:{site.port}/a.html"))
    assert isinstance(found, Page)
    assert sockets == [("127.0.0.2", site.port), ("127.0.0.1", site.port)] * 2
    assert site.hosts == [f"xn--fa-hia.example:{site.port}"] * 2


def test_a_redirect_is_checked_like_an_address(tmp_path: Path, connections: list[str]) -> None:
    (found,) = guarded(tmp_path, ["http://example.com/"], rebound)
    assert isinstance(found, NoPage)
    assert (found.reason, found.detail) == (
        "address", "169.254.169.254 is at 169.254.169.254, which is not public",
    )  # fmt: skip
    assert connections == ["93.184.216.34"] * 2  # robots.txt and the page


def test_a_name_that_changes_its_mind_is_connected_to_what_was_checked(
    tmp_path: Path, connections: list[str]
) -> None:
    turns = 0

    async def changing(host: str, port: int) -> list[str]:
        nonlocal turns
        turns += 1
        return ["93.184.216.34"] if turns == 1 else ["127.0.0.1"]

    (found,) = guarded(tmp_path, ["http://rebind.example/"], changing)
    assert isinstance(found, NoPage) and found.reason == "address"
    assert connections == ["93.184.216.34"]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("::ffff:93.184.216.34", False),
        ("127.0.0.1", False), ("::1", False), ("::ffff:127.0.0.1", False), ("::127.0.0.1", False),
        ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False), ("fe80::1%eth0", False),
        ("2001:db8::5efe:a00:1", False), ("100.64.0.1", False), ("224.0.0.1", False), ("x", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public
