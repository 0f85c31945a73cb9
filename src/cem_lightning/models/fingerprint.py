"""A short hash of how a model's tokenizer reads text, to stand beside results.

Says whether two results can be compared; the files of a model are digested elsewhere.
"""

from __future__ import annotations

from cem_lightning.models.encoding import Encoder
from cem_lightning.storage.digests import digest_value

_SAMPLE = "Is it  \t\n3.14159?  Ünï-code: 水星 \U0001f600 isn't </s><|im_end|>.  "


def tokenizer_version(encoder: Encoder) -> str:
    """Hash of vocabulary, control tokens, chat template and style, 12 hexadecimal digits.

    Merges and normalisation enter by what they make of a sample.
    """
    tokenizer = encoder.tokenizer
    vocabulary = sorted((id, token) for token, id in tokenizer.get_vocab().items())
    template = getattr(tokenizer, "chat_template", None) if encoder.style == "chat" else None
    return digest_value(
        [
            vocabulary,
            sorted(encoder.control_ids),
            template,
            encoder.style,
            encoder.continuation(_SAMPLE, _SAMPLE),
        ]
    )[:12]
