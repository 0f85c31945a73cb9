"""A server that speaks as much of the Hugging Face hub's protocol as a download needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_COMMIT = "1" * 40


@dataclass
class Hub:
    """What is on it.

    Attributes:
        folders: the files of public repositories, by id.
        refusals: status and error code that other repositories are answered with, by id.
        broken: repositories whose weights break off halfway.
        tokens: what requests came with for authorization.
        downloads: paths of the files that were asked for.
    """

    folders: dict[str, Path]
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    endpoint: str = ""
    tokens: list[str] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)


@contextmanager
def local_hub(hub: Hub) -> Iterator[Hub]:
    """`hub` at its `endpoint` until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Keep the tests' output readable."""

        def _answer(self, data: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if any(self.path.startswith(f"/{name}/") for name in hub.broken):
                data = data[: len(data) // 2]
            self.wfile.write(data)

        def _handle(self) -> None:
            hub.tokens.append(self.headers.get("Authorization", ""))
            path = self.path.partition("?")[0]
            name = "/".join(path.removeprefix("/api/models").split("/")[1:3])
            if name not in hub.folders:
                status, code = hub.refusals.get(name, (404, "RepoNotFound"))
                self._answer(b"{}", status, X_Error_Code=code, X_Error_Message="no")
                return
            folder = hub.folders[name]
            files = sorted(each for each in folder.iterdir() if each.is_file())
            if path.startswith("/api/"):
                if "/tree/" in path:
                    rows = [
                        {"type": "file", "path": each.name, "size": each.stat().st_size, "oid": "0"}
                        for each in files
                    ]
                    self._answer(json.dumps(rows).encode(), Content_Type="application/json")
                    return
                siblings = [{"rfilename": each.name} for each in files]
                value = {"id": name, "modelId": name, "sha": _COMMIT, "siblings": siblings}
                self._answer(json.dumps(value).encode(), Content_Type="application/json")
                return
            file = folder / path.rpartition("/")[2]
            if not file.is_file():
                self._answer(b"", 404, X_Error_Code="EntryNotFound")
                return
            if self.command == "GET":
                hub.downloads.append(path)
            data = file.read_bytes()
            tag = f'"{hashlib.sha256(data).hexdigest()}"'
            self._answer(data, ETag=tag, X_Repo_Commit=_COMMIT)

        do_GET = do_HEAD = _handle

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
