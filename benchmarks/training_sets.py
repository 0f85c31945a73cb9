"""What is trained on: a synthetic instruction set, and the quickstart's corpus.

The same seed gives the same examples.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from cem_lightning.corpus.arrow import save_examples
from cem_lightning.corpus.assemble import assemble
from cem_lightning.corpus.config import Kind, RecipeConfig
from cem_lightning.corpus.examples import Example
from cem_lightning.corpus.schedule import schedule
from cem_lightning.knowledge.acquire import acquire
from cem_lightning.knowledge.config import LocalKnowledge
from cem_lightning.knowledge.corpora import read_corpus
from cem_lightning.mistakes.points import knowledge_points
from cem_lightning.mistakes.records import Mistake
from cem_lightning.models.encoding import Encoder
from cem_lightning.questions.config import ElementsData
from cem_lightning.questions.pools import read_pools
from cem_lightning.questions.wording import Wording

PADDING = 0.58  # of the tokens of padded batches
SUPERVISED = 0.30  # of the tokens without padding
LONGEST, SHORTEST = 1024, 8
MISSED = 25  # of the 32 questions the quickstart mines, about as many as SmolLM2 does not know

_CONF = Path(__file__).resolve().parents[1] / "conf"


@dataclass(frozen=True)
class TrainingSet:
    """Examples, the order in which they are read, and how many an optimizer step reads."""

    examples: tuple[Example, ...]
    recipe: RecipeConfig
    batch: int
    seed: int

    @property
    def order(self) -> tuple[int, ...]:
        """The order our data module reads them in, which the peers are given too."""
        kinds = [each.kind for each in self.examples]
        lengths = [len(each.ids) for each in self.examples]
        return tuple(schedule(kinds, lengths, self.recipe, self.seed))

    @property
    def read(self) -> tuple[Example, ...]:
        """The examples in this order, repetitions included."""
        return tuple(self.examples[at] for at in self.order)

    @property
    def tokens(self) -> int:
        """Useful ones: without padding."""
        return sum(len(each.ids) for each in self.read)

    @property
    def supervised(self) -> int:
        """Tokens whose prediction is trained."""
        return sum(each.targets for each in self.read)

    @property
    def steps(self) -> tuple[tuple[Example, ...], ...]:
        """The examples of each optimizer step."""
        read = self.read
        return tuple(read[at : at + self.batch] for at in range(0, len(read), self.batch))

    @property
    def padding(self) -> float:
        """Share of padding in batches of one step each, all as long as the longest in them."""
        return padding([[len(each.ids) for each in step] for step in self.steps])

    def save(self, folder: Path) -> None:
        """As the Arrow folder that our data module reads."""
        save_examples(self.examples, folder)


def padding(batches: Sequence[Sequence[int]]) -> float:
    """Share of padding in batches of sequences of these lengths."""
    return 1 - sum(map(sum, batches)) / sum(len(each) * max(each) for each in batches)


def instruction_set(
    count: int, seed: int, *, vocabulary: int = 32_000, batch: int = 8, mean: int = 135
) -> TrainingSet:
    """Random tokens with lognormal lengths, of which the last part of each is supervised.

    The spread of the lengths is what makes the padding `PADDING`.

    Args:
        mean: of the lengths, in tokens.
    """
    draw = random.Random(f"{seed}:instructions")
    normal = [draw.gauss(0, 1) for _ in range(count)]
    order = schedule(["normative"] * count, [1] * count, recipe("one", count), seed)
    places = [order[at : at + batch] for at in range(0, count, batch)]

    def lengths(spread: float) -> list[int]:
        raw = [2.718281828459045 ** (spread * each) for each in normal]
        scale = mean * count / sum(raw)
        return [min(max(round(scale * each), SHORTEST), LONGEST) for each in raw]

    def padded(spread: float) -> float:
        made = lengths(spread)
        return padding([[made[at] for at in step] for step in places])

    low, high = 0.0, 3.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if padded(middle) < PADDING else (low, middle)
    made = [_instruction(length, vocabulary, draw) for length in lengths(low)]
    tokens = sum(len(each.ids) for each in made)
    return TrainingSet(tuple(made), recipe("instructions", tokens), batch, seed)


def _instruction(length: int, vocabulary: int, draw: random.Random) -> Example:
    answer = max(1, round(SUPERVISED * length))
    ids = tuple(draw.randrange(3, vocabulary) for _ in range(length))
    return Example("normative", ids, (False,) * (length - answer) + (True,) * answer)


def recipe(name: str, tokens: int, kind: Kind = "normative") -> RecipeConfig:
    """Examples of one kind, in random order."""
    return RecipeConfig(
        name=name,
        tokens=tokens,
        shares={kind: 1.0},
        order="mixed",
        passages="retrieved",
        review_late=False,
    )


def quickstart_set(encoder: Encoder, context: int, steps: int, seed: int) -> TrainingSet:
    """The first optimizer steps of the quickstart's first round.

    Made by its own parts and settings; only, which questions were missed is not asked of the model
    but set: the first `MISSED` of those it mines.
    """
    settings = {
        group: _settings(f"{group}/{name}")
        for group, name in (("data", "elements"), ("knowledge", "elements"), ("recipe", "cem"))
    }
    batch = int(_settings("trainer/full")["batch"])
    data = ElementsData.model_validate(settings["data"])
    pools = read_pools(data, seed)
    mined = pools.slice_for_round(1, data, seed)
    mistakes = [
        Mistake(each, "wrong", None, 0.0, knowledge_points(each, 4)) for each in mined[:MISSED]
    ]
    knowledge = LocalKnowledge(**settings["knowledge"])
    count = _counter(encoder)
    found = acquire(mistakes, read_corpus(knowledge), pools, knowledge, seed, count)
    wanted = RecipeConfig.model_validate(settings["recipe"])
    made = assemble(
        mistakes,
        found.passages,
        found.control,
        mined[MISSED:],
        wording=Wording("cloze"),
        encoder=encoder,
        context=context,
        recipe=wanted,
        seed=seed,
    )
    whole = TrainingSet(made.examples, wanted, batch, seed)
    tokens = sum(len(each.ids) for each in chain(*whole.steps[:steps]))
    return TrainingSet(whole.examples, wanted.model_copy(update={"tokens": tokens}), batch, seed)


def _settings(option: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((_CONF / f"{option}.yaml").read_text(encoding="utf-8"))
    return found


def _counter(encoder: Encoder) -> Any:
    tokenizer = encoder.tokenizer
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))
