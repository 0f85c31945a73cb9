"""From mistakes to pages of the web, and a whole round on them, against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.errors import UserError
from cem_lightning.evolution.run import run
from cem_lightning.knowledge.config import WebKnowledge
from cem_lightning.knowledge.corpora import Corpus
from cem_lightning.knowledge.searxng import LARGEST
from cem_lightning.knowledge.web import WebRetriever
from cem_lightning.storage.atomic import read_jsonl
from tests.knowledge.test_fetching import config as fetching
from tests.websites import Reply, Website, article
from tests.workspace import Workspace, compose_config

ABOUT = {
    "/neon.html": article("Neon", "Neon is a gas that Ramsay found in 1898.", "It glows red."),
    "/argon.html": article("Argon", "Argon is a gas that Ramsay found in 1894, before neon."),
    **{
        f"/{noun}.html": article(noun.title(), f"A {noun} lies behind the {noun} of the next town.")
        for noun in ("river", "city", "market", "garden", "bridge", "village", "school", "kitchen")
    },
}


@pytest.fixture
def site() -> Iterator[Website]:
    with Website(ABOUT) as running:
        yield running


def config(site: Website | None, cache: Path, **changes: Any) -> WebKnowledge:
    address = site.address if site else None
    return fetching(cache, **{"searxng": address, "results": 1, "passage_tokens": 8} | changes)


def gather(
    settings: WebKnowledge, *queries: tuple[str, ...], notes: Any = None, control: bool = True
) -> Corpus:
    def served(amount: int, note: str) -> None:
        if notes is not None:
            notes.append((amount, note))

    def count(text: str) -> int:
        return len(text.split())

    return WebRetriever(settings).gather(queries, count, served, control=control)


def test_pages_become_documents_of_their_main_text(site: Website, tmp_path: Path) -> None:
    site.pages["/neon.html"] = Reply(
        ABOUT["/neon.html"].body, headers={"Last-Modified": "Mon, 01 Jun 2026 10:00:00 GMT"}
    )
    corpus = gather(config(site, tmp_path), ("neon", "glows"))
    (found,) = corpus.documents[: corpus.sought]
    assert found.text == "Neon\n\nNeon is a gas that Ramsay found in 1898.\n\nIt glows red."
    assert (found.title, found.origin) == ("Neon", f"{site.address}/neon.html")
    assert found.fetched and found.revision == "Mon, 01 Jun 2026 10:00:00 GMT"
    others = corpus.documents[corpus.sought :]
    assert others and all("gas" not in each.text for each in others)


def test_the_control_holds_nothing_that_mistakes_have_led_to(site: Website, tmp_path: Path) -> None:
    site.pages["/alias.html"] = Reply(b"river city", 302, headers={"Location": "/river.html"})
    site.pages["/copy.html"] = ABOUT["/city.html"]
    settings = config(site, tmp_path, results=3, passage_tokens=100)
    corpus = gather(settings, ("river", "city"), ("market", "garden"))
    sought = {each.origin for each in corpus.documents[: corpus.sought]}
    others = {each.origin for each in corpus.documents[corpus.sought :]}
    assert len(sought) == 4 and others and not sought & others
    assert len({each.id for each in corpus.documents}) == len(corpus.documents)
    assert len({each.text for each in corpus.documents}) == len(corpus.documents)


def test_a_second_run_needs_no_network_and_is_identical(site: Website, tmp_path: Path) -> None:
    settings = config(site, tmp_path, results=2)
    notes: list[tuple[int, str]] = []
    first = gather(settings, ("neon",), ("argon", "1894"), notes=notes)
    assert sum(amount for amount, _ in notes) == 2
    assert notes[-1][1].startswith("pages at random for the control, ")
    site.__exit__()
    try:
        again = gather(settings, ("neon",), ("argon", "1894"), notes=notes)
        assert again == first
        assert "0 requests" in notes[-1][1]
    finally:
        site.__enter__()


def test_a_search_that_was_damaged_on_disk_is_made_again(site: Website, tmp_path: Path) -> None:
    settings = config(site, tmp_path)
    first = gather(settings, ("neon",), control=False)
    damaged = 0
    for path in tmp_path.rglob("*.json"):
        entry = json.loads(path.read_text())
        if "search" in entry["request"]:
            path.write_text(json.dumps(entry | {"response": {}}))
            damaged += 1
    assert damaged
    assert gather(settings, ("neon",), control=False) == first


def test_a_page_that_does_not_come_is_listed_and_the_round_goes_on(
    site: Website, tmp_path: Path
) -> None:
    site.pages["/argon.html"] = Reply(b"argon", 200, cut=True)
    corpus = gather(config(site, tmp_path, results=2), ("argon",), ("neon",), control=False)
    assert [each.title for each in corpus.documents] == ["Neon"]
    assert [(each.address, each.reason) for each in corpus.unfetched] == [
        (f"{site.address}/argon.html", "unreachable"),
    ] * len(corpus.unfetched)
    site.pages["/argon.html"] = ABOUT["/argon.html"]
    assert corpus.unfetched[0].query == 0
    whole = gather(config(site, tmp_path, results=2), ("argon",), ("neon",), control=False)
    assert {each.title for each in whole.documents} == {"Neon", "Argon"}


def test_a_domain_gives_no_more_pages_than_it_may(site: Website, tmp_path: Path) -> None:
    settings = config(site, tmp_path, results=3, pages_per_domain=1)
    corpus = gather(settings, ("gas",), ("ramsay",), control=False)
    assert len({each.origin for each in corpus.documents}) == 1


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(b"", 403), r"status 403: it must have json among search\.formats"),
        (Reply(b"", 500), r"status 500\. 0 of 1 mistakes"),
        (Reply(b" " * (LARGEST + 1)), f"more than {LARGEST} bytes"),
        (Reply(b"", 429, headers={"Retry-After": "9999"}), "status 429"),
        (Reply(b"", 404), "status 404"),
        (Reply(b"<html>"), "no SearXNG: '<html>'"),
        (Reply(b"[]", type="application/json"), "no SearXNG"),
        (Reply(b'{"results": [3]}', type="application/json"), "no SearXNG"),
        (Reply(b"{}", cut=True), "cannot be reached"),
        (Reply(b"", hang=True), r"does not answer within 0\.5 s"),
        (
            Reply(
                json.dumps({"results": [], "unresponsive_engines": [["g", "timeout"]]}).encode(),
                type="application/json",
            ),
            "its engines do not answer",
        ),
    ],
)
def test_a_search_that_fails_says_why_and_goes_on_later(
    site: Website, tmp_path: Path, reply: Reply, told: str
) -> None:
    site.pages["/search"] = reply
    with pytest.raises(UserError, match=told) as error:
        gather(config(site, tmp_path), ("neon",))
    assert "0 of 1 mistakes have been searched for" in str(error.value)
    del site.pages["/search"]
    assert gather(config(site, tmp_path), ("neon",), control=False).sought == 1


def test_nothing_found_is_no_error(site: Website, tmp_path: Path) -> None:
    assert gather(config(site, tmp_path), ("zorblax",), control=False) == Corpus(())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"searxng": None}, r"knowledge\.searxng: must be set"),
        ({"searxng": "localhost:8080"}, r"knowledge\.searxng: .* cannot be used"),
        ({"searxng": "http://me:secret@host"}, r"knowledge\.searxng: http://\*\*\*@host"),
        ({"contact": None}, r"knowledge\.contact: must be set"),
    ],
)
def test_settings_with_which_nothing_could_be_fetched_are_refused(
    site: Website, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        WebRetriever(config(site, tmp_path, **changes)).known()


def test_a_round_runs_on_the_web_from_end_to_end(site: Website, workspace: Workspace) -> None:
    rows = list(read_jsonl(workspace.folder / "corpus.jsonl"))
    for at, row in enumerate(rows):
        site.pages[f"/{at}.html"] = article(row["title"], row["text"])
    typed = [each for each in workspace.overrides() if not each.startswith("knowledge")]
    folder = run(
        compose_config(
            *typed,
            "knowledge=web",
            f"knowledge.searxng={site.address}",
            "knowledge.contact=someone@example.org",
            f"knowledge.cache={workspace.folder / 'cache'}",
            "knowledge.requests_per_second=1000",
            "knowledge.allow_private=true",
            "knowledge.languages=null",
            "rounds=1",
        )
    )
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["rounds"][1]["passages"] > 0
    (passages,) = (workspace.folder / "store" / "acquire").glob("*/passages.jsonl")
    for row in read_jsonl(passages):
        assert row["origin"].startswith(site.address) and row["fetched"] and row["digest"]


def test_an_address_that_is_no_text_is_left_out(site: Website, tmp_path: Path) -> None:
    rows = [{"url": "https://example.org/\udc80"}, {"url": f"{site.address}/neon.html"}]
    site.pages["/search"] = Reply(json.dumps({"results": rows}).encode(), type="application/json")
    corpus = gather(config(site, tmp_path), ("neon",), control=False)
    assert [each.title for each in corpus.documents] == ["Neon"]
