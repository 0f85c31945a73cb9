"""Whoever writes synthetic text: a model behind an endpoint, or one that is at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cem_lightning.knowledge.endpoint_messages import Messages

Write = Callable[[Sequence[str], Callable[[int], None]], Sequence[str | None]]


class Generator(Protocol):
    """Answers prompts; `ChatEndpoint` is one."""

    @property
    def name(self) -> str:
        """The model's name, as records have it."""
        ...

    def complete(self, prompts: Sequence[Messages], advance: Callable[[int], None]) -> list[str]:
        """Answers in the order of the prompts; "" where there is no whole one.

        Args:
            advance: called with the number of prompts done.
        """
        ...


@dataclass(frozen=True)
class CallableGenerator:
    """A model at hand, to which a conversation is one prompt.

    Attributes:
        write: what the model writes to each prompt; None where it can write nothing.
    """

    name: str
    write: Write

    def complete(self, prompts: Sequence[Messages], advance: Callable[[int], None]) -> list[str]:
        texts = ["\n\n".join(turn.content for turn in prompt) for prompt in prompts]
        return [(each or "").strip() for each in self.write(texts, advance)]
