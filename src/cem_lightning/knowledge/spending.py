"""What a model will be asked, and what that will cost, reckoned before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cem_lightning.knowledge.endpoint_config import EndpointConfig
from cem_lightning.knowledge.endpoint_messages import Messages

TURN_TOKENS = 8  # about what a chat template adds to a message
# of a token, about, in English and Chinese alike; the tokenizer behind an endpoint is not known
TOKEN_BYTES = 4


@dataclass(frozen=True)
class Spending:
    """An estimate from above: an answer is mostly shorter than its prompt.

    Attributes:
        input_tokens: of the prompts.
        output_tokens: of the answers, if each is as long as its prompt.
        dollars: None if a price is not known.
    """

    requests: int
    input_tokens: int
    output_tokens: int
    dollars: float | None

    def __mul__(self, times: int) -> Spending:
        dollars = None if self.dollars is None else self.dollars * times
        return Spending(
            self.requests * times, self.input_tokens * times, self.output_tokens * times, dollars
        )

    def __str__(self) -> str:
        told = (
            f"{self.requests:,} requests, about {self.input_tokens:,} tokens to read and "
            f"{self.output_tokens:,} to write"
        )
        return told if self.dollars is None else f"{told}, {self.dollars:,.2f} US dollars"


def spending(prompts: Iterable[Messages], endpoint: EndpointConfig) -> Spending:
    """What a model behind an endpoint would take for these prompts."""
    requests = asked = answered = 0
    for prompt in prompts:
        tokens = sum(
            TURN_TOKENS + len(turn.content.encode("utf-8", "replace")) // TOKEN_BYTES
            for turn in prompt
        )
        requests += 1
        asked += tokens
        answered += min(tokens, endpoint.max_tokens)
    return Spending(requests, asked, answered, endpoint.dollars(asked, answered))
