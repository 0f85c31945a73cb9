"""The client of chat completions against a server that answers, is busy, or misbehaves."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cem_lightning.errors import UserError
from cem_lightning.knowledge.endpoint import LARGEST, ChatEndpoint
from cem_lightning.knowledge.endpoint_config import EndpointConfig
from cem_lightning.knowledge.endpoint_messages import Message, Messages
from tests.endpoints import Endpoint, completion
from tests.serving import Fault

SECRET = "sk-very-secret"


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with Endpoint() as running:
        yield running


def config_of(address: str, folder: Path, **changes: Any) -> EndpointConfig:
    values: dict[str, Any] = {
        "address": address,
        "model": "tiny",
        "key_variable": None,
        "temperature": 0,
        "seed": 7,
        "max_tokens": 64,
        "concurrency": 1,
        "retries": 3,
        "timeout": 5,
        "cache": str(folder),
        "dollars_per_million_input": None,
        "dollars_per_million_output": None,
        "most_dollars": None,
    }
    return EndpointConfig.model_validate(values | changes)


class Client(ChatEndpoint):
    """A client that remembers its pauses instead of making them."""

    def __init__(self, server: Endpoint, folder: Path, **changes: Any) -> None:
        self.pauses: list[float] = []
        self.done = 0

        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)

        self.told: list[str] = []
        super().__init__(config_of(server.address, folder, **changes), self.told.append, sleep)

    def ask(self, *prompts: str) -> list[str]:
        return self.complete([prompt(each) for each in prompts], self._advance)

    def _advance(self, number: int) -> None:
        self.done += number


def prompt(text: str) -> Messages:
    return (Message("user", text),)


def kept(folder: Path) -> Sequence[Path]:
    return sorted(folder.rglob("*.json"))


def test_a_request_has_the_form_of_the_api(server: Endpoint, tmp_path: Path) -> None:
    messages = (Message("system", "Be brief."), Message("user", "hello"))
    client = Client(server, tmp_path)
    assert client.complete([messages], lambda _: None) == ["HELLO"]
    assert server.requests == [
        {
            "model": "tiny",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hello"},
            ],
            "temperature": 0,
            "seed": 7,
            "max_tokens": 64,
        }
    ]
    assert server.keys == [None]
    assert client.name == "tiny"


def test_a_second_run_is_offline_and_identical(tmp_path: Path) -> None:
    with Endpoint() as server:
        first = Client(server, tmp_path)
        answers = first.ask("one", "two", "one")
        assert (answers, first.requests, first.done) == (["ONE", "TWO", "ONE"], 2, 3)
        again = Client(server, tmp_path)
    assert again.ask("two", "one") == ["TWO", "ONE"]
    assert (again.requests, again.hits, again.done, again.input_tokens) == (0, 2, 2, 0)


def test_another_request_is_asked_anew(server: Endpoint, tmp_path: Path) -> None:
    for changes in ({}, {"model": "large"}, {"seed": 8}, {"temperature": 0.5}, {"max_tokens": 9}):
        client = Client(server, tmp_path, **changes)
        client.ask("one")
        assert (client.requests, client.hits) == (1, 0)


def test_how_it_is_reached_is_no_part_of_the_request(server: Endpoint, tmp_path: Path) -> None:
    Client(server, tmp_path).ask("one")
    client = Client(server, tmp_path, concurrency=9, retries=0, timeout=1)
    client.ask("one")
    assert (client.requests, client.hits) == (0, 1)


def test_as_many_prompts_are_on_their_way_as_allowed(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=5)

    def write(text: str) -> str:
        together.wait()
        return text

    prompts = [str(number) for number in range(9)]
    with Endpoint(write) as server:
        assert Client(server, tmp_path, concurrency=3).ask(*prompts) == prompts
    assert server.most == 3


def test_tokens_and_dollars_are_summed(server: Endpoint, tmp_path: Path) -> None:
    client = Client(server, tmp_path, dollars_per_million_input=2, dollars_per_million_output=10)
    client.ask("a b c", "d")
    assert (client.input_tokens, client.output_tokens) == (20, 4)
    assert client.dollars == pytest.approx((20 * 2 + 4 * 10) / 1e6)
    assert Client(server, tmp_path, dollars_per_million_input=2).dollars is None


@pytest.mark.parametrize(
    ("fault", "pause"),
    [
        (Fault(429, b"slow down", {"Retry-After": "31"}), 31),
        (Fault(429, b"slow down"), 1),
        (Fault(500, b"<html>oh</html>"), 1),
        (Fault(503, b"", {"Retry-After": "soon"}), 1),
    ],
)
def test_what_is_busy_is_asked_again_after_the_pause_it_asks_for(
    server: Endpoint, tmp_path: Path, fault: Fault, pause: float
) -> None:
    server.faults = [fault]
    client = Client(server, tmp_path)
    assert client.ask("one") == ["ONE"]
    assert client.pauses == [pause]


def test_attempts_end_and_pauses_grow(server: Endpoint, tmp_path: Path) -> None:
    server.always = Fault(502, b"")
    client = Client(server, tmp_path, retries=8)
    with pytest.raises(UserError, match=r"endpoint.address: .*status 502 \(9 attempts\)"):
        client.ask("one")
    assert client.pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert not kept(tmp_path)


def test_a_pause_of_an_hour_is_told_instead_of_waited(server: Endpoint, tmp_path: Path) -> None:
    server.always = Fault(429, b"", {"Retry-After": "3600"})
    client = Client(server, tmp_path)
    with pytest.raises(UserError, match="asks for a pause of 3600 s"):
        client.ask("one")
    assert client.pauses == []


def test_a_server_that_hangs_is_given_up(server: Endpoint, tmp_path: Path) -> None:
    server.faults = [Fault(hang=True)]
    assert Client(server, tmp_path, timeout=0.2).ask("one") == ["ONE"]
    server.always = Fault(hang=True)
    with pytest.raises(UserError, match=r"does not answer within 0\.1 s"):
        Client(server, tmp_path, timeout=0.1, retries=0).ask("two")


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with Endpoint() as gone:
        client = Client(gone, tmp_path, retries=1)
    with pytest.raises(UserError, match=r"cannot be reached .*\(2 attempts\)"):
        client.ask("one")


def test_what_was_answered_before_a_failure_is_kept(server: Endpoint, tmp_path: Path) -> None:
    server.faults = [completion("ONE"), Fault(403, b"no more")]
    with pytest.raises(UserError, match=r"403.*1 of 3 prompts are answered.*continues there"):
        Client(server, tmp_path).ask("one", "two", "three")
    client = Client(server, tmp_path)
    assert client.ask("one", "two", "three") == ["ONE", "TWO", "THREE"]
    assert (client.requests, client.hits) == (2, 1)


@pytest.mark.parametrize(
    "answer",
    [
        completion(""),
        completion(" \n"),
        completion(None),
        completion("half a sen", finish="length"),
        completion("half a sen", finish="content_filter"),
        completion("half a sen", finish=None),
    ],
)
def test_an_answer_that_is_not_whole_is_none_and_not_kept(
    server: Endpoint, tmp_path: Path, answer: Fault
) -> None:
    server.faults = [answer]
    client = Client(server, tmp_path)
    assert client.ask("one") == [""]
    assert (client.unfinished, client.input_tokens, kept(tmp_path)) == (1, 10, [])
    assert client.ask("one") == ["ONE"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(401, b'{"error": "who\n are you?"}'), "401 .*who are you.*key_variable"),
        (Fault(404, b"no such model"), r"404 .no such model.*endpoint.model"),
        (Fault(400, b"\xff" * 5000), "status 400"),
        (Fault(429, b'{"error": {"code": "insufficient_quota"}}'), "429 .*insufficient_quota"),
        (
            Fault(302, b"", {"Location": "https://me:k@x.org/v2"}),
            r"302: .* to https://.*x\.org/v2;",
        ),
        (Fault(302, b""), "status 302"),
        (Fault(200, b"<html>Log in to the hotel</html>"), "no OpenAI-compatible API.*hotel"),
        (Fault(200, b'{"choices": []}'), "no OpenAI-compatible"),
        (Fault(200, b'{"choices": [{"message": {"content": 3}}]}'), "no OpenAI-compatible"),
        (Fault(200, b'{"error": {"message": "overloaded"}}'), "overloaded"),
        (Fault(200, b"[" * 200_000), "no OpenAI-compatible"),
        (Fault(200, b"no gzip", {"Content-Encoding": "gzip"}), "cannot be decompressed"),
        (Fault(200, b"", {"Content-Encoding": "gzip, gzip"}), "is not read: packed by gzip, gzip"),
    ],
)
def test_what_will_not_get_better_is_told_at_once(
    server: Endpoint, tmp_path: Path, fault: Fault, told: str
) -> None:
    server.faults = [fault]
    client = Client(server, tmp_path)
    with pytest.raises(UserError, match=told) as error:
        client.ask("one")
    assert len(str(error.value)) < 900 and str(error.value).isprintable()
    assert (client.pauses, len(server.requests), kept(tmp_path)) == ([], 1, [])


def test_a_body_without_end_is_not_read_to_it(server: Endpoint, tmp_path: Path) -> None:
    body = gzip.compress(b" " * (LARGEST + 1))
    server.faults = [Fault(200, body, {"Content-Encoding": "gzip"})]
    with pytest.raises(UserError, match=f"more than {LARGEST} bytes"):
        Client(server, tmp_path).ask("one")


def test_half_a_character_is_no_reason_to_fail(server: Endpoint, tmp_path: Path) -> None:
    server.faults = [completion("neon \ud800")]
    assert Client(server, tmp_path).ask("one") == ["neon ?"]


def test_a_kept_answer_that_cannot_be_read_is_asked_for_again(
    server: Endpoint, tmp_path: Path
) -> None:
    Client(server, tmp_path).ask("one")
    (path,) = kept(tmp_path)
    whole = path.read_text()
    damaged = [
        whole.replace('"content": "ONE"', other)
        for other in ('"content": null', '"content": "\\ud800"', '"content": " "', '"other": "ONE"')
    ]
    assert whole not in damaged
    for content in ("", "[]", whole[:-20], "[" * 200_000, *damaged):
        path.write_text(content)
        client = Client(server, tmp_path)
        assert client.ask("one") == ["ONE"]
        assert client.requests == 1


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PASS", f"{SECRET}\n")
    Client(server, tmp_path, key_variable="MY_PASS").ask("one")
    assert server.keys == [f"Bearer {SECRET}"]
    assert all(SECRET not in path.read_text() for path in kept(tmp_path))
    server.faults = [Fault(401, f"Incorrect API key provided: {SECRET}.".encode())]
    with pytest.raises(UserError, match="Incorrect API key") as error:
        Client(server, tmp_path, key_variable="MY_PASS").ask("two")
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("value", [None, "", " ", "two words", "schlüssel", "a\x07b"])
def test_a_key_that_is_none_is_told_before_anything_is_sent(
    server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("MY_PASS", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_PASS", value)
    with pytest.raises(UserError, match="key_variable: the environment variable MY_PASS holds no"):
        Client(server, tmp_path, key_variable="MY_PASS")
    assert not server.requests


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("localhost:8000/v1", "not an http or https address"),
        ("ftp://localhost/v1", "not an http or https address"),
        ("http://me:word@localhost/v1", "without user name"),
        ("http://localhost/v1?key=x", "or query"),
        ("http://[::1/v1", "not an http or https address"),
        ("http://localhost:8000/v1/chat/completions", "leave out /chat/completions"),
        ("http://localhost:8000/v1 ", "not an http or https address"),
        ("http://local\nhost:8000/v1", "not an http or https address"),
    ],
)
def test_what_is_no_base_address_is_refused(tmp_path: Path, address: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        config_of(address, tmp_path)


def test_a_base_address_may_end_with_a_slash(server: Endpoint, tmp_path: Path) -> None:
    client = ChatEndpoint(config_of(f"{server.address}/", tmp_path))
    assert client.complete([prompt("one")], lambda _: None) == ["ONE"]


PRICES = {"dollars_per_million_input": 1.0, "dollars_per_million_output": 2.0}


def test_the_cost_is_told_before_anything_is_sent_and_only_of_what_is_not_kept(
    server: Endpoint, tmp_path: Path
) -> None:
    client = Client(server, tmp_path, max_tokens=40, **PRICES)
    client.ask("a" * 400, "a" * 400, "b" * 80)
    (told,) = client.told  # 108 and 28 tokens to read
    assert told.startswith("tiny is sent 2 requests, about 136 tokens to read and at most 80 to")
    assert told.endswith("0.00 US dollars")
    again = Client(server, tmp_path, max_tokens=40, **PRICES)
    again.ask("a" * 400)
    assert not again.told and not again.requests
    again.ask("a" * 400, "c")
    assert again.told[0].startswith("tiny is sent 1 requests")
    free = Client(server, tmp_path, model="other")
    free.ask("c")
    assert "dollars" not in free.told[0]


def test_what_would_cost_too_much_is_not_asked(server: Endpoint, tmp_path: Path) -> None:
    costly = PRICES | {"most_dollars": 5e-4}
    client = Client(server, tmp_path, **costly)
    with pytest.raises(UserError, match=r"endpoint.most_dollars: 0.0005, and 3 requests, about "):
        client.ask("a" * 400, "b" * 400, "c" * 400)
    assert not server.requests
    client.ask("a" * 40)  # what is left may be within the limit
    with pytest.raises(ValidationError, match="needs the prices"):
        config_of(server.address, tmp_path, most_dollars=1.0)


def test_the_limit_is_for_all_that_a_stage_asks(server: Endpoint, tmp_path: Path) -> None:
    # as the server counts: 10 tokens to read and 1 to write, 12 millionths of a dollar each
    client = Client(server, tmp_path, max_tokens=4, **PRICES, most_dollars=3.5e-5)
    client.ask("a")
    client.ask("b")
    with pytest.raises(
        UserError, match=r"beside 0\.0000 spent already\. It was not asked.*is kept"
    ):
        client.ask("c")
    assert server.prompts == ["a", "b"]
    assert Client(server, tmp_path, max_tokens=4).ask("a", "b") == ["A", "B"]


@pytest.mark.parametrize(
    "usage",
    [None, [], "none", {}, {"prompt_tokens": None}, {"prompt_tokens": 1.5}, {"prompt_tokens": -3}],
)
def test_an_answer_is_worth_no_less_for_how_its_tokens_are_told(
    server: Endpoint, tmp_path: Path, usage: Any
) -> None:
    value = json.loads(completion("Neon is a gas.").body) | {"usage": usage}
    server.always = Fault(200, json.dumps(value).encode())
    client = Client(server, tmp_path, **PRICES)
    assert client.ask("a" * 40) == ["Neon is a gas."]
    assert (client.input_tokens, client.output_tokens) == (18, 3)  # about
    assert client.dollars


def test_what_a_model_thinks_before_it_answers_is_no_answer(
    server: Endpoint, tmp_path: Path
) -> None:
    server.faults = [
        completion("<think>\nA gas?\n</think>\n\nNeon."),
        completion("A gas?</think>B"),
    ]
    assert Client(server, tmp_path).ask("one", "two") == ["Neon.", "B"]


def test_answers_that_were_cut_off_are_told_with_the_remedy(
    server: Endpoint, tmp_path: Path
) -> None:
    server.faults = [completion("half a", finish="length")]
    client = Client(server, tmp_path)
    client.ask("one", "two")
    assert client.told[-1].startswith("1 of 2 answers were empty or cut off; ")
    assert "raise endpoint.max_tokens, now 64" in client.told[-1]


def test_two_that_ask_the_same_pay_once(tmp_path: Path) -> None:
    asked = threading.Event()

    def write(text: str) -> str:
        asked.set()
        time.sleep(0.3)  # the second looks while the first waits
        return text.upper()

    with Endpoint(write) as server, ThreadPoolExecutor() as pool:
        first = pool.submit(Client(server, tmp_path).ask, "one")
        assert asked.wait(5)
        second = pool.submit(Client(server, tmp_path).ask, "one")
        assert first.result(9) == second.result(9) == ["ONE"]
        assert len(server.requests) == 1
    assert not list(tmp_path.rglob("*.lock"))


def test_a_cache_that_cannot_be_written_is_told_before_anything_is_sent(
    server: Endpoint, tmp_path: Path
) -> None:
    (tmp_path / "chat").write_text("a file")
    with pytest.raises(UserError, match=r"endpoint\.cache: .*chat cannot be written"):
        Client(server, tmp_path)
    assert not server.requests


@pytest.mark.parametrize("key", ["temperature", "timeout", *PRICES, "most_dollars"])
def test_what_is_no_finite_number_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        config_of("http://localhost/v1", tmp_path, **PRICES | {key: float("inf")})


def test_a_model_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="model"):
        config_of("http://localhost/v1", tmp_path, model=" ")
