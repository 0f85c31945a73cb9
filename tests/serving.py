"""A web server of this machine, which the servers of the tests are made of."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Fault:
    """An answer out of the ordinary.

    Attributes:
        hang: answer nothing until the server is closed.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False


class Handler(BaseHTTPRequestHandler):
    """One connection, which stays open as HTTP/1.1 has it."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output readable."""

    def send(self, reply: Fault, closed: threading.Event) -> None:
        """Answer with JSON, or hang."""
        if reply.hang:
            closed.wait(10)
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        try:
            self.wfile.write(reply.body)
        except OSError:
            self.close_connection = True  # the client has heard enough


class Served(ABC):
    """A server at `port` until the context ends."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    @abstractmethod
    def handler(self) -> type[Handler]:
        """What serves a connection."""

    @property
    def port(self) -> int:
        return self._server.server_port

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
