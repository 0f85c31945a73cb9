"""Asks again what failed for now, later each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from cem_lightning.knowledge.manners import BACKOFF, LONGEST_BACKOFF, NotNow

LONGEST_PAUSE = 60.0  # seconds that one page is worth waiting for

Sleep = Callable[[float], Awaitable[None]]
_T = TypeVar("_T")


async def patiently(ask: Callable[[], Awaitable[_T]], retries: int, sleep: Sleep) -> _T:
    """What is answered at last.

    Args:
        ask: raises `NotNow` if it failed for now.
        sleep: waits for a number of seconds.

    Raises:
        NotNow: if all attempts failed, or the next would be too late to be worth it.
    """
    backoff = BACKOFF
    for left in range(retries, -1, -1):
        try:
            return await ask()
        except NotNow as busy:
            pause = backoff if busy.pause is None else busy.pause
            if not left or pause > LONGEST_PAUSE:
                raise
        await sleep(pause)
        backoff = min(2 * backoff, LONGEST_BACKOFF)
    raise AssertionError("unreachable")
