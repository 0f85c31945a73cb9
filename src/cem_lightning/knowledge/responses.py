"""Responses of a source on disk, each under its request: asked once, the same for ever.

Holds what was answered and when, never how the source was reached.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cem_lightning.errors import UserError
from cem_lightning.storage.atomic import write_json
from cem_lightning.storage.digests import digest_value


class ResponseCache:
    """Responses under ``folder/<first two digits>/<digest of the request>.json``.

    Args:
        key: of the setting that names the folder.
    """

    def __init__(self, folder: Path, key: str = "knowledge.cache") -> None:
        self.folder = folder
        self._key_of_folder = key

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
            whole = stored["request"] == request and isinstance(stored["response"], dict)
        except (OSError, ValueError, KeyError, TypeError):
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
            raise UserError(
                f"{self._key_of_folder}: {self.folder} cannot be written ({error.strerror}); make "
                "room or name another folder."
            ) from None
        return response

    def _path(self, request: Mapping[str, Any]) -> Path:
        digest = digest_value(dict(request))
        return self.folder / digest[:2] / f"{digest}.json"
