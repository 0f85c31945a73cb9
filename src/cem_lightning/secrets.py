"""Finds secrets where they do not belong, and takes them out of texts that are kept.

Knows the secrets of the environment by the names of their variables, and the shapes of common
tokens; a digest or a long path is none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS)S?(_|$)", re.I)
_SHORTEST = 8  # characters; shorter values stand in configurations by chance
_USER = re.compile(r"(?<=://)[^\s/?#@]+(?=@)")  # a token may stand where a name is expected
_TOKEN = re.compile(
    r"\b(hf_[A-Za-z0-9]{30,}|wandb_v1_\w{20,}|gh[opsu]_[A-Za-z0-9]{36}|github_pat_\w{22,}"
    r"|sk-[\w-]{32,}|AKIA[0-9A-Z]{16})"
    r"|(?<=[?&])(?:[\w.-]*[_.-])?(?:access|api)?(?:auth|key|passwd|password|secret|sig|signature|token)"
    r"=[^&#\s]+",
    re.I,
)


def secrets_in(values: Any, key: str = "") -> Iterator[str]:
    """A problem for every value below a configuration that holds a secret; never the secret."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            yield from secrets_in(value, f"{key}.{name}" if key else str(name))
    elif isinstance(values, Sequence) and not isinstance(values, str):
        for at, value in enumerate(values):
            yield from secrets_in(value, f"{key}.{at}")
    elif values is not None:
        found = _what(str(values))
        if found:
            yield (
                f"{key}: holds {found}. Configurations are kept and logged: take it out, and leave "
                "it in the environment or in the file of its own tool (`hf auth login`, "
                "`wandb login`, ~/.netrc)"
            )


def redacted(text: str) -> str:
    """The text with three stars in place of every secret."""
    for _, secret in _environment():
        text = text.replace(secret, "***")
    return _TOKEN.sub("***", _USER.sub("***", text))


def _what(text: str) -> str | None:
    """What secret a text holds, in words."""
    for name, secret in _environment():
        if secret in text:
            return f"the value of the environment variable {name}"
    if _USER.search(text):
        return "an address with a user name, password or token before its @"
    return "what looks like an access token" if _TOKEN.search(text) else None


def _environment() -> list[tuple[str, str]]:
    """Variables that hold secrets, the longest value first: one may be part of another."""
    found = [
        (name, value)
        for name, value in os.environ.items()
        if _NAME.search(name) and len(value) >= _SHORTEST
    ]
    return sorted(found, key=lambda each: (-len(each[1]), each[0]))
