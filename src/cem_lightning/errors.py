"""The one error that is the user's to mend; everything else is a bug and shows its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user set or supplied cannot be used.

    The message names what was set, what was found and what to do; the command line prints it
    without a traceback and ends with exit code 2.
    """


def nearest(name: str, known: Iterable[str], similarity: float = 0.6) -> str:
    """A hint ``; did you mean 'x'?`` for a misspelt `name`, or the empty string.

    Args:
        similarity: least share of characters in common (difflib's ratio), 0 to 1.
    """
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=similarity)
    return f"; did you mean {matches[0]!r}?" if matches else ""
