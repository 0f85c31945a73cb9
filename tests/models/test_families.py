"""Every family of models on its own architecture under its own chat template, asked and trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from cem_lightning.answering.asking import ask
from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.corpus.arrow import save_examples
from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.corpus.examples import Example
from cem_lightning.models.config import ModelConfig
from cem_lightning.models.loading import LanguageModel, load_model
from cem_lightning.models.random_models import Architecture
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Method, Wording
from cem_lightning.training.adapters import add_adapter
from cem_lightning.training.config import ObjectiveConfig
from cem_lightning.training.fit import train
from tests.models.tokenizers import KINDS, make_tokenizer
from tests.tiny import tiny_model
from tests.training.cases import LORA, settings

QUESTIONS = (
    Question("sea", "Which sea is ____?", ("Red Sea", "größe", "the white sea"), 0, "a"),
    Question("short", "Which sea?", ("Red Sea",), 0, "b"),
)
FAMILIES: dict[str, Architecture] = {
    "smollm2": "llama",
    "qwen1.5": "qwen2",
    "qwen2.5": "qwen2",
    "qwen3": "qwen3",
    "llama3": "llama",
    "llama3.1": "llama",
    "llama3.2": "llama",
    "gemma2": "gemma2",
    "gemma3": "gemma3",
}
METHODS: tuple[Method, ...] = ("cloze", "letters", "extract")
STYLES: tuple[Literal["chat", "plain"], ...] = ("chat", "plain")


@dataclass(frozen=True)
class Case:
    """A tiny random model of one family on disk, and loaded.

    Attributes:
        end: what ends its turns, or its texts if it is asked in plain text.
    """

    name: str
    folder: Path
    config: ModelConfig
    model: LanguageModel
    end: str


@pytest.fixture(
    scope="module",
    params=[(name, style) for name in FAMILIES for style in STYLES],
    ids=lambda each: "-".join(each),
)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name, style = request.param
    folder = tmp_path_factory.mktemp("model")
    tokenizer = make_tokenizer(KINDS[name])
    tokenizer.save_pretrained(folder)
    tiny_model(FAMILIES[name], vocabulary=len(tokenizer), context=1024).save_pretrained(folder)
    config = ModelConfig(
        path=str(folder),
        style=style,
        dtype="float32",
        attention="eager" if name == "gemma2" else "sdpa",
        device="cpu",
    )
    ends = {"gemma2": "<end_of_turn>", "gemma3": "<end_of_turn>"} if style == "chat" else {}
    end = ends.get(name, KINDS[name].end or "")
    return Case(name, folder, config, load_model(folder, config), end)


def written(case: Case, ids: Any) -> str:
    return str(case.model.encoder.tokenizer.decode(list(ids)))


def logits(network: Any, ids: tuple[int, ...]) -> torch.Tensor:
    with torch.inference_mode():
        return torch.as_tensor(network(torch.tensor([ids])).logits)


@pytest.mark.invariant
@pytest.mark.parametrize("method", METHODS)
def test_prompt_and_response_are_what_the_family_writes(case: Case, method: Method) -> None:
    encoder, wording = case.model.encoder, Wording(method)
    for question in QUESTIONS:
        prompt, response = wording.prompt(question), wording.response(question, 0)
        asked = encoder.prompt(prompt)
        begin = encoder.tokenizer.bos_token_id
        if KINDS[case.name].adds_begin:
            assert asked[0] == begin and asked.count(begin) == 1
        exchange = encoder.exchange(prompt, response)
        continuation = encoder.continuation(prompt, response)
        assert continuation[: len(asked)] == asked
        assert exchange.ids[: len(continuation)] == continuation
        trained = [id for id, flag in zip(exchange.ids, exchange.supervised, strict=True) if flag]
        lead = " " if case.config.style == "plain" else ""
        assert written(case, trained) == lead + response + case.end
        plain = f"Question: {prompt}\nAnswer:"
        assert (plain in written(case, asked)) == (case.config.style == "plain")
        assert written(case, asked).count(prompt) == 1


@pytest.mark.parametrize("method", METHODS)
def test_it_answers_by_every_method(case: Case, method: Method) -> None:
    config = AnsweringConfig(
        method=method,
        normalise="sum",
        blind=False,
        open_book_passages=0,
        batch_tokens=4096,
        response_tokens=8,
    )
    choice, short = ask(case.model, QUESTIONS, config)
    assert len(choice.probabilities) == 3
    assert sum(choice.probabilities) == pytest.approx(1)
    assert all(each < 0 for each in (*choice.log_likelihoods, *short.log_likelihoods))
    if method != "extract":
        best = max(choice.log_likelihoods)
        assert choice.prediction == choice.log_likelihoods.index(best)


@pytest.mark.parametrize("adapter", [False, True])
def test_a_step_of_training_changes_it_and_its_weights_come_back(
    case: Case, adapter: bool, tmp_path: Path
) -> None:
    encoder, wording = case.model.encoder, Wording("cloze")
    passage = encoder.text("The red sea is the Red Sea.")
    exchange = encoder.exchange(wording.prompt(QUESTIONS[0]), wording.response(QUESTIONS[0], 0))
    examples = [
        Example("passage", passage.ids, passage.supervised),
        Example("normative", exchange.ids, exchange.supervised),
    ]
    save_examples(examples, tmp_path / "examples")
    recipe = RecipeConfig(
        name="cem",
        tokens=sum(len(each.ids) for each in examples),
        shares={"passage": len(passage.ids) / sum(len(each.ids) for each in examples)}
        | {"normative": len(exchange.ids) / sum(len(each.ids) for each in examples)},
        order="mixed",
        passages="retrieved",
        review_late=False,
    )
    network = load_model(case.folder, case.config).network
    if adapter:
        network = add_adapter(network, LORA, seed=1)
    config = settings(lora=LORA if adapter else None, learning_rate=1e-2, warmup_fraction=0)
    result = train(
        network,
        tmp_path / "examples",
        recipe,
        ObjectiveConfig(),
        config,
        seed=0,
        folder=tmp_path / "round",
    )
    assert result.steps == 1
    assert set(result.tokens) and result.tokens["passage"] and result.tokens["normative"]
    again = load_model(case.folder, case.config, result.weights).network
    before, after = (logits(each, exchange.ids) for each in (case.model.network, again))
    torch.testing.assert_close(after, logits(network, exchange.ids), atol=1e-5, rtol=1e-5)
    assert (after - before).abs().max() > 1e-3
