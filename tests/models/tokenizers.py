"""Byte-level tokenizers with the chat templates and begin-of-text habits of well-known models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

TEMPLATES = Path(__file__).parent / "templates"

MISTRAL = (  # this one leaves the begin of text to the tokenizer
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)
WITHOUT_CONTROL = (  # an end of turn that is no control token
    "{% for message in messages %}"
    "{{ message['role'] + ': ' + message['content'] + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


@dataclass(frozen=True)
class Kind:
    """What distinguishes the tokenizer of one family of models.

    Attributes:
        specials: control tokens, in the order of their ids.
        adds_begin: `encode` puts the begin of text in front of every text.
        marks: added tokens that the template writes but the vendor does not count as special.
        words: added tokens that are words like any.
    """

    template: str | None
    specials: tuple[str, ...]
    begin: str | None
    end: str | None
    adds_begin: bool = False
    marks: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def template_of(name: str) -> str:
    """The chat template of a model, as its tokenizer carries it."""
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_LLAMA3 = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_GEMMA = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")


def _llama3(template: str) -> Kind:
    return Kind(template_of(template), _LLAMA3, "<|begin_of_text|>", "<|eot_id|>", adds_begin=True)


def _gemma(template: str) -> Kind:
    words = ("\n\n", "<table>")
    return Kind(template_of(template), _GEMMA, "<bos>", "<eos>", adds_begin=True, words=words)


KINDS = {
    "smollm2": Kind(template_of("smollm2"), _CHATML, "<|im_start|>", "<|im_end|>"),
    "qwen1.5": Kind(template_of("qwen1_5"), _CHATML, None, "<|im_end|>"),
    "qwen2.5": Kind(
        template_of("qwen2_5"),
        _CHATML,
        None,
        "<|im_end|>",
        marks=("<tool_call>", "</tool_call>"),
        words=("<|fim_prefix|>",),
    ),
    "qwen3": Kind(
        template_of("qwen3"),
        _CHATML,
        None,
        "<|im_end|>",
        marks=("<tool_call>", "</tool_call>", "<think>", "</think>"),
        words=("<|fim_prefix|>",),
    ),
    "llama3": _llama3("llama3"),
    "llama3.1": _llama3("llama3_1"),
    "llama3.2": _llama3("llama3_2"),
    "llama3 base": Kind(  # ends a text otherwise than a turn
        template_of("llama3"),
        ("<|begin_of_text|>", "<|end_of_text|>", *_LLAMA3[1:]),
        "<|begin_of_text|>",
        "<|end_of_text|>",
        adds_begin=True,
    ),
    "gemma2": _gemma("gemma"),
    "gemma3": _gemma("gemma3"),
    "mistral": Kind(MISTRAL, ("<s>", "</s>", "[INST]", "[/INST]"), "<s>", "</s>", adds_begin=True),
    "without control": Kind(WITHOUT_CONTROL, ("<s>", "</s>"), "<s>", "</s>"),
}


def make_tokenizer(
    kind: Kind, *, merges: Sequence[tuple[str, str]] = ()
) -> PreTrainedTokenizerFast:
    """One token a byte, and one for each of the `merges` (in the byte-level alphabet).

    Texts are not cut into words first, so that merges may reach over spaces and line breaks.
    """
    added = (*kind.marks, *kind.words)
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, merges)]
    vocabulary = {token: at for at, token in enumerate([*kind.specials, *added, *tokens])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(each, special=True) for each in kind.specials])
    tokenizer.add_tokens([AddedToken(each, special=False) for each in added])
    if kind.adds_begin and kind.begin:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{kind.begin} $A", special_tokens=[(kind.begin, vocabulary[kind.begin])]
        )
    named = {"bos_token": kind.begin, "eos_token": kind.end}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{role: token for role, token in named.items() if token}
    )
    fast.chat_template = kind.template
    return fast
