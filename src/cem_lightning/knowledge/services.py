"""Asks a service whose address the user gave, a search or a model, patiently and within limits.

What it answers is the business of whoever asks; pages of strangers are that of `fetching`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from cem_lightning.knowledge.bodies import ACCEPTED, Unusable, read_body
from cem_lightning.knowledge.manners import LONGEST_PAUSE, SLOWEST, NotNow
from cem_lightning.knowledge.retries import Sleep, patiently
from cem_lightning.secrets import redacted

_T = TypeVar("_T")


class ServiceFailure(Exception):
    """A request that was not answered; the message says why, in words for the user."""


async def answered(ask: Callable[[], Awaitable[_T]], retries: int, sleep: Sleep) -> _T:
    """What is answered at last; see `patiently`.

    Raises:
        ServiceFailure: if it is not.
    """
    try:
        return await patiently(ask, retries, sleep, LONGEST_PAUSE)
    except NotNow as busy:
        raise ServiceFailure(str(busy)) from None


async def whole_answer(
    client: httpx.AsyncClient,
    method: str,
    address: str,
    *,
    largest: int,
    timeout: float,
    **sent: Any,
) -> tuple[httpx.Response, bytes]:
    """A response of any status, with its whole body.

    Args:
        largest: bytes of the body, unpacked.
        timeout: longest wait for a part of it; seconds. The whole may take four times that.
        sent: what the client is to send along.

    Raises:
        NotNow: if it does not come, or not in time.
        ServiceFailure: if it never will, or is too large.
    """
    longest = SLOWEST * timeout
    try:
        async with (
            asyncio.timeout(longest),
            client.stream(method, address, timeout=timeout, headers=ACCEPTED, **sent) as response,
        ):
            return response, await read_body(response, largest)
    except Unusable as unusable:
        raise ServiceFailure(f"answers with a body that is not read: {unusable}") from None
    except httpx.TimeoutException:
        raise NotNow(f"does not answer within {timeout:g} s") from None
    except TimeoutError:
        raise NotNow(f"did not end its answer within {longest:g} s") from None
    except (httpx.InvalidURL, UnicodeError):  # a host's name is encoded only when it is used
        raise ServiceFailure("is no address of a server") from None
    except httpx.HTTPError as error:
        told = redacted(str(error)) or type(error).__name__
        raise NotNow(f"cannot be reached ({told})") from None
