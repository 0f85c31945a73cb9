"""What goes to a chat model and what comes back, as OpenAI's chat completions have it.

The form alone: how it travels is the business of `endpoint`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field

# come before the answer where a server does not part the two, often without the opening tag
_THOUGHTS = re.compile(r"^.*?</think>", re.DOTALL)
_WHOLE = ("stop", "eos", "eos_token", "stop_sequence")  # how servers say that an answer has ended


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


Messages = tuple[Message, ...]


@dataclass(frozen=True)
class Completion:
    """An answer.

    Attributes:
        content: "" if it was empty or cut off; without what the model thought before it.
        input_tokens: of the prompt, as the server counts them; None if it does not say.
        output_tokens: of the answer, likewise.
    """

    content: str
    input_tokens: int | None
    output_tokens: int | None


class _Written(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Written
    finish_reason: str | None = None


class _Response(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None  # servers differ, and no answer is worth less for it


def read_completion(body: bytes) -> Completion:
    """The answer that a response holds.

    Raises:
        ValueError: if it is no response of this form.
    """
    try:
        # Half a surrogate pair, which JSON can escape, is no text and could not be written.
        whole = json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace")
    except RecursionError:
        raise ValueError("nested too deep") from None
    response = _Response.model_validate_json(whole)
    choice = response.choices[0]
    content = _THOUGHTS.sub("", choice.message.content or "")
    return Completion(
        content.strip() if choice.finish_reason in _WHOLE else "",
        _counted(response.usage, "prompt_tokens"),
        _counted(response.usage, "completion_tokens"),
    )


def _counted(usage: Any, key: str) -> int | None:
    count = usage.get(key) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count > 0 else None
