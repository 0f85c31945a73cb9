"""A server that speaks as much of MediaWiki's action API as a retriever needs, and can fail."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.serving import Fault, Handler, Served

REVISION = 1000  # the revision of page n is 1000 + n


def api_error(code: str, info: str, *, status: int = 200, **headers: str) -> Fault:
    """An error as the API words it; underscores in the names of headers are hyphens."""
    body = json.dumps({"error": {"code": code, "info": info}}).encode()
    return Fault(status, body, {name.replace("_", "-"): each for name, each in headers.items()})


class Wikipedia(Served):
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
        super().__init__()
        self.requests: list[dict[str, str]] = []
        self.agents: list[str] = []
        self.faults: list[Fault] = []
        self.always: Fault | None = None
        self._titles = [*articles, *(redirects or {})]
        self._articles = articles
        self._redirects = redirects or {}
        self._disambiguations = disambiguations
        self._draws = 0

    @property
    def endpoint(self) -> str:
        """Address of the api.php."""
        return f"http://127.0.0.1:{self.port}/w/api.php"

    def count(self, kind: str) -> int:
        """Requests for a list ("search", "random") or for articles ("extracts")."""
        return sum(
            kind in (each.get("list"), each.get("prop", "").split("|")[0]) for each in self.requests
        )

    def handler(self) -> type[Handler]:
        wiki = self

        class Answering(Handler):
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
                self.send(fault, wiki._closed)

        return Answering

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
