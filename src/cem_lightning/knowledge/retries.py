"""Asks again what failed for now, later each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from cem_lightning.knowledge.manners import BACKOFF, LONGEST_BACKOFF, NotNow

Sleep = Callable[[float], Awaitable[None]]
_T = TypeVar("_T")


async def patiently(
    ask: Callable[[], Awaitable[_T]], retries: int, sleep: Sleep, longest: float
) -> _T:
    """What is answered at last.

    Args:
        ask: raises `NotNow` if it failed for now.
        sleep: waits for a number of seconds.
        longest: pause that it is worth; seconds.

    Raises:
        NotNow: if all attempts failed, or a longer pause is asked for.
    """
    backoff = BACKOFF
    for attempt in range(retries + 1):
        try:
            return await ask()
        except NotNow as busy:
            if attempt == retries:
                raise NotNow(f"{busy} ({attempt + 1} attempts)" if attempt else str(busy)) from None
            pause = backoff if busy.pause is None else busy.pause
            if pause > longest:
                raise NotNow(f"{busy}, and asks for a pause of {pause:.0f} s") from None
        await sleep(pause)
        backoff = min(2 * backoff, LONGEST_BACKOFF)
    raise AssertionError("unreachable")
