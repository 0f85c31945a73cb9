"""A server that speaks as much of OpenAI's chat completions as a client needs, and can fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from tests.serving import Fault, Handler, Served

PATH = "/v1/chat/completions"


def completion(content: str | None, *, finish: str | None = "stop") -> Fault:
    """A response of the form of the API, which says how many words came and went."""
    value = {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content},
                "finish_reason": finish,
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": len((content or "").split())},
    }
    return Fault(200, json.dumps(value).encode())


class Endpoint(Served):
    """An endpoint at `address` until the context ends.

    Args:
        write: what the model writes to a prompt, the last message's content.

    Attributes:
        requests: bodies of every request so far.
        keys: their Authorization headers.
        faults: answers to give instead of the next ones, in order.
        always: answer to give to every request instead, if any.
        most: requests that were being answered at a time.
    """

    def __init__(self, write: Callable[[str], str] = str.upper) -> None:
        super().__init__()
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.faults: list[Fault] = []
        self.always: Fault | None = None
        self.most = 0
        self._write = write
        self._now = 0
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        """Base address of the API."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def prompts(self) -> list[str]:
        """What was asked so far."""
        return [each["messages"][-1]["content"] for each in self.requests]

    def handler(self) -> type[Handler]:
        endpoint = self

        class Answering(Handler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply = endpoint._reply(self.path, body, self.headers.get("Authorization"))
                self.send(reply, endpoint._closed)

        return Answering

    def _reply(self, path: str, body: bytes, key: str | None) -> Fault:
        if path != PATH:
            return Fault(404, b'{"error": {"message": "no such path"}}')
        with self._lock:
            self.requests.append(json.loads(body))
            self.keys.append(key)
            self._now += 1
            self.most = max(self.most, self._now)
            fault = self.faults.pop(0) if self.faults else self.always
        try:
            if fault is not None:
                return fault
            return completion(self._write(json.loads(body)["messages"][-1]["content"]))
        finally:
            with self._lock:
                self._now -= 1
