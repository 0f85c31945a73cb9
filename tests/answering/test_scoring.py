"""Tree-attention scoring against the plain way: one sequence for every option."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.answering.scoring import log_likelihoods
from cem_lightning.models.loading import LanguageModel
from tests.answering.models import Ids, language_model, token_scores
from tests.tiny import Architecture

Scores = tuple[tuple[float, ...], tuple[int, ...]]
TOLERANCE = 1e-4  # nats

QUESTIONS = (
    ("Which sea?", ("Red Sea", "Black Sea", "Dead Sea", "Adriatic")),
    ("Which sea lies between Africa and Arabia, and is salty?", ("Red Sea", "the Baltic")),
    ("1+1?", ("2", "20", "3", "11", "2 or 3")),
    ("What?", ("x", "a very long answer that goes on and on, far beyond the others " * 3)),
    ("Which sea is red?", ("Red Sea", "Red Seas", "Red", "R")),
)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return language_model(tmp_path_factory.mktemp("llama"))


def encoded(model: LanguageModel, questions: Any = QUESTIONS) -> tuple[list[Ids], list[list[Ids]]]:
    encoder = model.encoder
    return (
        [encoder.prompt(stem) for stem, _ in questions],
        [[encoder.continuation(stem, each) for each in choices] for stem, choices in questions],
    )


def shared_beginning(sequences: Sequence[Ids]) -> int:
    """How many leading ids all sequences have in common."""
    shortest = min(map(len, sequences))
    same = (len({ids[: at + 1] for ids in sequences}) == 1 for at in range(shortest))
    return sum(takewhile(bool, same))


def naive(model: LanguageModel, prompt: Ids, full: Sequence[Ids]) -> Scores:
    """Every option by itself, scored from the last token that all of them share."""
    split = shared_beginning([prompt, *full])
    return (
        tuple(sum(token_scores(model, ids)[split - 1 :]) for ids in full),
        tuple(len(ids) - split for ids in full),
    )


def assert_same(found: Sequence[Scores | None], expected: Sequence[Scores | None]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one is not None and other is not None
        assert one[1] == other[1]
        assert one[0] == pytest.approx(other[0], abs=TOLERANCE, rel=0)


@pytest.mark.invariant
@pytest.mark.parametrize(
    ("architecture", "attention"),  # transformers runs gemma2 without sdpa
    [
        ("llama", "sdpa"),
        ("llama", "eager"),
        ("qwen2", "sdpa"),
        ("qwen2", "eager"),
        ("gemma2", "eager"),
    ],
)
def test_scores_equal_those_of_one_sequence_per_option(
    tmp_path: Path, architecture: Architecture, attention: str
) -> None:
    model = language_model(tmp_path, architecture, attention=attention)
    prompts, full = encoded(model)
    expected = [naive(model, *each) for each in zip(prompts, full, strict=True)]
    assert_same(log_likelihoods(model, prompts, full, batch_tokens=4096), expected)
    assert len({round(score, 3) for scores, _ in expected for score in scores}) > 10


@pytest.mark.invariant
def test_scores_do_not_depend_on_how_they_are_batched(llama: LanguageModel) -> None:
    prompts, full = encoded(llama)
    expected = log_likelihoods(llama, prompts, full, batch_tokens=4096)
    for batch_tokens in (1, 100, 300):
        assert_same(log_likelihoods(llama, prompts, full, batch_tokens=batch_tokens), expected)


@pytest.mark.invariant
def test_scores_do_not_depend_on_order_or_company(llama: LanguageModel) -> None:
    prompts, full = encoded(llama)
    expected = log_likelihoods(llama, prompts, full, batch_tokens=300)
    order = list(range(len(prompts)))
    random.Random("order").shuffle(order)
    shuffled = log_likelihoods(
        llama, [prompts[at] for at in order], [full[at] for at in order], batch_tokens=300
    )
    assert_same(shuffled, [expected[at] for at in order])
    for at in range(len(prompts)):  # alone, nothing is shared with anybody
        alone = log_likelihoods(llama, [prompts[at]], [full[at]], batch_tokens=300)
        assert_same(alone, [expected[at]])
    twice = log_likelihoods(llama, [prompts[0]] * 2, [full[0]] * 2, batch_tokens=300)
    assert_same(twice, [expected[0]] * 2)


@pytest.mark.invariant
def test_options_do_not_see_each_other(llama: LanguageModel) -> None:
    prompts, full = encoded(llama)
    expected = log_likelihoods(llama, prompts, full, batch_tokens=4096)
    backwards = log_likelihoods(llama, prompts, [each[::-1] for each in full], batch_tokens=4096)
    assert_same([each and (each[0][::-1], each[1][::-1]) for each in backwards], expected)


@pytest.mark.invariant
def test_options_of_one_token(llama: LanguageModel) -> None:
    prompts, full = encoded(llama, [("A or B?", "AB"), ("Which of four letters is it?", "ABCD")])
    found = log_likelihoods(llama, prompts, full, batch_tokens=4096)
    assert_same(found, [naive(llama, *each) for each in zip(prompts, full, strict=True)])
    assert [each and each[1] for each in found] == [(1, 1), (1, 1, 1, 1)]


@pytest.mark.invariant
@pytest.mark.parametrize(
    "choices", [("Red Sea", "Blue Sea"), ("Red Sea", "Rotes Meer"), ("R", "Q")]
)
def test_a_token_that_spans_the_join(tmp_path: Path, choices: tuple[str, ...]) -> None:
    """The template's last line break melts with an R: then all options count from it on."""
    model = language_model(tmp_path, merges=[("Ċ", "R")])
    prompts, full = encoded(model, [("Which sea?", choices), ("Which sea is it?", choices)])
    found = log_likelihoods(model, prompts, full, batch_tokens=4096)
    assert_same(found, [naive(model, *each) for each in zip(prompts, full, strict=True)])
    melted = [1 if choice.startswith("R") else 0 for choice in choices]
    lengths = tuple(len(each) + 1 - less for each, less in zip(choices, melted, strict=True))
    assert found[0] is not None
    assert found[0][1] == lengths


@pytest.mark.invariant
def test_prompts_that_are_beginnings_of_each_other(tmp_path: Path) -> None:
    model = language_model(tmp_path, style="plain")
    prompts: list[Ids] = [(10, 11, 12), (10, 11, 12, 13), (10, 11, 12, 13, 14, 15), (10,)]
    full = [[(*ids, 20, 21), (*ids, 22)] for ids in prompts]
    found = log_likelihoods(model, prompts, full, batch_tokens=4096)
    assert_same(found, [naive(model, *each) for each in zip(prompts, full, strict=True)])


def test_what_exceeds_the_context_has_no_score_but_is_counted(tmp_path: Path) -> None:
    model = language_model(tmp_path, context=185)
    prompts, full = encoded(model)
    longest = [max(map(len, each)) for each in full]
    assert sum(length > 185 for length in longest) == 1
    done: list[int] = []
    found = log_likelihoods(model, prompts, full, batch_tokens=4096, advance=done.append)
    assert [each is None for each in found] == [length > 185 for length in longest]
    fitting = [at for at, each in enumerate(found) if each is not None]
    assert_same(
        [found[at] for at in fitting], [naive(model, prompts[at], full[at]) for at in fitting]
    )
    assert sum(done) == len(prompts)
    done.clear()
    at = longest.index(max(longest))
    only = log_likelihoods(model, [prompts[at]], [full[at]], batch_tokens=9, advance=done.append)
    assert (only, sum(done)) == ([None], 1)


def test_a_sequence_as_long_as_the_context_is_scored(llama: LanguageModel, tmp_path: Path) -> None:
    prompts, full = encoded(llama, QUESTIONS[:1])
    longest = max(map(len, full[0]))
    for context, fits in ((longest, True), (longest - 1, False)):
        model = language_model(tmp_path / str(context), context=context)
        found = log_likelihoods(model, prompts, full, batch_tokens=4096)
        assert (found[0] is not None) == fits


def test_nothing_asked_is_nothing_answered(llama: LanguageModel) -> None:
    assert log_likelihoods(llama, [], [], batch_tokens=64) == []


def test_progress_tells_of_every_question_and_passes_stay_small(llama: LanguageModel) -> None:
    asked = [(f"{at}: {stem}", choices) for at in range(9) for stem, choices in QUESTIONS]
    prompts, full = encoded(llama, asked)
    sizes: list[tuple[int, int]] = []
    handle = llama.network.get_decoder().register_forward_pre_hook(
        lambda _module, _args, given: sizes.append(tuple(given["input_ids"].shape)),
        with_kwargs=True,
    )
    done: list[int] = []
    try:
        log_likelihoods(llama, prompts, full, batch_tokens=600, advance=done.append)
    finally:
        handle.remove()
    assert sum(done) == len(prompts)
    assert all(rows == 1 or rows * width <= 600 for rows, width in sizes)
    assert max(rows for rows, _ in sizes) > 1


def test_what_is_shared_is_computed_once(llama: LanguageModel) -> None:
    """The promise by which a run keeps its time: few more tokens than there are new ones."""
    shots = "How many? Ten. " * 20
    prompts, full = encoded(llama, [(shots + stem, choices) for stem, choices in QUESTIONS * 5])
    computed = 0

    def count(_module: Any, _args: Any, given: Any) -> None:
        nonlocal computed
        computed += given["input_ids"].numel()

    handle = llama.network.get_decoder().register_forward_pre_hook(count, with_kwargs=True)
    try:
        log_likelihoods(llama, prompts, full, batch_tokens=256)
    finally:
        handle.remove()
    sequences = [ids[:-1] for each in full for ids in each]
    nodes = {ids[: at + 1] for ids in sequences for at in range(len(ids))}
    assert computed < 1.25 * len(nodes) < 0.05 * sum(map(len, sequences))
