"""Asking a model a pool of questions: from questions to answers with outcomes.

How log-likelihoods are computed is the business of `scoring`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.matching import exact_match, holds
from cem_lightning.answering.records import Answer, Outcome
from cem_lightning.answering.scoring import log_likelihoods
from cem_lightning.models.loading import LanguageModel
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Wording


def ask(
    model: LanguageModel,
    questions: Sequence[Question],
    config: AnsweringConfig,
    *,
    blind: bool = False,
    passages: Mapping[str, Sequence[str]] | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[Answer, ...]:
    """The model's answer to every question, in the order asked.

    Multiple-choice questions are asked as the method says. A short-answer question is answered by
    greedy generation and is right by exact match; the accepted answer is scored beside it.

    Args:
        blind: mask the subject of the stem; questions without such a form are left out.
        passages: texts to put into the prompt (open book), by question id.
        advance: called with the number of questions done.
    """
    wording = Wording(config.method)
    asked = [
        (each, wording.prompt(each, blind=blind, passages=(passages or {}).get(each.id, ())))
        for each in questions
        if not blind or each.blind is not None
    ]
    # apart, so that the digits of the one kind do not depend on the presence of the other
    chosen = iter(
        _choose(model, [each for each in asked if not each[0].short], wording, config, advance)
    )
    written = iter(
        _write(model, [each for each in asked if each[0].short], wording, config, advance)
    )
    return tuple(next(written if question.short else chosen) for question, _ in asked)


def _choose(
    model: LanguageModel,
    asked: Sequence[tuple[Question, str]],
    wording: Wording,
    config: AnsweringConfig,
    advance: Callable[[int], None],
) -> list[Answer]:
    """Answers to multiple-choice questions with their prompts."""
    silent = config.method == "extract"  # it is the generation below that takes the time
    scores = _score(model, asked, wording, config, _nothing if silent else advance)
    texts: list[str | None] = [""] * len(asked)
    if config.method == "extract":
        texts = _generate(model, [prompt for _, prompt in asked], config, advance)
    answers = []
    for (question, _), score, text in zip(asked, scores, texts, strict=True):
        if score is None or text is None:
            answers.append(Answer(question.id, (), (), None, "too_long"))
            continue
        sums, tokens = score
        responses = [wording.response(question, index) for index in range(len(question.choices))]
        probabilities = _probabilities(sums, tokens, responses, config.normalise)
        if config.method == "extract":
            prediction = wording.parse(question, text)
        else:
            prediction = max(range(len(sums)), key=lambda index: probabilities[index])
        answers.append(
            Answer(
                question.id,
                sums,
                probabilities,
                prediction,
                _outcome(prediction, question.answer),
                text,
            )
        )
    return answers


def _write(
    model: LanguageModel,
    asked: Sequence[tuple[Question, str]],
    wording: Wording,
    config: AnsweringConfig,
    advance: Callable[[int], None],
) -> list[Answer]:
    """Answers to short-answer questions with their prompts.

    A response that holds the accepted answer among other words is "unparsable": a failure of
    form. An accepted answer of more than `config.response_tokens` could never be written:
    "too_long".
    """
    scores = _score(model, asked, wording, config, _nothing)
    texts = _generate(model, [prompt for _, prompt in asked], config, advance)
    answers = []
    for (question, _), score, text in zip(asked, scores, texts, strict=True):
        if score is None or text is None or score[1][0] > config.response_tokens:
            answers.append(Answer(question.id, (), (), None, "too_long"))
            continue
        sums, (tokens,) = score
        outcome: Outcome = "wrong"
        if exact_match(text, question.gold):
            outcome = "right"
        elif not text or holds(text, question.gold):
            outcome = "unparsable"  # knowing it and saying it otherwise is no lack of knowledge
        answers.append(
            Answer(
                question.id,
                sums,
                (math.exp(sums[0] / tokens),),
                question.answer if outcome == "right" else None,
                outcome,
                text,
            )
        )
    return answers


def _score(
    model: LanguageModel,
    asked: Sequence[tuple[Question, str]],
    wording: Wording,
    config: AnsweringConfig,
    advance: Callable[[int], None],
) -> list[tuple[tuple[float, ...], tuple[int, ...]] | None]:
    """Log-likelihoods and token counts of the responses that choose each choice."""
    encoder = model.encoder
    return log_likelihoods(
        model,
        [encoder.prompt(prompt) for _, prompt in asked],
        [
            [
                encoder.continuation(prompt, wording.response(question, index))
                for index in range(len(question.choices))
            ]
            for question, prompt in asked
        ],
        batch_tokens=config.batch_tokens,
        advance=advance,
    )


def _nothing(_: int) -> None:
    """No advance."""


def _outcome(prediction: int | None, gold: int) -> Outcome:
    if prediction is None:
        return "unparsable"
    return "right" if prediction == gold else "wrong"


def _probabilities(
    sums: Sequence[float], tokens: Sequence[int], responses: Sequence[str], normalise: str
) -> tuple[float, ...]:
    """Softmax over the choices of the length-normalised log-likelihoods."""
    lengths: Sequence[float] = {
        "sum": [1.0] * len(sums),
        "token": tokens,
        "byte": [len(response.encode()) for response in responses],
    }[normalise]
    scores = [total / length for total, length in zip(sums, lengths, strict=True)]
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    return tuple(weight / sum(weights) for weight in weights)


def _generate(
    model: LanguageModel,
    prompts: Sequence[str],
    config: AnsweringConfig,
    advance: Callable[[int], None],
) -> list[str | None]:
    """Greedy responses; None where the prompt leaves no room for one in the context."""
    tokenizer = model.encoder.tokenizer
    encoded = [model.encoder.prompt(prompt) for prompt in prompts]
    room = model.context - config.response_tokens
    fitting = [index for index, ids in enumerate(encoded) if len(ids) <= room]
    advance(len(prompts) - len(fitting))
    fitting.sort(key=lambda index: (-len(encoded[index]), index))
    texts: list[str | None] = [None] * len(prompts)
    padding = tokenizer.eos_token_id
    while fitting:
        longest = len(encoded[fitting[0]]) + config.response_tokens
        size = max(1, config.batch_tokens // longest)
        batch, fitting = fitting[:size], fitting[size:]
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
    return texts
