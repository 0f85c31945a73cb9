"""What a model will be asked, and what that will cost, reckoned before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cem_lightning.knowledge.endpoint_messages import Messages

TURN_TOKENS = 8  # about what a chat template adds to a message
# of a token, about, in English and Chinese alike; the tokenizer behind an endpoint is not known
TOKEN_BYTES = 4


@dataclass(frozen=True)
class Spending:
    """An estimate from above.

    Attributes:
        input_tokens: of the prompts, about.
        output_tokens: of the answers, if each is as long as it may be.
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
            f"{self.requests:,} requests, about {self.input_tokens:,} tokens to read and at most "
            f"{self.output_tokens:,} to write"
        )
        return told if self.dollars is None else f"{told}, {self.dollars:,.2f} US dollars"


def spending(
    prompts: Iterable[Messages],
    longest: int,
    dollars: Callable[[int, int], float | None] = lambda *_: None,
) -> Spending:
    """What a model would take for these prompts.

    Args:
        longest: answer; tokens.
        dollars: what tokens to read and tokens to write cost.
    """
    counts = [prompt_tokens(prompt) for prompt in prompts]
    asked, answered = sum(counts), len(counts) * longest
    return Spending(len(counts), asked, answered, dollars(asked, answered))


def prompt_tokens(prompt: Messages) -> int:
    """About how many tokens a prompt has."""
    return sum(TURN_TOKENS + text_tokens(turn.content) for turn in prompt)


def text_tokens(text: str) -> int:
    """About how many tokens a text has."""
    return len(text.encode("utf-8", "replace")) // TOKEN_BYTES
