"""Random trees of sequences: each token once, and scored as plain passes score it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cem_lightning.answering.radix import Group, Row, plan
from cem_lightning.answering.radix import Path as Branch
from cem_lightning.answering.scoring import log_likelihoods
from cem_lightning.errors import UserError
from cem_lightning.models.loading import LanguageModel
from tests.answering.models import Ids, language_model, token_scores
from tests.tiny import Architecture

pytestmark = pytest.mark.invariant

TOLERANCE = 1e-4  # nats
KINDS: list[tuple[Architecture, str]] = [
    (architecture, attention)
    for architecture in ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "gpt2")
    for attention in ("sdpa", "eager")
    if (architecture, attention) != ("gemma2", "sdpa")  # transformers has none: soft caps
]
LOADED: dict[tuple[str, str], LanguageModel] = {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("models")
    LOADED.clear()


def loaded(folder: Path, architecture: Architecture, attention: str) -> LanguageModel:
    if (architecture, attention) not in LOADED:
        LOADED[architecture, attention] = language_model(
            folder / f"{architecture}-{attention}", architecture, attention=attention
        )
    return LOADED[architecture, attention]


ids = st.lists(st.integers(3, 6), min_size=1, max_size=6).map(tuple)


@st.composite
def questions(draw: Any) -> list[tuple[Ids, list[Ids]]]:
    """Prompts with continuations; few tokens, so that they share beginnings, some of them long."""
    shots = [(), tuple(range(10, 10 + draw(st.integers(1, 70))))]
    shots.append((*shots[1], *range(100, 100 + draw(st.integers(1, 50)))))
    asked = []
    for _ in range(draw(st.integers(1, 8))):
        prompt = (7, *draw(st.sampled_from(shots)), *draw(ids))
        options = [prompt + draw(ids) for _ in range(draw(st.integers(1, 4)))]
        if draw(st.booleans()):  # a token spans the join: the last of the prompt is another one
            options = [(*prompt[:-1], 8, *option[len(prompt) :]) for option in options]
        asked.append((prompt, options))
    return asked


def plain_scores(model: LanguageModel, prompt: Ids, full: list[Ids]) -> list[float]:
    """Every option by itself, from the last token that all share with the prompt."""
    split = 0
    while (
        split < min(map(len, [prompt, *full]))
        and len({each[split] for each in [prompt, *full]}) == 1
    ):
        split += 1
    split = min(split, min(map(len, full)) - 1)
    return [sum(token_scores(model, each)[split - 1 :]) for each in full]


@pytest.mark.parametrize(("architecture", "attention"), KINDS)
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(asked=questions(), batch_tokens=st.sampled_from([1, 12, 40, 2048]))
def test_a_tree_scores_as_its_sequences_do(
    folder: Path, architecture: Architecture, attention: str, asked: Any, batch_tokens: int
) -> None:
    model = loaded(folder, architecture, attention)
    found = log_likelihoods(
        model, [each for each, _ in asked], [each for _, each in asked], batch_tokens=batch_tokens
    )
    for scores, (prompt, full) in zip(found, asked, strict=True):
        assert scores is not None
        assert scores[0] == pytest.approx(plain_scores(model, prompt, full), abs=TOLERANCE, rel=0)


@settings(max_examples=80, deadline=None)
@given(
    paths=st.lists(st.tuples(st.sampled_from([0, 40, 90]), ids), min_size=1, max_size=30),
    row_tokens=st.sampled_from([1, 10, 50, 300]),
)
def test_the_plan_holds_every_path_and_no_token_twice_in_a_row(
    paths: list[tuple[int, Ids]], row_tokens: int
) -> None:
    asked = [Branch((*range(10, 10 + shots), *tail), shots) for shots, tail in paths]
    tree = plan(asked, row_tokens)
    found = {}

    def walk(group: Group, before: Ids) -> None:
        assert group.start == len(before)
        prefix = before + group.prefix
        for row in group.rows:
            assert len(row.ids) <= 3 * row_tokens + 100
            beginnings = [sequence(row, place) for place in range(len(row.ids))]
            assert len(set(beginnings)) == len(beginnings)  # nothing twice
            for index, places in row.wanted:
                assert index not in found
                found[index] = prefix + sequence(row, places[-1])
                assert [row.depths[place] for place in places] == list(
                    range(asked[index].first, len(asked[index].ids))
                )
        for each in group.groups:
            walk(each, prefix)

    walk(tree, ())
    assert found == {at: each.ids for at, each in enumerate(asked)}


def sequence(row: Row, place: int) -> Ids:
    """The tokens that the one at `place` sees in its row, itself last."""
    return tuple(row.ids[at] for at in range(place + 1) if row.ends[at] > place)


def test_what_many_share_is_passed_once() -> None:
    """The second shots of a subject stand behind the first: computed once, whatever the rows."""
    first, second = tuple(range(100)), tuple(range(200, 300))
    asked = [Branch((*first, *second, 400 + at), 200) for at in range(50)]
    asked += [Branch((*first, 600 + at), 100) for at in range(50)]
    assert plan(asked, 10).size == 100 + 100 + 100


@pytest.mark.parametrize("layers", [["sliding_attention", "full_attention"], None])
def test_a_window_of_attention_is_counted_along_each_sequence(tmp_path: Path, layers: Any) -> None:
    """Siblings lie between a token and its ancestors in the row, but not in its sequence."""
    import transformers

    model = language_model(tmp_path, "llama")
    common = {
        "vocab_size": len(model.encoder.tokenizer), "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "sliding_window": 9, "initializer_range": 0.3, "pad_token_id": 2,
    }  # fmt: skip
    if layers is None:
        config = transformers.MistralConfig(**common)
    else:
        config = transformers.Gemma3TextConfig(**common, layer_types=layers, head_dim=8)
    torch.manual_seed(0)
    network = transformers.AutoModelForCausalLM.from_config(config).eval()
    sliding = LanguageModel(network, model.encoder, 512)
    shots = tuple(range(40, 80))
    asked = [
        ((*shots, 3 + at), [(*shots, 3 + at, 9, *range(20, 32 + end)) for end in (0, 1)])
        for at in range(9)
    ]
    found = log_likelihoods(sliding, [p for p, _ in asked], [f for _, f in asked], batch_tokens=30)
    for scores, (prompt, full) in zip(found, asked, strict=True):
        assert scores is not None
        assert scores[0] == pytest.approx(plain_scores(sliding, prompt, full), abs=TOLERANCE, rel=0)
    network.config.sliding_window = 500  # the mask is made of it: another number, other scores
    other = log_likelihoods(sliding, [p for p, _ in asked], [f for _, f in asked], batch_tokens=30)
    assert other[0] and found[0] and abs(other[0][0][0] - found[0][0][0]) > 100 * TOLERANCE


@pytest.mark.parametrize("kind", ["Bloom", "Mamba"])
def test_a_model_that_knows_no_trees_is_asked_in_sequences(tmp_path: Path, kind: str) -> None:
    import transformers

    tokenizer = language_model(tmp_path, "llama").encoder
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer.tokenizer), hidden_size=32, num_hidden_layers=2, n_head=4,
        initializer_range=0.3, pad_token_id=2,
    )  # fmt: skip
    network = transformers.AutoModelForCausalLM.from_config(config).eval()
    model = LanguageModel(network, tokenizer, 512)
    asked = [((9, 8, 7, at), [(9, 8, 7, at, 30, 31), (9, 8, 7, at, 40)]) for at in range(3, 7)]
    found = log_likelihoods(model, [p for p, _ in asked], [f for _, f in asked], batch_tokens=30)
    for scores, (prompt, full) in zip(found, asked, strict=True):
        assert scores is not None
        assert scores[0] == pytest.approx(plain_scores(model, prompt, full), abs=TOLERANCE, rel=0)


def test_a_head_that_is_not_known_is_refused(tmp_path: Path) -> None:
    import transformers

    encoder = language_model(tmp_path, "llama").encoder
    config = transformers.GraniteConfig(
        vocab_size=len(encoder.tokenizer), hidden_size=32, intermediate_size=64,
        num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, logits_scaling=7.0,
        initializer_range=0.3, pad_token_id=2,
    )  # fmt: skip
    network = transformers.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(UserError, match=r"model\.path: GraniteForCausalLM"):
        log_likelihoods(
            LanguageModel(network, encoder, 512), [(9, 8)], [[(9, 8, 7)]], batch_tokens=9
        )


def test_processes_share_the_passes_and_get_the_digits_of_one(tmp_path: Path) -> None:
    model = language_model(tmp_path, "llama")
    shots = tuple(range(40, 80))
    prompts = [(*shots, *range(3, 3 + at % 7), at) for at in range(3, 90)]
    full = [[(*each, 20, 21), (*each, 22)] for each in prompts]
    alone = log_likelihoods(model, prompts, full, batch_tokens=40)
    parts = []
    done: list[int] = []
    for rank in range(3):
        log_likelihoods(
            model, prompts, full, batch_tokens=40, share=(rank, 3),
            advance=done.append, total=lambda sums: parts.append(sums) or sums,
        )  # fmt: skip
    whole = log_likelihoods(
        model, prompts, full, batch_tokens=40, share=(3, 3), total=lambda sums: sum(parts)
    )
    assert whole == alone
    assert all((part != 0).sum() > 5 for part in parts)
