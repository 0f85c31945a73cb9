"""What a model writes: greedy responses, in batches of prompts of about one length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.sharding import Shares
from cem_lightning.models.loading import LanguageModel


def generate(
    model: LanguageModel,
    prompts: Sequence[str],
    config: AnsweringConfig,
    advance: Callable[[int], None],
) -> list[str | None]:
    """Greedy responses of at most `config.response_tokens`, in the order of the prompts.

    Args:
        advance: called with the number of prompts done.

    Returns:
        As many as prompts; None where one leaves no room for a response in the context.
    """
    tokenizer = model.encoder.tokenizer
    encoded = [model.encoder.prompt(prompt) for prompt in prompts]
    room = model.context - config.response_tokens
    fitting = [index for index, ids in enumerate(encoded) if len(ids) <= room]
    shares = Shares.here()
    if shares.first:
        advance(len(prompts) - len(fitting))
    fitting.sort(key=lambda index: (-len(encoded[index]), index))
    batches = []
    while fitting:
        longest = len(encoded[fitting[0]]) + config.response_tokens
        size = max(1, config.batch_tokens // longest)
        batches.append(fitting[:size])
        fitting = fitting[size:]
    texts: dict[int, str] = {}
    padding = tokenizer.eos_token_id
    for batch in shares.own(batches):
        width = max(len(encoded[index]) for index in batch)
        ids = torch.tensor(
            [[padding] * (width - len(encoded[index])) + list(encoded[index]) for index in batch]
        )
        real = torch.tensor(
            [[0] * (width - len(encoded[index])) + [1] * len(encoded[index]) for index in batch]
        )
        with torch.inference_mode():
            out = model.network.generate(
                input_ids=ids.to(model.device),
                attention_mask=real.to(model.device),
                max_new_tokens=config.response_tokens,
                do_sample=False,
                pad_token_id=padding,
            )
        for index, row in zip(batch, out, strict=True):
            texts[index] = tokenizer.decode(row[width:], skip_special_tokens=True).strip()
        advance(len(batch))
    written = shares.merged(texts)
    return [written.get(index) for index in range(len(prompts))]
