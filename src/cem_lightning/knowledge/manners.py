"""What is good manners towards any server: who asks, how long is waited, what is tried again."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import httpx

from cem_lightning.secrets import redacted

LONGEST_PAUSE = 300.0  # seconds that are waited because a source asks to
BACKOFF, LONGEST_BACKOFF = 1.0, 60.0  # seconds; doubled with every attempt
SLOWEST = 4  # timeouts that a whole response may take, however steadily it drips
BUSY = (408, 425, 429, 500, 502, 503, 504)  # statuses after which a request may be answered later


class NotNow(Exception):
    """A request that may well be answered later, after `pause` seconds if that is known."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


def user_agent(contact: str) -> str:
    """The form that https://foundation.wikimedia.org/wiki/Policy:User-Agent_policy asks for."""
    try:
        own = version("cem-lightning")
    except PackageNotFoundError:  # a checkout that is not installed
        own = "0"
    return f"cem-lightning/{own} ({contact}) httpx/{httpx.__version__}"


def pause_of(header: str) -> float | None:
    """Seconds of a Retry-After header, which holds them or a date (RFC 9110, 10.2.3)."""
    if header.strip().isdecimal():
        return float(header)
    try:
        until = parsedate_to_datetime(header)
        return max(0.0, (until.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def plain(value: Any) -> str:
    """Someone else's text, fit for one line of a message."""
    return redacted(" ".join("".join(c if c.isprintable() else " " for c in str(value)).split()))[
        :300
    ]
