"""Asking a model a pool of questions: from questions to answers with outcomes.

How log-likelihoods are computed is the business of `scoring`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import torch

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.generating import generate
from cem_lightning.answering.matching import exact_match, holds
from cem_lightning.answering.orders import cyclic_orders, own_order, own_position
from cem_lightning.answering.records import Answer, Outcome
from cem_lightning.answering.scoring import log_likelihoods
from cem_lightning.answering.sharding import Shares
from cem_lightning.answering.uncertainty import debiased
from cem_lightning.errors import UserError
from cem_lightning.models.loading import LanguageModel
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import LETTERS, Wording

_Asked = tuple[Question, str]  # with its prompt
_Score = tuple[tuple[float, ...], tuple[int, ...]]


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

    Multiple-choice questions are asked as the method says, with `config.permutations` under all
    cyclic orders of their choices (but not in the name-blind form, of which only the accuracy is
    wanted). A short-answer question is answered by greedy generation and is right by exact match;
    the accepted answer is scored beside it.

    Args:
        blind: mask the subject of the stem; questions without such a form are left out.
        passages: texts to put into the prompt (open book), by question id.
        advance: called with the number of questions done.

    Raises:
        UserError: if the choices of a question cannot be told apart or have no letters, or the
            model's log-likelihoods are no numbers.
    """
    wording = Wording(config.method)
    kept = [each for each in questions if not blind or each.blind is not None]
    for each in kept:
        _refuse_useless(each, config.method)

    def asked(question: Question) -> _Asked:
        texts = (passages or {}).get(question.id, ())
        return question, wording.prompt(question, blind=blind, passages=texts)

    turned = config.permutations == "cyclic" and not blind
    groups = [
        [asked(order) for order in (cyclic_orders(each) if turned else (each,))]
        for each in kept
        if not each.short
    ]
    # apart, so that the digits of the one kind do not depend on the presence of the other
    chosen = iter(_choose(model, groups, wording, config, advance))
    short = [asked(each) for each in kept if each.short]
    written = iter(_write(model, short, wording, config, advance))
    return tuple(next(written if each.short else chosen) for each in kept)


def ask_stream(
    model: LanguageModel,
    questions: Iterable[Question],
    config: AnsweringConfig,
    *,
    blind: bool = False,
    passages: Mapping[str, Sequence[str]] | None = None,
    advance: Callable[[int], None] = lambda _: None,
    window: int = 4096,
) -> Iterator[Answer]:
    """The answers of `ask`, of questions that need not all be in memory, nor their answers.

    Each window is asked for itself, so beyond one window the last digits may differ from `ask`.

    Args:
        window: how many questions are read, and asked together, at once.
    """
    remaining = iter(questions)
    while some := tuple(islice(remaining, window)):
        yield from ask(model, some, config, blind=blind, passages=passages, advance=advance)


def _choose(
    model: LanguageModel,
    groups: Sequence[Sequence[_Asked]],
    wording: Wording,
    config: AnsweringConfig,
    advance: Callable[[int], None],
) -> list[Answer]:
    """Answers to multiple-choice questions, each with its prompts under the orders asked."""
    asked = [each for group in groups for each in group]
    silent = config.method == "extract"  # it is the generation below that takes the time
    scored = _score(model, asked, wording, config, _nothing if silent else advance, len(groups))
    generated: list[str | None] = [""] * len(asked)
    if config.method == "extract":
        with Shares.here().counted(len(groups), advance) as counted:
            prompts = [prompt for _, prompt in asked]
            by_question = _by_question(counted, len(asked), len(groups))
            generated = generate(model, prompts, config, by_question)
    found = iter(zip(scored, generated, strict=True))
    return [_chosen(group, [next(found) for _ in group], wording, config) for group in groups]


def _chosen(
    orders: Sequence[_Asked],
    found: Sequence[tuple[_Score | None, str | None]],
    wording: Wording,
    config: AnsweringConfig,
) -> Answer:
    """The answer to one question, from scores and text under each order, its own first."""
    own = orders[0][0]
    taken: list[int | None] = []
    probabilities: list[tuple[float, ...]] = []
    for turn, ((question, _), (score, text)) in enumerate(zip(orders, found, strict=True)):
        if score is None or text is None:
            return Answer(own.id, (), (), None, "too_long")
        sums, tokens = score
        responses = [wording.response(question, index) for index in range(len(sums))]
        here = _probabilities(sums, tokens, responses, config.normalise)
        place = here.index(max(here))
        parsed = wording.parse(question, text) if config.method == "extract" else place
        taken.append(None if parsed is None else own_position(parsed, turn, len(here)))
        probabilities.append(own_order(here, turn))
    score, text = found[0]
    several = len(orders) > 1
    return Answer(
        own.id,
        score[0] if score else (),
        probabilities[0],
        taken[0],
        _outcome(taken[0], own.answer),
        text or "",
        tuple(taken) if several else (),
        debiased(probabilities) if several else None,
    )


def _write(
    model: LanguageModel,
    asked: Sequence[_Asked],
    wording: Wording,
    config: AnsweringConfig,
    advance: Callable[[int], None],
) -> list[Answer]:
    """Answers to short-answer questions with their prompts.

    A response that holds the accepted answer among other words is "unparsable": a failure of
    form. An accepted answer of more than `config.response_tokens` could never be written:
    "too_long".
    """
    scores = _score(model, asked, wording, config, _nothing, len(asked))
    texts = generate(model, [prompt for _, prompt in asked], config, advance)
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
    asked: Sequence[_Asked],
    wording: Wording,
    config: AnsweringConfig,
    advance: Callable[[int], None],
    questions: int,
) -> list[_Score | None]:
    """Log-likelihoods and token counts of the responses that choose each choice.

    Args:
        questions: how many the prompts ask, each under the same orders, to be counted by `advance`.

    Raises:
        UserError: if a log-likelihood is NaN or infinite.
    """
    encoder = model.encoder
    shares = Shares.here()
    with shares.counted(questions, advance) as counted:
        scores = log_likelihoods(
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
            advance=_by_question(counted, len(asked), questions),
            share=shares.part,
            total=shares.sum,
        )
    for (question, _), score in zip(asked, scores, strict=True):
        if score is not None and not all(map(math.isfinite, score[0])):
            raise UserError(
                f"model.path: the log-likelihoods of question {question.id!r} are no finite "
                f"numbers ({', '.join(map(str, score[0]))}). The weights may hold NaN or infinity, "
                "as after a training that diverged: look at them, or lower trainer.learning_rate."
                + (
                    f" Or {model.network.dtype} is too narrow for it: set model.dtype=float32."
                    if model.network.dtype != torch.float32
                    else ""
                )
            )
    return scores


def _by_question(
    advance: Callable[[int], None], prompts: int, questions: int
) -> Callable[[int], None]:
    """An `advance` for prompts that counts questions, in the end all of them."""
    done = 0

    def count(number: int) -> None:
        nonlocal done
        before, done = done * questions // max(prompts, 1), done + number
        advance(done * questions // max(prompts, 1) - before)

    return count


def _refuse_useless(question: Question, method: str) -> None:
    """Questions made in a program have passed no reader, and may have choices of any kind.

    Raises:
        UserError: if any score of the question would say nothing.
    """
    texts = [choice.strip() for choice in question.choices]
    fault = ""
    if not texts:
        fault = "has no choices; give at least one, the accepted answer"
    elif not all(texts):
        fault = f"has an empty choice (number {texts.index('') + 1}), which no response can give"
    elif len(set(texts)) < len(texts):
        twice = next(text for at, text in enumerate(texts) if text in texts[:at])
        fault = f"has the choice {twice!r} twice, and no answer could tell them apart"
    elif method != "cloze" and len(texts) > len(LETTERS):
        fault = (
            f"has {len(texts)} choices, and answering.method={method} has letters for "
            f"{len(LETTERS)}; ask it with answering.method=cloze"
        )
    elif not 0 <= question.answer < len(texts):
        fault = f"has its answer at position {question.answer} of {len(texts)} choices"
    if fault:
        raise UserError(f"question {question.id!r} {fault}.")


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
