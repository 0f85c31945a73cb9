"""Whose pages they are: registrable domains, from a list that comes with `tld`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit


def domain_of(origin: str) -> str:
    """The registrable domain of an address, such as example.co.uk; "" of anything else.

    A host without one, such as an IP address, is its own.
    """
    from tld import get_tld

    try:
        parts = urlsplit(origin)
        host = parts.hostname or ""
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https"):
        return ""
    found: Any = get_tld(origin, as_object=True, fail_silently=True)
    return str(found.fld) if found else host
