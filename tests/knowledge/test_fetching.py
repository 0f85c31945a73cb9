"""Pages come whole and once, or not at all; and never from where nobody has any business."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cem_lightning.knowledge.config import WebKnowledge
from cem_lightning.knowledge.fetching.addresses import is_public
from cem_lightning.knowledge.fetching.fetcher import Fetcher
from cem_lightning.knowledge.fetching.pages import NoPage, Page, decoded
from cem_lightning.knowledge.responses import ResponseCache
from tests.address_tricks import REBOUND, TRICKS
from tests.knowledge.settings import FILTERS
from tests.websites import Reply, Website, article

MUNICH = "In München grüßen sich die Leute auf den Straßen, wenn der Föhn über die Dächer weht."


def config(folder: Path, **changes: Any) -> WebKnowledge:
    settings = FILTERS | {
        "retriever": "web",
        "searxng": None,
        "language": "en",
        "results": 3,
        "pages_per_domain": 100,
        "pages": 100,
        "contact": "someone@example.org",
        "cache": folder,
        "requests_per_second": 1e6,
        "concurrency": 4,
        "retries": 0,
        "timeout": 0.5,
        "largest": 2**20,
        "redirects": 3,
        "allow_private": True,
    }
    return WebKnowledge(**settings | changes)


def fetch(
    folder: Path, *urls: str, waits: list[float] | None = None, **changes: Any
) -> list[Page | NoPage]:
    async def sleep(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)

    async def run() -> list[Page | NoPage]:
        async with Fetcher(config(folder, **changes), ResponseCache(folder)) as fetcher:
            return list(await asyncio.gather(*(fetcher.fetch(url, sleep) for url in urls)))

    return asyncio.run(run())


@pytest.fixture
def site() -> Iterator[Website]:
    with Website({"/a.html": article("Neon", "Neon is a gas.")}) as running:
        yield running


def one(site: Website, folder: Path, reply: Reply | list[Reply], **changes: Any) -> Page | NoPage:
    site.pages["/x.html"] = reply
    (found,) = fetch(folder, f"{site.address}/x.html", **changes)
    return found


def test_a_page_comes_with_where_and_when_it_was_got(site: Website, tmp_path: Path) -> None:
    site.pages["/a.html"] = Reply(b"<p>Neon", headers={"ETag": '"v7"'})
    (page,) = fetch(tmp_path, f"{site.address}/a.html")
    assert isinstance(page, Page)
    assert (page.text, page.address, page.revision) == ("<p>Neon", page.url, '"v7"')
    assert page.fetched.endswith("+00:00") and len(page.digest) == 64
    assert all("(someone@example.org)" in each for each in site.agents)
    assert site.requests == ["/robots.txt", "/a.html"]


def test_what_is_kept_needs_no_network_and_is_the_same(site: Website, tmp_path: Path) -> None:
    site.pages["/gone.html"] = Reply(b"", 404)
    urls = [f"{site.address}/a.html", f"{site.address}/gone.html"]
    first = fetch(tmp_path, *urls)
    asked = len(site.requests)
    assert fetch(tmp_path, *urls) == first
    assert len(site.requests) == asked


@pytest.mark.parametrize(
    ("reply", "reason", "detail"),
    [
        (Reply(b"x", 404), "status", "404"),
        (Reply(b"x", type="application/pdf"), "type", "application/pdf"),
        (Reply(b"x", type=None), "type", "none given"),
        (Reply(b"x" * (2**20 + 1)), "size", "more than 1048576 bytes"),
        (Reply(b"x" * 2**16, endless=True), "size", "more than 1048576 bytes"),
        (
            Reply(gzip.compress(bytes(2**28)), headers={"Content-Encoding": "gzip"}),
            "size",
            "more than 1048576 bytes",
        ),
        (Reply(b"no gzip", headers={"Content-Encoding": "gzip"}), "unreadable", "decompressed"),
        (Reply(b"", 302, headers={"Location": "/x.html"}), "redirects", "more than 3"),
        (Reply(b"", 302, headers={"Location": "file:///etc/passwd"}), "address", "scheme 'file'"),
    ],
)
def test_what_will_not_come_is_not_asked_again(
    site: Website, tmp_path: Path, reply: Reply, reason: str, detail: str
) -> None:
    found = one(site, tmp_path, reply)
    assert isinstance(found, NoPage) and found.lasting
    assert found.reason == reason and detail in found.detail
    asked = len(site.requests)
    assert one(site, tmp_path, Reply(b"whole")) == found
    assert len(site.requests) == asked


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"half a page", cut=True),
        Reply(b"x", 500),
        Reply(b"x", 503),
        Reply(b"x", hang=True),
    ],
)
def test_what_fails_for_now_is_never_kept(site: Website, tmp_path: Path, reply: Reply) -> None:
    found = one(site, tmp_path, reply)
    assert isinstance(found, NoPage) and not found.lasting and found.reason == "unreachable"
    whole = one(site, tmp_path, Reply(b"a whole page"))
    assert isinstance(whole, Page) and whole.text == "a whole page"


def test_a_busy_server_is_given_the_time_it_asks_for(site: Website, tmp_path: Path) -> None:
    waits: list[float] = []
    busy = [Reply(b"", 429, headers={"Retry-After": "7"}), Reply(b"", 500), Reply(b"fine")]
    found = one(site, tmp_path, busy, retries=2, waits=waits)
    assert isinstance(found, Page) and waits == [7.0, 2.0]
    site.pages["/late.html"] = Reply(b"", 429, headers={"Retry-After": "3600"})
    (late,) = fetch(tmp_path, f"{site.address}/late.html", retries=2, waits=waits)
    assert isinstance(late, NoPage) and not late.lasting and len(waits) == 2


@pytest.mark.parametrize(
    ("robots", "reason"),
    [
        (Reply(b"User-agent: *\nDisallow: /x", type="text/plain"), "robots"),
        (Reply(b"User-agent: cem-lightning\nDisallow: /", type="text/plain"), "robots"),
        (Reply(b"User-agent: *\nCrawl-delay: 3600", type="text/plain"), "crawl_delay"),
        (Reply(b"#" * 600_000, type="text/plain"), "robots"),
        (Reply(b"", 500), "unreachable"),
        (Reply(b"User-agent: *\nDisallow: /y", type="text/plain"), None),
        (Reply(b"", 404), None),
        (Reply(b"\xff\xfe<html>no rules", type="text/html"), None),
    ],
)
def test_the_rules_of_a_host_are_kept(
    site: Website, tmp_path: Path, robots: Reply, reason: str | None
) -> None:
    site.pages["/robots.txt"] = robots
    found = one(site, tmp_path, Reply(b"fine"))
    assert (found.reason if isinstance(found, NoPage) else None) == reason
    assert site.count("/x.html") == (reason is None)


def test_pages_of_one_host_come_one_after_the_other(site: Website, tmp_path: Path) -> None:
    urls = [f"{site.address}/a.html?{at}" for at in range(4)]
    started = asyncio.new_event_loop().time()
    found = fetch(tmp_path, *urls, requests_per_second=20)
    took = asyncio.new_event_loop().time() - started
    assert took >= 3 / 20
    assert [each.url for each in found] == urls


def test_no_more_pages_are_asked_for_than_a_run_may(site: Website, tmp_path: Path) -> None:
    urls = [f"{site.address}/a.html?{at}" for at in range(4)]
    found = fetch(tmp_path, *urls, pages=2)
    assert [isinstance(each, NoPage) and each.reason for each in found] == [
        False, False, "budget", "budget",
    ]  # fmt: skip
    assert sum(isinstance(each, Page) for each in fetch(tmp_path, *urls, pages=2)) == 4


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        ("Grüße".encode(), "latin-1", "Grüße"),  # wrong charset
        ("Grüße".encode("latin-1"), "latin-1", "Grüße"),
        (MUNICH.encode("latin-1"), "no-such-charset", MUNICH),
        ("Grüße".encode("utf-16"), None, "Grüße"),
        ("<meta charset='gbk'>黄金".encode("gbk"), None, "<meta charset='gbk'>黄金"),
        (b"\xef\xbb\xbfx", None, "x"),
        (b"", None, ""),
    ],
)  # fmt: skip
def test_pages_are_read_in_the_encoding_they_are_written_in(
    body: bytes, charset: str | None, text: str
) -> None:
    assert decoded(body, charset) == text


async def rebound(host: str, port: int) -> list[str]:
    """A resolver that is told what the tricks' names are to be."""
    if host in REBOUND:
        return REBOUND[host]
    if host in ("example.com", "second.example"):
        return ["93.184.216.34"]
    from cem_lightning.knowledge.fetching.addresses import resolve

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


def test_no_trick_leads_inside(tmp_path: Path, connections: list[str]) -> None:
    assert len(set(TRICKS)) >= 150
    found = guarded(tmp_path, list(TRICKS), rebound)
    assert all(isinstance(each, NoPage) for each in found)
    assert all(map(is_public, connections)), connections
    assert {each.reason for each in found if isinstance(each, NoPage)} <= {
        "address", "unreachable",
    }  # fmt: skip


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
