"""A server that speaks as much of the Hugging Face hub's protocol as an upload needs."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hub:
    """What has arrived.

    Attributes:
        refuse: status that every request is answered with, if any.
        files: content by repository and path, as of the last commit.
    """

    endpoint: str = ""
    refuse: int | None = None
    requests: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    cards: list[str] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)


@contextmanager
def local_hub() -> Iterator[Hub]:
    """A hub at `endpoint` until the context ends."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Keep the tests' output readable."""

        def _answer(self, value: Any, status: int = 200) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            hub.requests.append(f"{self.command} {path}")
            hub.tokens.append(self.headers.get("Authorization", ""))
            if hub.refuse is not None:
                self._answer({"error": "refused"}, hub.refuse)
            elif path == "/api/repos/create":
                name = "/".join(filter(None, map(json.loads(body).get, ("organization", "name"))))
                hub.created.append(name)
                self._answer({"url": f"{hub.endpoint}/{name}", "name": name})
            elif path == "/api/validate-yaml":
                hub.cards.append(json.loads(body)["content"])
                self._answer({"errors": [], "warnings": []})
            elif "/preupload/" in path:
                self._answer(
                    {
                        "files": [
                            {
                                "path": each["path"],
                                "uploadMode": "lfs"
                                if each["path"].endswith(".safetensors")
                                else "regular",
                                "shouldIgnore": False,
                            }
                            for each in json.loads(body)["files"]
                        ]
                    }
                )
            elif path.endswith("/info/lfs/objects/batch"):
                self._answer(
                    {
                        "transfer": "basic",
                        "objects": [
                            each
                            | {"actions": {"upload": {"href": f"{hub.endpoint}/lfs/{each['oid']}"}}}
                            for each in json.loads(body)["objects"]
                        ],
                    }
                )
            elif path.startswith("/lfs/"):
                digest = path.removeprefix("/lfs/")
                right = hashlib.sha256(body).hexdigest() == digest
                hub.blobs[digest] = body
                self._answer({}, 200 if right else 400)
            elif "/commit/" in path:
                name = path.removeprefix("/api/models/").partition("/commit/")[0]
                repository = hub.files.setdefault(name, {})
                for line in body.splitlines():
                    row = json.loads(line)
                    value = row["value"]
                    if row["key"] == "file":
                        repository[value["path"]] = base64.b64decode(value["content"])
                    elif row["key"] == "lfsFile":
                        repository[value["path"]] = hub.blobs[value["oid"]]
                self._answer(
                    {"commitUrl": f"{hub.endpoint}/{name}/commit/1", "commitOid": "1" * 40}
                )
            else:
                self._answer({"error": f"no such path: {path}"}, 404)

        do_GET = do_HEAD = do_POST = do_PUT = _handle

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
