"""Prompts and responses as token ids, with a mask of what is supervised.

The tokenizer's own chat template decides the form; nothing here knows a model's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal

from jinja2 import TemplateError

from cem_lightning.errors import UserError

Style = Literal["chat", "plain"]

_PLACEHOLDER = "\ue000"  # of Unicode's private use, so that no template says it
# In front of a template that asks for the day, as Llama 3.2's does: else prompts would change over
# night. It is the day that Llama 3.1's own template says where it is told none.
_DAY = (
    "{%- macro strftime_now(format) -%}"
    "{{ format | replace('%Y', '2024') | replace('%m', '07') | replace('%d', '26')"
    " | replace('%B', 'July') | replace('%b', 'Jul') | replace('%A', 'Friday') }}"
    "{%- endmacro -%}"
)


@dataclass(frozen=True)
class Encoded:
    """Token ids with one flag each: is this token's prediction trained (or scored)?"""

    ids: tuple[int, ...]
    supervised: tuple[bool, ...]


class Encoder:
    """Turns text into ids for one tokenizer.

    Args:
        tokenizer: a transformers tokenizer.
        style: "chat" uses the tokenizer's own template; "plain" asks a base model in plain text.

    Raises:
        UserError: if the style is "chat" and the tokenizer has no template that shows a question
            once and what is responded to it, or if it has no end of text.
    """

    def __init__(self, tokenizer: Any, style: Style) -> None:
        if style == "chat" and not getattr(tokenizer, "chat_template", None):
            raise UserError(
                f"model.path: the tokenizer of {tokenizer.name_or_path!r} has no chat template, "
                "and model.style is 'chat'. For a base model set model.style=plain."
            )
        if tokenizer.eos_token_id is None:
            raise UserError(
                f"model.path: the tokenizer of {tokenizer.name_or_path!r} names no end-of-text "
                "token (eos_token), so the end of a response cannot be trained."
            )
        self.tokenizer = tokenizer
        self.style = style
        first = tokenizer.encode("a")[:1]
        self._begin = first if first == [tokenizer.bos_token_id] else []
        self.lead = " " if style == "plain" else ""  # what parts a response from its prompt
        self._specials = _special_tokens(tokenizer)
        self._marks = _marks(tokenizer)
        self._controls = (*self._specials, *self._marks)
        starts = (f"(?<={re.escape(each[0])})(?={re.escape(each[1:])})" for each in self._marks)
        self._mark_start = re.compile("|".join(starts))
        self._shots: tuple[str, ...] = ()  # prompts and responses in turn
        self._refuse_useless_template()
        self._end = self._end_of_turn()

    @property
    def control_ids(self) -> frozenset[int]:
        """Ids of the control tokens."""
        marks = self.tokenizer.convert_tokens_to_ids(list(self._marks))
        return frozenset((*self._specials.values(), *marks))

    def largest_id(self) -> tuple[int, str]:
        """The largest id that a text or a turn can be given, and its token.

        A control token that the template does not write is never among them: Gemma 3's tokenizer
        has one for images, which its small models have no embedding of.
        """
        begin, end = self.text("text").ids, self.exchange("prompt", "response").ids
        unwritten = {*self._specials.values()}.difference(begin, end)
        known = self.tokenizer.get_vocab().items()
        return max((id, token) for token, id in known if id not in unwritten)

    def with_shots(self, shots: Sequence[tuple[str, str]]) -> Encoder:
        """An encoder whose `prompt` and `continuation` begin with solved examples.

        In a chat they are earlier turns. What is trained on (`text`, `exchange`) has none.

        Args:
            shots: prompt and response of each.

        Raises:
            UserError: if the chat template does not show every turn once.
        """
        other = copy(self)
        other._shots = tuple(part.strip() for shot in shots for part in shot)
        other._refuse_useless_template()
        return other

    def text(self, text: str) -> Encoded:
        """A whole text for continual pre-training: every token supervised, the end of text too.

        Control tokens written in the text are read as plain characters.
        """
        ids = [*self._begin, *self._encode(text, control=False), self.tokenizer.eos_token_id]
        return Encoded(tuple(ids), (True,) * len(ids))

    def count(self, text: str) -> int:
        """Tokens of a text alone, without begin and end."""
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    def prompt(self, prompt: str) -> tuple[int, ...]:
        """The ids up to where the model's response begins, with exactly one begin of text."""
        return self._encode_turns(prompt, "", shots=self._shots)

    def rendered(self, prompt: str) -> str:
        """The text up to where the model's response begins, as the template writes it."""
        return self._render((*self._shots, prompt.strip()))

    def continuation(self, prompt: str, response: str) -> tuple[int, ...]:
        """The ids of prompt and response, tokenised jointly and without an end of turn.

        A token may span the join, so `prompt(prompt)` need not be a prefix of them.
        """
        return self._encode_turns(prompt, response, shots=self._shots)

    def exchange(self, prompt: str, response: str) -> Encoded:
        """A prompt and its response; the response and its end of turn are supervised.

        Where the template closes a turn with no control token, the end of text does: generation
        stops there, and a response without an end would teach the model never to.
        """
        ids = self._encode_turns(prompt, response, self._end)
        if ids[-1] not in self._specials.values():
            ids = (*ids, self.tokenizer.eos_token_id)
        start = common_prefix(self._encode_turns(prompt, ""), ids)
        return Encoded(ids, tuple(position >= start for position in range(len(ids))))

    def _encode_turns(
        self, prompt: str, response: str, end: str = "", shots: tuple[str, ...] = ()
    ) -> tuple[int, ...]:
        """The ids of the rendered turns, of `response`, and of `end` as it stands."""
        contents, response = (*shots, prompt.strip()), response.strip()
        response = self.lead + response if response else ""
        if not any(token in text for text in (*contents, response) for token in self._controls):
            ids = self._encode(self._render(contents) + response + end, control=True)
        else:  # control tokens that somebody wrote into a question or passage stay plain text
            between = self._render((_PLACEHOLDER,) * len(contents)).split(_PLACEHOLDER)
            texts = (*contents, response)
            ids = [
                id
                for form, text in zip(between, texts, strict=True)
                for id in (*self._encode(form, control=True), *self._encode(text, control=False))
            ]
            ids += self._encode(end, control=True)
        begin = [] if self._begin and ids[0] == self._begin[0] else self._begin
        return (*begin, *ids)

    def _render(self, contents: Sequence[str]) -> str:
        """What stands before the response: prompts and responses in turn, a prompt last."""
        if self.style == "plain":
            forms = cycle(("Question: {}\nAnswer:", self.lead + "{}\n\n"))
            return "".join(form.format(text) for form, text in zip(forms, contents, strict=False))
        roles = cycle(("user", "assistant"))
        turns = [{"role": r, "content": text} for r, text in zip(roles, contents, strict=False)]
        return self._template(turns, add_generation_prompt=True)

    def _template(self, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
        # Templates that can think are asked for an answer at once; the others ignore the flag.
        template = self.tokenizer.get_chat_template()
        return str(
            self.tokenizer.apply_chat_template(
                messages,
                chat_template=_DAY + template if "strftime_now" in template else None,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                enable_thinking=False,
            )
        )

    def _refuse_useless_template(self) -> None:
        """A template that fails, or writes the question never or twice, would ruin every score."""
        name = self.tokenizer.name_or_path
        try:
            turns = len(self._shots) + 1
            written = self._render((_PLACEHOLDER,) * turns).count(_PLACEHOLDER)
        except TemplateError as error:
            raise UserError(
                f"model.path: the chat template of {name!r} fails ({error}). Mend it, or set "
                "model.style=plain."
            ) from error
        if written != turns:
            what = "a question" if turns == 1 else "questions, their answers and a question"
            raise UserError(
                f"model.path: the chat template of {name!r} writes {what} {written} times instead "
                f"of {'once' if turns == 1 else turns}. Mend it, or set model.style=plain"
                f"{'.' if turns == 1 else ' or answering.shots=0.'}"
            )

    def _end_of_turn(self) -> str:
        """What the template writes after a response, without the line break between turns."""
        if self.style == "plain":
            return ""
        turns = [
            {"role": "user", "content": "Q"},
            {"role": "assistant", "content": _PLACEHOLDER},
        ]
        name = self.tokenizer.name_or_path
        try:
            written = self._template(turns, add_generation_prompt=False)
        except TemplateError as error:
            raise UserError(
                f"model.path: the chat template of {name!r} fails at a response ({error}), so its "
                "end cannot be trained. Mend it, or set model.style=plain."
            ) from error
        _, response, end = written.rpartition(_PLACEHOLDER)
        if not response:
            raise UserError(
                f"model.path: the chat template of {name!r} leaves responses out, so their end "
                "cannot be trained. Mend it, or set model.style=plain."
            )
        return end.rstrip()

    def _encode(self, text: str, *, control: bool) -> list[int]:
        # A mark is taken for itself wherever it stands whole, so as plain text it is cut in two.
        pieces = [text] if control or not self._marks else self._mark_start.split(text)
        return [
            id
            for piece in pieces
            for id in self.tokenizer.encode(
                piece, add_special_tokens=False, split_special_tokens=not control
            )
        ]


def _special_tokens(tokenizer: Any) -> dict[str, int]:
    """Text and id of every special token, also of those that the tokenizer gives no role."""
    added = tokenizer.added_tokens_decoder.items()
    return dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)) | {
        token.content: id for id, token in added if token.special
    }


def _marks(tokenizer: Any) -> tuple[str, ...]:
    """Tokens that the chat template writes but the vendor does not count as special.

    Qwen3's <think> is one. Others that were added are words like any, such as Gemma's line breaks.
    """
    template = str(getattr(tokenizer, "chat_template", None) or "")
    added = [each.content for each in tokenizer.added_tokens_decoder.values() if not each.special]
    return tuple(
        each
        for each in added
        if len(each.strip()) > 1 and not each.isalnum() and each.strip() in template
    )


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """The number of leading ids that two sequences share."""
    for position, (left, right) in enumerate(zip(first, second, strict=False)):
        if left != right:
            return position
    return min(len(first), len(second))
