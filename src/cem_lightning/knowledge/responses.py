"""Responses of a source on disk, each under its request: asked once, the same for ever.

Holds what was answered and when, never how the source was reached.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import AsyncFileLock

from cem_lightning.errors import UserError
from cem_lightning.storage.atomic import write_json
from cem_lightning.storage.digests import digest_value

_POLL = 0.1  # seconds between looks whether who holds a request has its answer


class ResponseCache:
    """Responses under ``folder/<first two digits>/<digest of the request>.json``.

    Args:
        key: of the setting that names the folder.
        usable: whether a response on disk is one; any other is asked for again.
    """

    def __init__(
        self,
        folder: Path,
        key: str = "knowledge.cache",
        usable: Callable[[dict[str, Any]], bool] = lambda _: True,
    ) -> None:
        self.folder = folder
        self._key_of_folder = key
        self._usable = usable

    def prepare(self) -> None:
        """Make the folder and see that it can be written, before an answer costs anything.

        Raises:
            UserError: if it cannot.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise self._unwritable(error) from None

    def get(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """What a request was answered with, or None if that is not known or cannot be read."""
        stored = self._entry(request)
        return None if stored is None else stored["response"]

    def retrieved(self, request: Mapping[str, Any]) -> str:
        """When a request was answered, ISO 8601 in UTC; "" if that is not known."""
        stored = self._entry(request)
        return "" if stored is None else str(stored.get("retrieved", ""))

    def _entry(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            stored = json.loads(self._path(request).read_text(encoding="utf-8"))
            response = stored["response"]
            whole = stored["request"] == request and isinstance(response, dict)
            whole = whole and self._usable(response)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return stored if whole else None

    def put(self, request: Mapping[str, Any], response: dict[str, Any]) -> dict[str, Any]:
        """Keep a response unless another process was first; returns the one that is kept.

        Raises:
            UserError: if the folder cannot be written.
        """
        if (kept := self.get(request)) is not None:
            return kept
        retrieved = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"request": dict(request), "retrieved": retrieved, "response": response}
        try:
            write_json(self._path(request), entry)
        except OSError as error:
            raise self._unwritable(error) from None
        return response

    @asynccontextmanager
    async def claimed(self, request: Mapping[str, Any]) -> AsyncIterator[None]:
        """Let nobody else hold this request, in this process or another, until the context ends.

        Two that ask the same at a time would pay twice for one answer.

        Raises:
            UserError: if the folder cannot be written.
        """
        path = self._path(request).with_suffix(".lock")
        lock = AsyncFileLock(path, poll_interval=_POLL)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            await lock.acquire()
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            await lock.release()

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(
            f"{self._key_of_folder}: {self.folder} cannot be written ({error.strerror}); make "
            "room or name another folder."
        )

    def _path(self, request: Mapping[str, Any]) -> Path:
        digest = digest_value(dict(request))
        return self.folder / digest[:2] / f"{digest}.json"
