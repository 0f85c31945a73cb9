"""Byte-level tokenizers with the chat templates and begin-of-text habits of well-known models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SMOLLM2 = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM<|im_end|>\n' }}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% for message in messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% endif %}"
)
GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}"
    "{% endif %}"
    "{% for message in messages %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
QWEN3 = (
    "{%- for message in messages %}"
    "{%- if message.role == 'assistant' and loop.last %}"
    "{{- '<|im_start|>assistant\n<think>\n\n</think>\n\n' + message.content.lstrip('\n') }}"
    "{{- '<|im_end|>\n' }}"
    "{%- else %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\n\n</think>\n\n' }}"
    "{%- endif %}"
    "{%- endif %}"
)
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
        words: added tokens that the vendor does not count among the control tokens.
    """

    template: str | None
    specials: tuple[str, ...]
    begin: str | None
    end: str | None
    adds_begin: bool = False
    words: tuple[str, ...] = ()


KINDS = {
    "smollm2": Kind(
        SMOLLM2, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), "<|im_start|>", "<|im_end|>"
    ),
    "llama3": Kind(
        LLAMA3,
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|begin_of_text|>",
        "<|eot_id|>",
        adds_begin=True,
    ),
    "llama3 base": Kind(  # ends a text otherwise than a turn
        LLAMA3,
        (
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
        ),
        "<|begin_of_text|>",
        "<|end_of_text|>",
        adds_begin=True,
    ),
    "gemma": Kind(
        GEMMA,
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<bos>",
        "<eos>",
        adds_begin=True,
    ),
    "qwen3": Kind(
        QWEN3,
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        None,
        "<|im_end|>",
        words=("<think>", "</think>"),
    ),
    "mistral": Kind(MISTRAL, ("<s>", "</s>", "[INST]", "[/INST]"), "<s>", "</s>", adds_begin=True),
    "without control": Kind(WITHOUT_CONTROL, ("<s>", "</s>"), "<s>", "</s>"),
}


def make_tokenizer(
    kind: Kind, *, merges: Sequence[tuple[str, str]] = ()
) -> PreTrainedTokenizerFast:
    """One token a byte, and one for each of the `merges` (in the byte-level alphabet).

    Texts are not cut into words first, so that merges may reach over spaces and line breaks.
    """
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, merges)]
    vocabulary = {token: at for at, token in enumerate([*kind.specials, *kind.words, *tokens])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(each, special=True) for each in kind.specials])
    tokenizer.add_tokens([AddedToken(each, special=False) for each in kind.words])
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
