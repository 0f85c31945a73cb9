"""A server on this machine that speaks as much of W&B's protocol as logging a run needs.

It keeps one run, and takes every artifact for one that it holds already, so that no file is sent.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import wandb

_PROJECT = {
    "__typename": "Project",
    "id": "P",
    "internalId": "UHJvamVjdDox",
    "name": "project",
    "entity": {"id": "E", "name": "us"},
}
_TIME = "2026-01-01T00:00:00Z"


class WandbServer:
    """What was sent.

    Attributes:
        history: the rows of the run.
        exit_codes: one for each time the run was ended.
        listed: what the run was begun with, last.
        files: the artifacts made and used, in order.
        views: workspaces and reports.
        forgets: no artifact is ever found again.
    """

    def __init__(self) -> None:
        self.address = ""
        self.history: list[dict[str, Any]] = []
        self.exit_codes: list[int] = []
        self.listed: dict[str, Any] = {}
        self.files: list[tuple[str, str]] = []
        self.views: list[dict[str, Any]] = []
        self.forgets = False
        self._summary = "{}"

    def stream(self, sent: dict[str, Any]) -> None:
        """Take a part of the run's files."""
        for name, file in (sent.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                self.history += map(json.loads, file["content"])
            elif name == "wandb-summary.json":
                self._summary = file["content"][-1]
        if sent.get("complete"):
            self.exit_codes.append(sent["exitcode"])

    def answer(self, operation: str, values: dict[str, Any]) -> dict[str, Any]:
        """Answer a GraphQL query or mutation."""
        name = str(values.get("name") or values.get("artifactID") or values.get("id"))
        match operation:
            case "Viewer" | "GetDefaultEntity":
                viewer = {"id": "U", "entity": "us", "username": "me", "name": "me"}
                return {"viewer": {**viewer, "flags": "{}", "teams": {"edges": []}}}
            case "UpsertBucket":
                known = bool(self.listed)
                self.listed |= {key: value for key, value in values.items() if value is not None}
                bucket = {**self._bucket(), "project": _PROJECT}
                return {"upsertBucket": {"bucket": bucket, "inserted": not known}}
            case "RunResumeStatus":
                return {"model": {**_PROJECT, "bucket": self._bucket() if self.listed else None}}
            case "GetProjects":
                project = {**_PROJECT, "entityName": "us", "createdAt": _TIME}
                project |= {"isBenchmark": False, "user": None}
                pages = {"endCursor": None, "hasNextPage": False}
                edges = [{"node": project, "cursor": "C"}]
                return {"models": {"edges": edges, "pageInfo": pages}}
            case "UpsertView" | "UpsertView2" | "upsertView":
                view = {**values, "id": f"View{len(self.views)}", "project": _PROJECT}
                self.views.append(values)
                return {"upsertView": {"view": {**view, "createdAt": _TIME, "updatedAt": _TIME}}}
            case "CreateRunFiles":
                files = [
                    {"name": each, "uploadUrl": f"{self.address}/files/{each}"}
                    for each in values["files"]
                ]
                return {"createRunFiles": {"runID": "B", "uploadHeaders": [], "files": files}}
            case "ArtifactType":
                return {"project": {"artifact": None}}
            case "CreateArtifact":
                name = values["input"]["artifactCollectionName"]
                if not name.startswith("run-"):  # W&B's own, of a table
                    self.files.append(("made", name))
                sequence = {"id": name, "latestArtifact": {"id": name, "versionIndex": 0}}
                made = {"id": name, "state": "COMMITTED", "artifactSequence": sequence}
                return {"createArtifact": {"artifact": made}}
            case "ArtifactByID":
                return {"artifact": _artifact(name)}
            case "ArtifactMembershipByName":
                found = None if self.forgets else _membership(name)
                return {"project": {"artifactCollectionMembership": found}}
            case "UseArtifact":
                self.files.append(("used", name))
                return {"useArtifact": {"artifact": _artifact(name)}}
        return {}

    def _bucket(self) -> dict[str, Any]:
        return {
            "id": "B",
            "name": self.listed["name"],
            "displayName": self.listed.get("displayName"),
            "config": self.listed.get("config", "{}"),
            "wandbConfig": json.dumps({"t": {}}),
            "summaryMetrics": self._summary,
            "historyLineCount": len(self.history),
            "historyTail": json.dumps([json.dumps(each) for each in self.history[-1:]]),
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "logLineCount": 0,
            "tags": [],
        }


def _collection(name: str) -> dict[str, Any]:
    return {"__typename": "ArtifactSequence", "id": name, "name": name, "project": _PROJECT}


def _artifact(name: str) -> dict[str, Any]:
    alias = {"__typename": "ArtifactAlias", "id": "L", "alias": "latest"}
    return {
        "__typename": "Artifact",
        "id": name,
        "versionIndex": 0,
        "artifactType": {"name": name.partition("-")[0]},
        "artifactSequence": _collection(name),
        "aliases": [{**alias, "artifactCollection": _collection(name)}],
        "metadata": "{}",
        "description": None,
        "ttlDurationSeconds": -2,
        "ttlIsInherited": False,
        "tags": [],
        "historyStep": None,
        "state": "COMMITTED",
        "size": 1,
        "digest": "d",
        "commitHash": "c",
        "fileCount": 1,
        "createdAt": _TIME,
        "updatedAt": _TIME,
    }


def _membership(name: str) -> dict[str, Any]:
    name = name.partition(":")[0]
    return {
        "__typename": "ArtifactCollectionMembership",
        "id": name,
        "versionIndex": 0,
        "createdAt": _TIME,
        "aliases": [],
        "artifactCollection": _collection(name),
        "artifact": _artifact(name),
    }


@contextmanager
def serving(patch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A server that the client in this process talks to until the context ends."""
    server = WandbServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            answer: dict[str, Any] = {}
            if self.path.startswith("/graphql"):
                sent = json.loads(body)
                operation = re.search(r"(?:query|mutation)\s+(\w+)", sent["query"])
                name = operation.group(1) if operation else ""
                answer = {"data": server.answer(name, sent.get("variables") or {})}
            elif self.path.endswith("/file_stream"):
                server.stream(json.loads(body))
            self.send_response(200)
            reply = json.dumps(answer).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        do_PUT = do_POST

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that has gone is no matter."""

    http = Quiet(("127.0.0.1", 0), Handler)
    server.address = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, daemon=True).start()
    patch.setenv("WANDB_BASE_URL", server.address)
    patch.setenv("WANDB_API_KEY", "0123456789" * 4)
    wandb.teardown()  # the client reads the environment once
    try:
        yield server
    finally:
        wandb.teardown()
        http.shutdown()
        http.server_close()
