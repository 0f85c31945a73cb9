"""The client of the action API against a server that answers, is busy, or misbehaves."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.knowledge.mediawiki import LARGEST, ApiFailure, MediaWiki
from cem_lightning.knowledge.responses import ResponseCache
from tests.serving import Fault
from tests.wikipedia import Wikipedia, api_error

SEARCH = {"list": "search", "srsearch": "gas", "srlimit": "2"}


@pytest.fixture
def wiki() -> Iterator[Wikipedia]:
    with Wikipedia({"Neon": "A gas.", "Argon": "A gas too."}) as running:
        yield running


class Client(MediaWiki):
    """A client that remembers its pauses instead of making them."""

    def __init__(self, wiki: Wikipedia, folder: Path, **changes: Any) -> None:
        self.pauses: list[float] = []
        settings = {"requests_per_second": 1e6, "retries": 3, "timeout": 5.0} | changes
        super().__init__(
            wiki.endpoint,
            "someone@example.org",
            ResponseCache(folder),
            sleep=self.pauses.append,
            **settings,
        )


def found(response: dict[str, Any]) -> list[int]:
    return [each["pageid"] for each in response["query"]["search"]]


def test_a_request_says_who_asks_and_is_nice_to_the_servers(
    wiki: Wikipedia, tmp_path: Path
) -> None:
    assert found(Client(wiki, tmp_path).query(SEARCH)) == [1, 2]
    assert re.fullmatch(
        r"cem-lightning/[\w.+-]+ \(someone@example\.org\) httpx/[\d.]+", wiki.agents[0]
    )
    (sent,) = wiki.requests
    assert sent == SEARCH | {
        "action": "query",
        "format": "json",
        "formatversion": "2",
        "maxlag": "5",
    }


def test_an_answer_is_kept_and_asked_for_once(wiki: Wikipedia, tmp_path: Path) -> None:
    first = Client(wiki, tmp_path)
    answer = first.query(SEARCH)
    again = Client(wiki, tmp_path)
    assert again.query(SEARCH) == answer
    assert (first.requests, first.hits, again.requests, again.hits) == (1, 0, 0, 1)
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert "someone@example.org" not in kept


def test_draws_are_told_apart_though_they_are_sent_alike(wiki: Wikipedia, tmp_path: Path) -> None:
    client = Client(wiki, tmp_path)
    params = {"list": "random", "rnlimit": "1"}
    one, two = client.query(params, draw="1"), client.query(params, draw="2")
    assert one != two
    assert wiki.requests[0] == wiki.requests[1]
    assert client.query(params, draw="1") == one


def test_a_kept_answer_that_cannot_be_read_is_asked_for_again(
    wiki: Wikipedia, tmp_path: Path
) -> None:
    answer = Client(wiki, tmp_path).query(SEARCH)
    (path,) = tmp_path.rglob("*.json")
    for content in ("", "[]", '{"request": {}}', path.read_text()[:-20], "\udcff"):
        path.write_text(content, errors="surrogateescape")
        client = Client(wiki, tmp_path)
        assert client.query(SEARCH) == answer
        assert client.requests == 1
    assert Client(wiki, tmp_path).query(SEARCH) == answer


@pytest.mark.parametrize(
    ("fault", "pause"),
    [
        (api_error("maxlag", "Waiting for db1: 9 seconds lagged", Retry_After="7"), 7),
        (api_error("maxlag", "Waiting for db1: 9 seconds lagged"), 5),
        (api_error("ratelimited", "Too fast."), 1),
        (api_error("internal_api_error_DBQueryError", "Oh."), 1),
        (Fault(429, b"slow down", {"Retry-After": "31"}), 31),
        (Fault(500, b"<html>oh</html>"), 1),
        (Fault(503, b"", {"Retry-After": "soon"}), 1),
    ],
)
def test_what_is_busy_is_asked_again_after_the_pause_it_asks_for(
    wiki: Wikipedia, tmp_path: Path, fault: Fault, pause: float
) -> None:
    wiki.faults = [fault]
    client = Client(wiki, tmp_path)
    assert found(client.query(SEARCH)) == [1, 2]
    assert client.pauses == [pause]


def test_a_pause_may_be_given_as_a_date(wiki: Wikipedia, tmp_path: Path) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    wiki.faults = [Fault(429, b"", {"Retry-After": until})]
    client = Client(wiki, tmp_path)
    client.query(SEARCH)
    assert 60 < client.pauses[0] <= 90


def test_attempts_end_and_pauses_grow(wiki: Wikipedia, tmp_path: Path) -> None:
    wiki.always = Fault(502, b"")
    client = Client(wiki, tmp_path, retries=8)
    with pytest.raises(ApiFailure, match=r"status 502 \(9 attempts\)"):
        client.query(SEARCH)
    assert client.pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert not list(tmp_path.rglob("*.json"))


def test_a_pause_of_an_hour_is_told_instead_of_waited(wiki: Wikipedia, tmp_path: Path) -> None:
    wiki.always = Fault(429, b"", {"Retry-After": "3600"})
    client = Client(wiki, tmp_path)
    with pytest.raises(ApiFailure, match="asks for a pause of 3600 s"):
        client.query(SEARCH)
    assert client.pauses == []


def test_a_server_that_hangs_is_given_up(wiki: Wikipedia, tmp_path: Path) -> None:
    wiki.faults = [Fault(hang=True)]
    client = Client(wiki, tmp_path, timeout=0.2)
    assert found(client.query(SEARCH)) == [1, 2]
    wiki.always = Fault(hang=True)
    with pytest.raises(ApiFailure, match=r"does not answer within 0\.1 s"):
        Client(wiki, tmp_path / "other", timeout=0.1, retries=0).query(SEARCH)


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with Wikipedia({"Neon": "A gas."}) as gone:
        client = Client(gone, tmp_path, retries=1)
    with pytest.raises(ApiFailure, match=r"cannot be reached .*\(2 attempts\)"):
        client.query(SEARCH)


def test_a_host_that_is_no_name_is_told(tmp_path: Path) -> None:
    client = MediaWiki(
        "http://ex..ample/w/api.php",
        "someone@example.org",
        ResponseCache(tmp_path),
        requests_per_second=1e6,
        retries=3,
        timeout=1,
    )
    with pytest.raises(ApiFailure, match="is no address of a server"):
        client.query(SEARCH)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (api_error("badvalue", "Unrecognised value.", status=400), "400 .badvalue: Unrecognised"),
        (Fault(403, b"Please set a\nuser-agent \x1b[31m."), "403 .Please set a user-agent "),
        (Fault(404, b"\xff" * 5000), "status 404"),
        (api_error("cirrussearch-query-too-long", "Too long."), "refuses .* Too long"),
        (Fault(200, b"<html>Log in to the hotel</html>"), "no MediaWiki's api.php.*hotel"),
        (Fault(200, b'{"query": NaN}'), "no MediaWiki"),
        (Fault(200, b"[1]"), "no MediaWiki"),
        (Fault(200, b"[" * 200_000), "no MediaWiki"),
        (Fault(200, b"no gzip", {"Content-Encoding": "gzip"}), "cannot be decompressed"),
        (
            Fault(301, b"", {"Location": "https://me:word@other.example/w/api.php?x=1"}),
            r"redirects to 'https://\*\*\*@other.example/w/api.php'.*knowledge.endpoint",
        ),
    ],
)
def test_what_will_not_get_better_is_told_at_once(
    wiki: Wikipedia, tmp_path: Path, fault: Fault, told: str
) -> None:
    wiki.faults = [fault]
    client = Client(wiki, tmp_path)
    with pytest.raises(ApiFailure, match=told) as error:
        client.query(SEARCH)
    assert len(str(error.value)) < 500 and str(error.value).isprintable()
    assert len(wiki.requests) == 1 and not list(tmp_path.rglob("*.json"))


def test_a_body_without_end_is_not_read_to_it(wiki: Wikipedia, tmp_path: Path) -> None:
    body = gzip.compress(b" " * (LARGEST + 1))
    wiki.faults = [Fault(200, body, {"Content-Encoding": "gzip"})]
    with pytest.raises(ApiFailure, match=f"more than {LARGEST} bytes"):
        Client(wiki, tmp_path).query(SEARCH)


def test_half_a_character_is_no_reason_to_fail(wiki: Wikipedia, tmp_path: Path) -> None:
    wiki.faults = [Fault(200, json.dumps({"query": {"search": [], "x": "\ud800"}}).encode())]
    assert Client(wiki, tmp_path).query(SEARCH)["query"]["x"] == "?"


def test_requests_keep_their_distance(wiki: Wikipedia, tmp_path: Path) -> None:
    client = Client(wiki, tmp_path, requests_per_second=0.01)
    client.query(SEARCH)
    client.query(SEARCH | {"srsearch": "too"})
    (pause,) = client.pauses
    assert 90 < pause <= 100
