"""A web server with pages, robots.txt and a SearXNG's search, which can fail in every way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from tests.serving import Handler, Served


@dataclass
class Reply:
    """What a path is answered with.

    Attributes:
        cut: tell of more than is sent, and hang up.
        chunked: send the body in chunks, without telling how much it is.
        hang: send nothing until the server is closed.
        endless: send the body again and again.
    """

    body: bytes = b""
    status: int = 200
    type: str | None = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    chunked: bool = False
    hang: bool = False
    endless: bool = False


def article(title: str, *paragraphs: str) -> Reply:
    """A page with a menu, an article and a footer."""
    told = "".join(f"<p>{each}</p>" for each in paragraphs)
    return Reply(
        f"<html><head><title>{title}</title></head><body>"
        "<nav><a href='/'>Home</a> <a href='/news'>News</a></nav>"
        f"<article><h1>{title}</h1>{told}</article>"
        "<footer>Copyright, all rights reserved</footer></body></html>".encode()
    )


class Website(Served):
    """A site at `address` until the context ends.

    Args:
        pages: by their paths; a list is answered one after the other, its last for good.

    Attributes:
        requests: paths asked for so far, with their queries.
        agents: their User-Agent headers.
        hosts: their Host headers.
        silent: engines that a search says do not answer.
    """

    def __init__(self, pages: Mapping[str, Reply | list[Reply]]) -> None:
        super().__init__()
        self.pages = dict(pages)
        self.requests: list[str] = []
        self.agents: list[str] = []
        self.hosts: list[str] = []
        self.silent: list[list[str]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, path: str) -> int:
        return sum(urlsplit(each).path == path for each in self.requests)

    def handler(self) -> type[Handler]:
        site = self

        class Answering(Handler):
            def do_GET(self) -> None:
                site.requests.append(self.path)
                site.agents.append(self.headers.get("User-Agent", ""))
                site.hosts.append(self.headers.get("Host", ""))
                reply = site._reply(self.path)
                self.close_connection = True
                if reply.hang:
                    site._closed.wait(10)
                    return
                self.send_response(reply.status)
                # Untold, a client may send its next request into the connection that closes.
                self.send_header("Connection", "close")
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.type is not None:
                    self.send_header("Content-Type", reply.type)
                if reply.chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                elif not reply.endless:
                    self.send_header("Content-Length", str(len(reply.body) * (1 + reply.cut)))
                self.end_headers()
                try:
                    if reply.chunked:
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(reply.body), reply.body))
                        self.wfile.write(b"" if reply.cut else b"0\r\n\r\n")
                        return
                    self.wfile.write(reply.body)
                    while reply.endless and not site._closed.is_set():
                        self.wfile.write(reply.body)
                except OSError:
                    pass  # the client has heard enough

        return Answering

    def _reply(self, path: str) -> Reply:
        parts = urlsplit(path)
        found = self.pages.get(parts.path)
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        if found is not None:
            return found
        if parts.path == "/search":
            return self._search(dict(parse_qsl(parts.query)))
        return Reply(b"no such page", 404)

    def _search(self, params: dict[str, str]) -> Reply:
        """Pages that hold a word of the query, those with more of them first."""
        if params.get("format") != "json":
            return Reply(b"<html>results</html>")
        asked = params["q"].casefold().split()
        scores = {
            path: sum(word in page.body.decode(errors="replace").casefold() for word in asked)
            for path, page in self.pages.items()
            if isinstance(page, Reply) and path.endswith(".html")
        }
        best = sorted((path for path in scores if scores[path]), key=lambda path: -scores[path])
        rows = [{"url": f"{self.address}{path}", "title": path} for path in best]
        told = {"query": params["q"], "results": rows, "unresponsive_engines": self.silent}
        return Reply(json.dumps(told).encode(), type="application/json")
