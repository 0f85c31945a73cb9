"""Asks a model behind an OpenAI-compatible ``/chat/completions``, several prompts at a time.

Every whole answer is kept on disk under its request, so that it is paid for once and a second run
needs no network. What is asked, and what an answer is good for, is the business of `supply`.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

import httpx

from cem_lightning.errors import UserError
from cem_lightning.knowledge.endpoint_config import EndpointConfig
from cem_lightning.knowledge.endpoint_messages import Completion, Messages, read_completion
from cem_lightning.knowledge.manners import BUSY, NotNow, pause_of, plain
from cem_lightning.knowledge.responses import ResponseCache
from cem_lightning.knowledge.services import ServiceFailure, answered, whole_answer
from cem_lightning.knowledge.spending import prompt_tokens, spending, text_tokens
from cem_lightning.secrets import redacted

LARGEST = 4 * 2**20  # bytes of a response; an answer has some thousands

_PAID_UP = b"insufficient_quota"  # comes with status 429, but no pause will help
_REMEDIES = {
    401: "name the variable that holds its key in endpoint.key_variable",
    403: "name the variable that holds a key for this model in endpoint.key_variable",
    404: "look whether endpoint.address is the base of its API and endpoint.model one of "
    "its models",
}


class ChatEndpoint:
    """A client of one model, for one stage: `most_dollars` is for all that it is asked.

    Args:
        say: told, in words for the user, what is about to be asked and what it will cost.
        sleep: waits for a number of seconds.

    Attributes:
        requests: sent so far.
        hits: prompts whose answers were on disk.
        unfinished: answers that were empty or cut off, and are not kept.
        input_tokens: of the prompts sent so far, as the server counts them; if it does not, about.
        output_tokens: of its answers, likewise.

    Raises:
        UserError: if the key is not in the environment, or the cache cannot be written.
    """

    def __init__(
        self,
        config: EndpointConfig,
        say: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.requests = 0
        self.hits = 0
        self.unfinished = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self._config = config
        self._say = say
        self._sleep = sleep
        self._cache = ResponseCache(config.cache / "chat", "endpoint.cache", _usable)
        self._cache.prepare()
        self._address = f"{config.address}/chat/completions"
        self._key = _key(config)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._config.model or ""

    @property
    def dollars(self) -> float | None:
        """What has been spent; None if a price is not known."""
        return self._config.dollars(self.input_tokens, self.output_tokens)

    def complete(self, prompts: Sequence[Messages], advance: Callable[[int], None]) -> list[str]:
        """The model's answers in the order of the prompts; equal prompts are asked once.

        Args:
            advance: called with the number of prompts done.

        Returns:
            As many as prompts; "" where an answer was empty or cut off.

        Raises:
            UserError: if the forecast exceeds `most_dollars`, or the endpoint stays out of reach or
                refuses; what was answered is kept.
        """
        self._reckon(prompts)
        answers: dict[Messages, str] = {}
        times = Counter(prompts)
        unfinished = self.unfinished
        try:
            asyncio.run(self._complete(times, answers, advance))
        except ServiceFailure as failure:
            done = sum(times[each] for each in answers)
            raise UserError(
                f"endpoint.address: {redacted(self._config.address)} {failure}. {done} of "
                f"{len(prompts)} prompts are answered and kept in endpoint.cache: "
                f"{self._config.cache}; the same command continues there."
            ) from None
        if unfinished := self.unfinished - unfinished:
            self._say(
                f"{unfinished} of {len(times)} answers were empty or cut off; where they were cut, "
                f"raise endpoint.max_tokens, now {self._config.max_tokens}"
            )
        return [answers[each] for each in prompts]

    def _reckon(self, prompts: Sequence[Messages]) -> None:
        """Tell what is about to be asked, or refuse if the stage could cost too much with it."""
        config = self._config
        unknown = [each for each in dict.fromkeys(prompts) if self._kept(each) is None]
        if not unknown:
            return
        expected = spending(unknown, config.max_tokens, config.dollars)
        dollars, most, spent = expected.dollars, config.most_dollars, self.dollars
        if (
            most is not None
            and dollars is not None
            and spent is not None
            and dollars + spent > most
        ):
            before = f" beside {spent:,.4f} spent already" if self.requests else ""
            raise UserError(
                f"endpoint.most_dollars: {most:g}, and {expected} are forecast for what is not "
                f"answered yet{before}. It was not asked: raise it, lower endpoint.max_tokens, or "
                "ask for less; what is answered is kept."
            )
        self._say(f"{self.name} is sent {expected}")

    def _kept(self, prompt: Messages) -> dict[str, Any] | None:
        return self._cache.get(self._request(prompt))

    async def _complete(
        self,
        times: Counter[Messages],
        answers: dict[Messages, str],
        advance: Callable[[int], None],
    ) -> None:
        rest = iter(times)

        async def work(client: httpx.AsyncClient) -> None:
            for prompt in rest:
                answers[prompt] = await self._answer(client, prompt)
                advance(times[prompt])

        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx.Limits(max_connections=self._config.concurrency)
        async with httpx.AsyncClient(
            headers=headers, limits=limits, follow_redirects=False
        ) as client:
            try:
                async with asyncio.TaskGroup() as workers:
                    for _ in range(min(self._config.concurrency, len(times))):
                        workers.create_task(work(client))
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None

    async def _answer(self, client: httpx.AsyncClient, prompt: Messages) -> str:
        request = self._request(prompt)
        if (kept := self._cache.get(request)) is None:
            async with self._cache.claimed(request):
                if (kept := self._cache.get(request)) is None:
                    return await self._bought(client, prompt, request)
        self.hits += 1
        return str(kept["content"])

    async def _bought(
        self, client: httpx.AsyncClient, prompt: Messages, request: dict[str, Any]
    ) -> str:
        answer = await answered(
            lambda: self._ask(client, request["body"]), self._config.retries, self._sleep
        )
        read, wrote = answer.input_tokens, answer.output_tokens
        self.input_tokens += prompt_tokens(prompt) if read is None else read
        self.output_tokens += text_tokens(answer.content) if wrote is None else wrote
        if not answer.content:
            self.unfinished += 1
            return ""
        return str(self._cache.put(request, asdict(answer))["content"])

    def _request(self, prompt: Messages) -> dict[str, Any]:
        """What an answer is kept under: the address and all that is sent there."""
        config = self._config
        sent = {
            "model": config.model,
            "messages": [asdict(each) for each in prompt],
            "temperature": config.temperature,
            "seed": config.seed,
            "max_tokens": config.max_tokens,
        }
        return {"endpoint": self._address, "body": sent}

    async def _ask(self, client: httpx.AsyncClient, sent: dict[str, Any]) -> Completion:
        self.requests += 1
        response, body = await whole_answer(
            client,
            "POST",
            self._address,
            largest=LARGEST,
            timeout=self._config.timeout,
            json=sent,
        )
        return self._read(response, body)

    def _read(self, response: httpx.Response, body: bytes) -> Completion:
        status = response.status_code
        if status in BUSY and _PAID_UP not in body:
            pause = pause_of(response.headers.get("Retry-After", ""))
            raise NotNow(f"answers with status {status}", pause)
        if response.has_redirect_location:
            target = plain(redacted(response.headers["Location"]))
            raise ServiceFailure(
                f"answers with status {status}: it has moved to {target}; give the base of that "
                "as endpoint.address"
            )
        if status != 200:
            remedy = f"; {_REMEDIES[status]}" if status in _REMEDIES else ""
            raise ServiceFailure(f"answers with status {status} ({self._told(body)}){remedy}")
        try:
            return read_completion(body)
        except ValueError:
            raise ServiceFailure(
                f"answers without choices, so it is no OpenAI-compatible API: {self._told(body)!r}"
            ) from None

    def _told(self, body: bytes) -> str:
        """What a server says, without the key, which some repeat."""
        text = body[:2000].decode("utf-8", "replace")
        return plain(text.replace(self._key, "***") if self._key else text)


def check_endpoint(config: EndpointConfig) -> None:
    """Refuse before anything is answered what would fail when a stage asks.

    Raises:
        UserError: if the key is not in the environment, or the cache cannot be written.
    """
    ChatEndpoint(config)


def _usable(kept: dict[str, Any]) -> bool:
    content = kept.get("content")
    return isinstance(content, str) and content.strip() != "" and _is_text(content)


def _is_text(value: str) -> bool:
    return value == value.encode("utf-8", "replace").decode()  # halves of characters are not


def _key(config: EndpointConfig) -> str:
    """The key from the environment, "" if none is sent."""
    if config.key_variable is None:
        return ""
    key = os.environ.get(config.key_variable, "").strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(
            f"endpoint.key_variable: the environment variable {config.key_variable} holds no API "
            "key; export it, or set endpoint.key_variable=null for a server that wants none."
        )
    return key
