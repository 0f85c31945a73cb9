"""Makes the unique training examples of a round from mistakes, passages and right answers.

How often each is read and in which order is the business of `schedule`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import Literal

from cem_lightning.corpus.config import KINDS, Kind, RecipeConfig
from cem_lightning.corpus.examples import Example
from cem_lightning.corpus.general import general_instructions
from cem_lightning.errors import UserError
from cem_lightning.knowledge.records import Passage
from cem_lightning.knowledge.supply.records import Item
from cem_lightning.mistakes.records import Mistake
from cem_lightning.mistakes.triage import Triaged
from cem_lightning.models.encoding import Encoded, Encoder
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Wording

Reason = Literal["leaked", "too_long", "unsupervised"]

REASONS: tuple[Reason, ...] = ("leaked", "too_long", "unsupervised")

# A letter or digit of a script that puts spaces between words: there an answer must be a whole
# word, while in Chinese and Japanese it may stand anywhere.
_SPACED = r"[^\W_\u3040-\u30ff\u3400-\u9fff]"


@dataclass(frozen=True)
class Assembly:
    """The unique examples of a round, and what was left out.

    Attributes:
        dropped: by reason and kind, how many examples were left out: "leaked" held a question
            that must not be trained on, "too_long" exceeded the model's context, "unsupervised"
            had no token to learn from.
    """

    examples: tuple[Example, ...]
    dropped: Mapping[Reason, Mapping[Kind, int]]


@dataclass(frozen=True)
class _Draft:
    """An example before it is checked: its text as a person would read it, and its encoding."""

    text: str
    encoded: Encoded
    question_ids: tuple[str, ...] = ()
    passage_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Routed:
    """What triage sends to training of what a round has collected.

    Attributes:
        mistakes: of whose questions and answers instructions are made.
        passages: to be read, each serving only the mistakes that are to be read about.
        control: random ones of about as many tokens.
        withheld: ids of the questions that nothing is made of.
    """

    mistakes: tuple[Mistake, ...]
    passages: tuple[Passage, ...]
    control: tuple[Passage, ...]
    withheld: tuple[str, ...]


def by_route(
    mistakes: Sequence[Mistake],
    passages: Sequence[Passage],
    control: Sequence[Passage],
    triaged: Sequence[Triaged],
    count_tokens: Callable[[str], int],
) -> Routed:
    """Apply the routes of a round: to mistakes, to passages that serve them, and to the control.

    Where passages are left out, the control, which is in random order, is cut off where its share
    of all its tokens comes nearest to theirs, so that both arms still read as much that is new.

    Args:
        triaged: a verdict on every mistake.
        count_tokens: number of the model's tokens in a text.
    """
    verdicts = {each.question: each for each in triaged}
    kept = to_be_read(passages, triaged)
    drawn = tuple(control)
    if len(kept) < len(passages):
        tokens = [sum(count_tokens(each.text) for each in some) for some in (kept, passages)]
        drawn = _beginning(drawn, tokens[0] / max(tokens[1], 1), count_tokens)
    return Routed(
        tuple(each for each in mistakes if verdicts[each.question.id].trained),
        tuple(kept),
        drawn,
        tuple(question for question, verdict in verdicts.items() if not verdict.trained),
    )


def to_be_read(passages: Sequence[Passage], triaged: Sequence[Triaged]) -> list[Passage]:
    """Those passages that a mistake is to be read about by, each serving only such mistakes."""
    verdicts = {each.question: each for each in triaged if each.reads}
    kept = (
        replace(
            each,
            serves=tuple(
                question
                for question in each.serves
                if question in verdicts and each.id in verdicts[question].passages
            ),
        )
        for each in passages
    )
    return [each for each in kept if each.serves]


def assemble(
    mistakes: Sequence[Mistake],
    passages: Sequence[Passage],
    control: Sequence[Passage],
    right: Sequence[Question],
    *,
    wording: Wording,
    encoder: Encoder,
    context: int,
    recipe: RecipeConfig,
    items: Sequence[Item] = (),
    leaks: Callable[[str], bool] | None = None,
    forgotten: Sequence[Question] = (),
    seed: int = 0,
) -> Assembly:
    """The unique examples of every kind that the recipe gives a share.

    Args:
        mistakes: source questions routed to training; see `by_route`.
        passages: passages retrieved for them, and synthetic ones made of these.
        control: passages drawn at random, read instead if ``recipe.passages`` is "random".
        right: source questions answered right before; those among the mistakes are left out.
        context: the longest sequence the model can read, in tokens.
        items: of some of these passages, to be done with the passage in the prompt.
        leaks: tells whether a text holds a question that must never be trained on.
        forgotten: source questions answered right in an earlier round, but not now. They are
            reviewed first: if there are any, only as many of `right` are as fill review's tokens.
        seed: draws these.

    Raises:
        UserError: if a kind with a share has candidates but nothing in them is supervised, or if
            no example is left at all.
    """
    read = control if recipe.passages == "random" else passages
    missed = {mistake.question.id for mistake in mistakes}
    drafts: dict[Kind, Iterator[_Draft]] = {
        "passage": _passages(read, encoder),
        "normative": _answered([each.question for each in mistakes], wording, encoder),
        "extractive": chain(
            _extractive(mistakes, read, wording, encoder), _items(items, passages, encoder)
        ),
        "review": _review(
            [each for each in forgotten if each.id not in missed],
            [each for each in right if each.id not in missed],
            wording,
            encoder,
            recipe,
            seed,
        ),
        "general": _general(encoder),
    }
    examples = []
    dropped: dict[Reason, Counter[Kind]] = {reason: Counter() for reason in REASONS}
    for kind in KINDS:
        if recipe.share(kind) == 0:
            continue
        for draft in drafts[kind]:
            ids, supervised = draft.encoded.ids, draft.encoded.supervised
            example = Example(kind, ids, supervised, draft.question_ids, draft.passage_ids)
            reason: Reason | None = None
            if leaks is not None and leaks(draft.text):
                reason = "leaked"
            elif len(ids) > context:
                reason = "too_long"
            elif example.targets == 0:
                reason = "unsupervised"
            if reason is None:
                examples.append(example)
            else:
                dropped[reason][kind] += 1
    _refuse_if_nothing_is_supervised(examples, dropped, recipe)
    return Assembly(
        tuple(examples), {reason: _in_order(counts) for reason, counts in dropped.items()}
    )


def states(text: str, answer: str) -> bool:
    """Whether a passage contains an answer as whole words, whatever the case and spacing.

    A number is no part of a longer one: "3.5" states neither "3" nor "5".
    """
    words = [re.escape(word) for word in answer.casefold().split()]
    if not words:
        return False
    pattern = r"\s+".join(words)
    if re.match(_SPACED, answer.strip()):
        pattern = rf"(?<!{_SPACED})(?<!\d[.,](?=\d)){pattern}"
    if re.search(f"{_SPACED}$", answer.strip()):
        pattern = rf"{pattern}(?!{_SPACED})(?!(?<=\d)[.,]\d)"
    return re.search(pattern, text.casefold()) is not None


def _beginning(
    passages: Sequence[Passage], share: float, count_tokens: Callable[[str], int]
) -> tuple[Passage, ...]:
    """The first passages with about a share of the tokens of all, to within half a passage."""
    until = [0, *accumulate(count_tokens(each.text) for each in passages)]
    wanted = share * until[-1]
    return tuple(passages[: min(range(len(until)), key=lambda at: abs(until[at] - wanted))])


def _passages(passages: Sequence[Passage], encoder: Encoder) -> Iterator[_Draft]:
    for passage in {each.id: each for each in passages}.values():
        yield _Draft(passage.text, encoder.text(passage.text), passage.serves, (passage.id,))


def _answered(
    questions: Sequence[Question], wording: Wording, encoder: Encoder
) -> Iterator[_Draft]:
    for question in questions:
        yield _draft(question, (), wording, encoder)


def _review(
    forgotten: Sequence[Question],
    right: Sequence[Question],
    wording: Wording,
    encoder: Encoder,
    recipe: RecipeConfig,
    seed: int,
) -> Iterator[_Draft]:
    """All that were forgotten, then those right now, all of them or what review has room for."""
    if not forgotten:
        yield from _answered(right, wording, encoder)
        return
    drawn = random.Random(f"{seed}:review").sample(right, len(right))
    room = recipe.tokens * recipe.share("review")
    for position, draft in enumerate(_answered([*forgotten, *drawn], wording, encoder)):
        if position >= len(forgotten) and room <= 0:
            return
        yield draft
        room -= len(draft.encoded.ids)


def _extractive(
    mistakes: Sequence[Mistake], passages: Sequence[Passage], wording: Wording, encoder: Encoder
) -> Iterator[_Draft]:
    for question in (mistake.question for mistake in mistakes):
        for passage in passages:
            if question.id in passage.serves and states(passage.text, question.gold):
                yield _draft(question, (passage,), wording, encoder)


def _items(
    items: Sequence[Item], passages: Sequence[Passage], encoder: Encoder
) -> Iterator[_Draft]:
    known = {each.id: each for each in passages}
    for item in items:
        passage = known[item.written.parent]
        prompt = f"{passage.text}\n\n{item.instruction}"
        yield _Draft(
            f"{prompt}\n{item.response}",
            encoder.exchange(prompt, item.response),
            passage.serves,
            (passage.id,),
        )


def _general(encoder: Encoder) -> Iterator[_Draft]:
    for instruction, response in general_instructions():
        yield _Draft(f"{instruction}\n{response}", encoder.exchange(instruction, response))


def _draft(
    question: Question, passages: tuple[Passage, ...], wording: Wording, encoder: Encoder
) -> _Draft:
    prompt = wording.prompt(question, passages=[passage.text for passage in passages])
    response = wording.response(question, question.answer)
    return _Draft(
        f"{prompt}\n{response}",
        encoder.exchange(prompt, response),
        (question.id,),
        tuple(passage.id for passage in passages),
    )


def _refuse_if_nothing_is_supervised(
    examples: Sequence[Example],
    dropped: Mapping[Reason, Mapping[Kind, int]],
    recipe: RecipeConfig,
) -> None:
    kept: Counter[Kind] = Counter(example.kind for example in examples)
    masked = [kind for kind in KINDS if dropped["unsupervised"].get(kind) and not kept[kind]]
    if examples and not masked:
        return
    tokens: Counter[Kind] = Counter()
    for example in examples:
        tokens[example.kind] += example.targets
    counts = "; ".join(
        f"{kind}: {tokens[kind]} tokens in {kept[kind]} examples"
        + "".join(
            f", {dropped[reason][kind]} {reason.replace('_', ' ')}"
            for reason in REASONS
            if dropped[reason].get(kind)
        )
        for kind in KINDS
        if recipe.share(kind) > 0
    )
    raise UserError(
        f"recipe {recipe.name!r}: no supervised tokens ({counts}). Nothing could be learned from "
        "it: give a share in recipe.shares to a kind that has examples, look whether passages "
        "were found for the mistakes and triage.routes has them read, or choose a model.style "
        "that fits the tokenizer."
    )


def _in_order(counts: Mapping[Kind, int]) -> dict[Kind, int]:
    return {kind: counts[kind] for kind in KINDS if counts.get(kind)}
