"""The hash of a tokenizer: the same for the same reading of text, another for any other."""

from __future__ import annotations

from typing import Any

from cem_lightning.models.encoding import Encoder
from cem_lightning.models.fingerprint import tokenizer_version
from tests.models.tokenizers import KINDS, make_tokenizer
from tests.tiny import tiny_tokenizer


def test_the_hash_is_that_of_how_text_is_read() -> None:
    first, again = (tokenizer_version(Encoder(tiny_tokenizer(), "chat")) for _ in range(2))
    assert first == again
    assert len(first) == 12


def test_vocabulary_merges_template_and_style_enter() -> None:
    def added() -> Any:
        tokenizer = tiny_tokenizer()
        tokenizer.add_tokens(["never written"])
        return tokenizer

    def templated() -> Any:
        tokenizer = tiny_tokenizer()
        tokenizer.chat_template = tokenizer.chat_template + "\n"
        return tokenizer

    smollm2 = KINDS["smollm2"]
    versions = [
        tokenizer_version(Encoder(tokenizer, style))
        for tokenizer, style in (
            (tiny_tokenizer(), "chat"),
            (tiny_tokenizer(), "plain"),
            (added(), "chat"),
            (templated(), "chat"),
            (make_tokenizer(smollm2), "chat"),
            (make_tokenizer(smollm2, merges=[("i", "s")]), "chat"),
        )
    ]
    assert len(set(versions)) == len(versions)
