"""Texts from outside made harmless for a terminal: nothing in them moves its cursor or hides.

Escapes only; what is shown of a text is the business of whoever shows it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast

_Record = TypeVar("_Record")


def printable(text: str) -> str:
    r"""The text with ``\u001b`` for a character that does not print; line ends and tabs stay."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in "\n\t" else f"\\u{ord(each):04x}" for each in text
    )


def printable_record(record: _Record) -> _Record:
    """A record of plain dataclasses, tuples and mappings with every text in it made printable."""
    return cast("_Record", _printable(record))


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, tuple):
        return tuple(map(_printable, value))
    if isinstance(value, Mapping):
        return {_printable(name): _printable(each) for name, each in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return dataclasses.replace(value, **_printable(fields))
    return value
