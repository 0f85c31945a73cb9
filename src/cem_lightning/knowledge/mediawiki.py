"""Asks a MediaWiki's action API, one polite request at a time, and keeps every response.

Knows the protocol (https://www.mediawiki.org/wiki/API:Etiquette), not what is asked for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, NoReturn

import httpx

from cem_lightning.knowledge.bodies import ACCEPTED, Body, Unusable
from cem_lightning.knowledge.manners import (
    BACKOFF,
    BUSY,
    LONGEST_BACKOFF,
    LONGEST_PAUSE,
    SLOWEST,
    NotNow,
    pause_of,
    plain,
    user_agent,
)
from cem_lightning.knowledge.responses import ResponseCache
from cem_lightning.secrets import redacted

# "maxlag=5 (seconds). This is an appropriate non-aggressive value"; after it "pause your script
# for at least 5 seconds" (https://www.mediawiki.org/wiki/Manual:Maxlag_parameter).
MAX_LAG = 5
LARGEST = 16 * 2**20  # bytes of a response; the longest articles have about one million
MOST_CONTINUED = 50  # responses to one question

_LATER = ("maxlag", "ratelimited", "readonly")


class ApiFailure(Exception):
    """A request that was not answered; the message says why, in words for the user."""


class MediaWiki:
    """A client of one api.php.

    Args:
        endpoint: full address of the api.php.
        contact: mail or web address for the User-Agent, which says who is asking.
        retries: further attempts at a request that fails for now.
        timeout: longest wait for an answer, in seconds.
        sleep: waits for a number of seconds.

    Attributes:
        requests: requests sent so far.
        hits: requests that the cache has answered.
    """

    def __init__(
        self,
        endpoint: str,
        contact: str,
        cache: ResponseCache,
        *,
        requests_per_second: float,
        retries: int,
        timeout: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.requests = 0
        self.hits = 0
        self._endpoint = endpoint
        self._contact = contact
        self._cache = cache
        self._spacing = 1 / requests_per_second
        self._retries = retries
        self._timeout = timeout
        self._sleep = sleep
        self._next = 0.0

    def query(self, params: Mapping[str, str], *, draw: str = "") -> dict[str, Any]:
        """One response to ``action=query``, from the cache if it is there.

        Its "query" is an object that holds the list which was asked for, or else "pages", a list
        that may be absent; what the rows are is not looked at.

        Args:
            draw: tells apart requests that are sent alike but shall be answered anew, such as
                draws at random; not sent.

        Raises:
            ApiFailure: if there is no answer, after all retries, or none of this form.
        """
        listed = params.get("list")
        request = self._request(params, draw)
        kept = self._cache.get(request)
        if kept is not None:
            self.hits += 1
            return _shaped(kept, listed)
        return self._cache.put(request, _shaped(self._answer(params), listed))

    def retrieved(self, params: Mapping[str, str]) -> str:
        """When the response to `query` came, ISO 8601 in UTC."""
        return self._cache.retrieved(self._request(params, ""))

    def _request(self, params: Mapping[str, str], draw: str) -> dict[str, Any]:
        return {"endpoint": self._endpoint, "params": dict(params), "draw": draw}

    def continued(self, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """All responses to a question whose answer comes in several.

        Raises:
            ApiFailure: as `query`.
        """
        more: dict[str, str] = {}
        for _ in range(MOST_CONTINUED):
            response = self.query({**params, **more})
            yield response
            following = response.get("continue")
            if not isinstance(following, dict) or following == more:
                return
            more = {str(key): str(value) for key, value in following.items()}

    @cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(
            headers={"User-Agent": user_agent(self._contact), **ACCEPTED},
            timeout=self._timeout,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connection, if one was opened."""
        if "_client" in self.__dict__:
            self._client.close()

    def _answer(self, params: Mapping[str, str]) -> dict[str, Any]:
        sent = {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "maxlag": str(MAX_LAG),
            **params,
        }
        backoff = BACKOFF
        for attempt in range(self._retries + 1):
            try:
                return self._attempt(sent)
            except NotNow as busy:
                if attempt == self._retries:
                    times = f" ({attempt + 1} attempts)" if attempt else ""
                    raise ApiFailure(f"{busy}{times}") from None
                pause = backoff if busy.pause is None else busy.pause
                if pause > LONGEST_PAUSE:
                    raise ApiFailure(f"{busy}, and asks for a pause of {pause:.0f} s") from None
                self._sleep(pause)
                backoff = min(2 * backoff, LONGEST_BACKOFF)
        raise AssertionError("unreachable")

    def _attempt(self, sent: Mapping[str, str]) -> dict[str, Any]:
        """One request and what came of it."""
        ahead = self._next - time.monotonic()
        if ahead > 0:
            self._sleep(ahead)
        self._next = time.monotonic() + self._spacing
        self.requests += 1
        try:
            with self._client.stream("GET", self._endpoint, params=dict(sent)) as response:
                if response.is_redirect:
                    _refuse_redirect(response)
                body = self._read(response)
        except httpx.TimeoutException:
            raise NotNow(f"does not answer within {self._timeout:g} s") from None
        except (httpx.InvalidURL, UnicodeError):  # a host's name is encoded only when it is used
            raise ApiFailure("is no address of a server") from None
        except Unusable as unusable:
            raise ApiFailure(f"answers with a body that is not read: {unusable}") from None
        except httpx.HTTPError as error:
            told = redacted(str(error)) or type(error).__name__
            raise NotNow(f"cannot be reached ({told})") from None
        return _content(response, body)

    def _read(self, response: httpx.Response) -> bytes:
        started = time.monotonic()
        body = Body(response, LARGEST)
        for chunk in response.iter_raw():
            body.add(chunk)
            if time.monotonic() - started > SLOWEST * self._timeout:
                raise NotNow(f"did not end its answer within {SLOWEST * self._timeout:g} s")
        return body.whole()


def _content(response: httpx.Response, body: bytes) -> dict[str, Any]:
    """The JSON object that was answered, if it is no error."""
    pause = pause_of(response.headers.get("Retry-After", ""))
    value = _json(body)
    error = value.get("error") if value is not None else None
    code, told = "", ""
    if isinstance(error, dict):
        code = plain(error.get("code", ""))
        told = f"{code}: {plain(error.get('info', ''))}"
    if response.status_code in BUSY:
        raise NotNow(f"answers with status {response.status_code}{told and f' ({told})'}", pause)
    if response.is_error:
        said = told or plain(body[:2000].decode("utf-8", "replace"))
        raise ApiFailure(f"answers with status {response.status_code} ({said})")
    if value is None:
        raise ApiFailure(
            "answers with something else than a JSON object, so it is no MediaWiki's api.php: "
            f"{plain(body[:200].decode('utf-8', 'replace'))!r}"
        )
    if code in _LATER or code.startswith("internal_api_error"):
        raise NotNow(f"is busy ({told})", pause or (float(MAX_LAG) if code == "maxlag" else None))
    if error is not None:
        raise ApiFailure(f"refuses the request ({told})")
    return value


def _shaped(value: dict[str, Any], listed: str | None) -> dict[str, Any]:
    """The response, if it has the form of one to the question: a list of that name, or pages."""
    query = value.get("query")
    if isinstance(query, dict):
        rows = query.get(listed) if listed else query.get("pages", [])
        if isinstance(rows, list):
            return value
    raise ApiFailure(
        f"answers without the list query.{listed or 'pages'}, so it is no MediaWiki's api.php (of "
        f"version 1.25 or later): {plain(json.dumps(value, ensure_ascii=False)[:200])!r}"
    )


def _json(body: bytes) -> dict[str, Any] | None:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(body, parse_constant=refuse)
        # Half a surrogate pair, which JSON can escape, is no text and could not be written.
        whole = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        value = json.loads(whole)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse_redirect(response: httpx.Response) -> NoReturn:
    """Nobody is asked but whom the user named: articles are trained on."""
    target = plain(redacted(response.headers.get("Location", "")).partition("?")[0])
    raise ApiFailure(
        f"redirects to {target!r}; if that is where the articles are, set knowledge.endpoint to it"
    )
