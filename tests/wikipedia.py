"""A server that speaks as much of MediaWiki's action API as a retriever needs, and can fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

REVISION = 1000  # the revision of page n is 1000 + n


@dataclass
class Fault:
    """An answer that is none.

    Attributes:
        hang: answer nothing until the server is closed.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False


def api_error(code: str, info: str, *, status: int = 200, **headers: str) -> Fault:
    """An error as the API words it; underscores in the names of headers are hyphens."""
    body = json.dumps({"error": {"code": code, "info": info}}).encode()
    return Fault(status, body, {name.replace("_", "-"): each for name, each in headers.items()})


class Wikipedia:
    """A wiki at `endpoint` until the context ends.

    Args:
        articles: plain-text extracts by title; page ids count from 1 in this order.
        redirects: target titles by the titles that redirect there; their ids come after.
        disambiguations: titles of articles that only list meanings.

    Attributes:
        requests: parameters of every request so far.
        agents: their User-Agent headers.
        faults: answers to give instead of the next ones, in order.
        always: answer to give to every request instead, if any.
    """

    def __init__(
        self,
        articles: Mapping[str, str],
        *,
        redirects: Mapping[str, str] | None = None,
        disambiguations: tuple[str, ...] = (),
    ) -> None:
        self.requests: list[dict[str, str]] = []
        self.agents: list[str] = []
        self.faults: list[Fault] = []
        self.always: Fault | None = None
        self._titles = [*articles, *(redirects or {})]
        self._articles = articles
        self._redirects = redirects or {}
        self._disambiguations = disambiguations
        self._closed = threading.Event()
        self._draws = 0

    @property
    def endpoint(self) -> str:
        """Address of the api.php."""
        return f"http://127.0.0.1:{self._server.server_port}/w/api.php"

    def count(self, kind: str) -> int:
        """Requests for a list ("search", "random") or for articles ("extracts")."""
        return sum(
            kind in (each.get("list"), each.get("prop", "").split("|")[0]) for each in self.requests
        )

    def __enter__(self) -> Wikipedia:
        wiki = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Keep the tests' output readable."""

            def do_GET(self) -> None:
                address = urlsplit(self.path)
                params = dict(parse_qsl(address.query, keep_blank_values=True))
                wiki.requests.append(params)
                wiki.agents.append(self.headers.get("User-Agent", ""))
                fault = wiki.faults.pop(0) if wiki.faults else wiki.always
                if fault is None:
                    if address.path == "/w/api.php":
                        fault = Fault(200, json.dumps(wiki._answer(params)).encode())
                    else:
                        fault = Fault(404, b"no such page")
                if fault.hang:
                    wiki._closed.wait(10)
                    self.close_connection = True
                    return
                self.send_response(fault.status)
                for name, value in fault.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(fault.body)))
                self.end_headers()
                try:
                    self.wfile.write(fault.body)
                except OSError:
                    self.close_connection = True  # the client has heard enough

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, params: dict[str, str]) -> dict[str, Any]:
        if params.get("action") != "query" or params.get("formatversion") != "2":
            return {"error": {"code": "badvalue", "info": "This server answers queries only."}}
        if params.get("list") == "search":
            return self._search(params)
        if params.get("list") == "random":
            return self._random(int(params["rnlimit"]))
        return self._page(params)

    def _search(self, params: dict[str, str]) -> dict[str, Any]:
        """Articles that hold all words, those with more of them in the title first."""
        if len(params["srsearch"]) > 300:
            return {"error": {"code": "cirrussearch-query-too-long", "info": "Too long."}}
        words = params["srsearch"].casefold().split()
        found = [
            title
            for title, text in self._articles.items()
            if all(word in f"{title}\n{text}".casefold() for word in words)
        ]
        found.sort(key=lambda title: -sum(word in title.casefold() for word in words))
        limit = int(params["srlimit"])
        rows = [{"ns": 0, "title": each, "pageid": self._id(each)} for each in found[:limit]]
        more = {"continue": {"sroffset": limit, "continue": "-||"}} if len(found) > limit else {}
        return {"batchcomplete": True, **more, "query": {"search": rows}}

    def _random(self, limit: int) -> dict[str, Any]:
        """Other articles every time, as far as there are any."""
        self._draws += 1
        titles = list(self._articles)
        at = 7 * self._draws % len(titles)
        rows = [
            {"id": self._id(each), "ns": 0, "title": each}
            for each in (titles[at:] + titles[:at])[:limit]
        ]
        return {"batchcomplete": True, "query": {"random": rows}}

    def _page(self, params: dict[str, str]) -> dict[str, Any]:
        """Facts first, and the text when the question is continued."""
        number = int(params["pageids"])
        if number > len(self._titles):
            return {"query": {"pages": [{"pageid": number, "missing": True}]}}
        title = self._titles[number - 1]
        title = self._redirects.get(title, title)
        number = self._id(title)
        page: dict[str, Any] = {"pageid": number, "ns": 0, "title": title}
        if "excontinue" in params:
            page["extract"] = self._articles[title]
            return {"batchcomplete": True, "query": {"pages": [page]}}
        page["lastrevid"] = REVISION + number
        if title in self._disambiguations:
            page["pageprops"] = {"disambiguation": ""}
        more = {"excontinue": 1, "continue": "||info|pageprops"}
        return {"continue": more, "query": {"pages": [page]}}

    def _id(self, title: str) -> int:
        return self._titles.index(title) + 1


@contextmanager
def wikipedia_server(articles: Mapping[str, str]) -> Iterator[str]:
    """The address of an api.php with these plain-text articles by title, while it runs."""
    with Wikipedia(articles) as wiki:
        yield wiki.endpoint
