"""Pages come whole and once, or not at all, as fast as their hosts want and no faster."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.knowledge.config import WebKnowledge
from cem_lightning.knowledge.fetching.fetcher import Fetcher
from cem_lightning.knowledge.fetching.pages import NoPage, Page, decoded
from cem_lightning.knowledge.responses import ResponseCache
from tests.knowledge.settings import FILTERS
from tests.websites import Reply, Website, article

MUNICH = "In München grüßen sich die Leute auf den Straßen, wenn der Föhn über die Dächer weht."


PACKED = gzip.compress(b"<p>Neon is a gas.")
BOMB = gzip.compress(bytes(2**26))


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
        assert waits is not None
        waits.append(seconds)

    async def run() -> list[Page | NoPage]:
        cache = ResponseCache(folder)
        options: dict[str, Any] = {} if waits is None else {"sleep": sleep}
        async with Fetcher(config(folder, **changes), cache, **options) as fetcher:
            return list(await asyncio.gather(*map(fetcher.fetch, urls)))

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


def test_what_was_kept_of_an_intranet_is_not_read_where_that_is_not_allowed(
    site: Website, tmp_path: Path
) -> None:
    (allowed,) = fetch(tmp_path, f"{site.address}/a.html", allow_private=True)
    assert isinstance(allowed, Page)
    (refused,) = fetch(tmp_path, f"{site.address}/a.html", allow_private=False)
    assert isinstance(refused, NoPage)
    assert "knowledge.allow_private=true would let it in" in refused.detail


@pytest.mark.parametrize(
    ("reply", "reason", "detail"),
    [
        (Reply(b"x", 404), "status", "404"),
        (Reply(b"x", type="application/pdf"), "type", "application/pdf"),
        (Reply(b"x", type=None), "type", "none given"),
        (Reply(b"x" * (2**20 + 1)), "size", "more than 1048576 bytes"),
        (Reply(b"x" * 2**16, endless=True), "size", "more than 1048576 bytes"),
        (Reply(BOMB, headers={"Content-Encoding": "gzip"}), "size", "more than 1048576 bytes"),
        (Reply(BOMB, headers={"Content-Encoding": "gzip, gzip"}), "unreadable", "gzip, gzip"),
        (Reply(BOMB, headers={"Content-Encoding": "deflate"}), "unreadable", "deflate"),
        (Reply(PACKED + b"more", headers={"Content-Encoding": "gzip"}), "unreadable", "after its"),
        (Reply(b"", 304), "status", "304"),
        (Reply(b"\x80\x00" * 9), "unreadable", "no encoding"),
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
        Reply(b"half a page", cut=True, chunked=True),
        Reply(PACKED[:-9], headers={"Content-Encoding": "gzip"}),
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


def test_a_page_may_come_compressed(site: Website, tmp_path: Path) -> None:
    packed = one(site, tmp_path, Reply(PACKED, headers={"Content-Encoding": "gzip"}))
    assert isinstance(packed, Page) and packed.text == "<p>Neon is a gas."


def test_what_is_too_large_by_its_limit_is_asked_for_again_when_more_is_allowed(
    site: Website, tmp_path: Path
) -> None:
    refused = one(site, tmp_path, Reply(b"x" * 100), largest=99)
    assert isinstance(refused, NoPage) and refused.reason == "size"
    assert isinstance(one(site, tmp_path, Reply(b"x" * 100), largest=100), Page)


def test_a_page_is_asked_for_once_by_all_who_want_it(site: Website, tmp_path: Path) -> None:
    found = fetch(tmp_path, *[f"{site.address}/a.html"] * 3, pages=1)
    assert len(set(found)) == 1 and isinstance(found[0], Page)
    assert site.count("/a.html") == 1


def test_a_page_that_fails_is_asked_for_again_ever_later(site: Website, tmp_path: Path) -> None:
    waits: list[float] = []
    found = one(site, tmp_path, [Reply(b"", 500)] * 3 + [Reply(b"fine")], retries=3, waits=waits)
    assert isinstance(found, Page)
    assert [each for each in waits if each > 0.5] == [1.0, 2.0, 4.0]


def test_a_busy_host_is_given_the_time_it_asks_for(site: Website, tmp_path: Path) -> None:
    waits: list[float] = []
    busy = [Reply(b"", 429, headers={"Retry-After": "7"}), Reply(b"fine")]
    found = one(site, tmp_path, busy, retries=2, waits=waits)
    assert isinstance(found, Page) and 6 < max(waits) <= 7


def test_a_host_that_asks_for_too_long_a_pause_is_left_alone(site: Website, tmp_path: Path) -> None:
    site.pages["/late.html"] = Reply(b"", 429, headers={"Retry-After": "3600"})
    urls = [f"{site.address}/late.html", f"{site.address}/a.html"]
    found = fetch(tmp_path, *urls, retries=2, concurrency=1, requests_per_second=2)
    assert all(isinstance(each, NoPage) and not each.lasting for each in found)
    assert site.requests == ["/robots.txt", "/late.html"]
    assert isinstance(fetch(tmp_path, urls[1])[0], Page)


def test_a_host_whose_rules_do_not_come_is_not_asked_for_every_page(
    site: Website, tmp_path: Path
) -> None:
    site.pages["/robots.txt"] = Reply(b"", 503)
    waits: list[float] = []
    urls = [f"{site.address}/a.html?{at}" for at in range(9)]
    found = fetch(tmp_path, *urls, retries=2, waits=waits)
    assert {each.reason for each in found if isinstance(each, NoPage)} == {"unreachable"}
    assert site.requests == ["/robots.txt"] * 3
    assert waits == [1.0, 2.0]
    del site.pages["/robots.txt"]
    assert all(isinstance(each, Page) for each in fetch(tmp_path, *urls))


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


def test_rules_may_lie_elsewhere(site: Website, tmp_path: Path) -> None:
    site.pages["/robots.txt"] = Reply(b"", 301, headers={"Location": "/rules"})
    site.pages["/rules"] = Reply(b"User-agent: *\nDisallow: /x", type="text/plain")
    found = one(site, tmp_path, Reply(b"fine"))
    assert isinstance(found, NoPage) and found.reason == "robots"


def test_a_slow_pace_is_no_wish_of_the_host(site: Website, tmp_path: Path) -> None:
    waits: list[float] = []
    found = one(site, tmp_path, Reply(b"fine"), requests_per_second=0.01, waits=waits)
    assert isinstance(found, Page) and 99 < waits[0] <= 100


def test_a_delay_that_robots_txt_asks_for_is_kept(site: Website, tmp_path: Path) -> None:
    site.pages["/robots.txt"] = Reply(b"User-agent: *\nCrawl-delay: 9", type="text/plain")
    waits: list[float] = []
    fetch(tmp_path, f"{site.address}/a.html?1", f"{site.address}/a.html?2", waits=waits)
    assert 8 < max(waits) <= 9


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
    assert fetch(tmp_path, *urls, pages=2) == found  # whatever is on disk by now


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
        (MUNICH.encode("latin-1") + b"\\ud800", "unicode_escape", MUNICH + "\\ud800"),
        (b"\x80\x00" * 9, None, None),
    ],
)  # fmt: skip
def test_pages_are_read_in_the_encoding_they_are_written_in(
    body: bytes, charset: str | None, text: str | None
) -> None:
    assert decoded(body, charset) == text
