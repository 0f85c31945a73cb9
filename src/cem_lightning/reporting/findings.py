"""What action=check has found out: records of pools, corpus, recipe, forecast and problems.

Measures nothing and prints nothing; see `evolution.check` and `reporting.check`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from cem_lightning.corpus.config import Kind
from cem_lightning.knowledge.spending import Spending


@dataclass(frozen=True)
class Problem:
    """Something to look at before the run.

    Attributes:
        key: the configuration key that it hangs on.
        remedy: what to do about it.
    """

    key: str
    text: str
    remedy: str


@dataclass(frozen=True)
class Spread:
    """Median and maximum of some lengths."""

    median: float
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Spread:
        """The spread of at least one length."""
        return cls(median(lengths), max(lengths))


@dataclass(frozen=True)
class Cue:
    """A strategy that sees only the surface of a question.

    Attributes:
        accuracy: what it scores, 0 to 1.
        tells: it beats chance by more than two standard errors, and could help a model.
    """

    name: str
    accuracy: float
    tells: bool


@dataclass(frozen=True)
class PoolFindings:
    """One pool of questions.

    Attributes:
        kinds: questions by kind (relation or subject), most frequent first.
        choices: questions by their number of choices; 1 is a short-answer question.
        characters: of the stem.
        tokens: of the prompt and its longest response.
        too_long: questions that exceed the model's context.
        repeated: questions that repeat an earlier one of the pool.
        unread: columns of its file that take no part in any question.
        chance: accuracy of guessing; None if every question is a short-answer question.
    """

    name: str
    questions: int
    kinds: Mapping[str, int]
    choices: Mapping[int, int]
    characters: Spread
    tokens: Spread
    too_long: int
    repeated: int
    unread: tuple[str, ...]
    cues: tuple[Cue, ...]
    chance: float | None


@dataclass(frozen=True)
class CorpusFindings:
    """The documents known before the run.

    Attributes:
        licences: documents by licence, most frequent first; "" if none is given.
        leaks: "document: question (rule)" of each document that holds a held-out question.
        copies: documents with the text of one before them.
        unfit: documents that are no text worth reading, by what is wrong with them.
        unread: files below the corpus folder that are none of text, by the ends of their names.
    """

    documents: int
    characters: int
    tokens: int
    licences: Mapping[str, int]
    without_title: int
    without_origin: int
    leaks: tuple[str, ...]
    copies: int
    unfit: Mapping[str, int]
    unread: Mapping[str, int]


@dataclass(frozen=True)
class RecipeFindings:
    """What a round trains on, if every kind that has a share has examples.

    Attributes:
        tokens: training tokens of a round by kind.
        steps: optimizer steps of a round, about.
    """

    name: str
    tokens: Mapping[Kind, int]
    steps: int


@dataclass(frozen=True)
class Cost:
    """One kind of work of the whole run.

    Attributes:
        rounds: the rounds that do it and are not in the store yet.
        tokens: that pass through the model in one of these rounds, on average.
        seconds: of all these rounds together.
        stored: how many rounds are in the store already.
    """

    work: Literal["asking", "open book", "noise floor", "training", "asking meanwhile"]
    rounds: int
    tokens: float
    seconds: float
    stored: int


@dataclass(frozen=True)
class Writing:
    """What a model is asked to write in a stage of every round, at most.

    Attributes:
        what: "knowledge points" or "synthetic texts".
    """

    what: str
    a_round: Spending
    rounds: int

    @property
    def total(self) -> Spending:
        """In all rounds."""
        return self.a_round * self.rounds


@dataclass(frozen=True)
class Requests:
    """Requests to a source, at most.

    Attributes:
        source: "Wikipedia" or "the web".
        open_book: for the held-out questions, once.
    """

    source: str
    a_round: int
    open_book: int
    rounds: int
    a_second: float

    @property
    def total(self) -> int:
        return self.a_round * self.rounds + self.open_book

    @property
    def seconds(self) -> float:
        """At the configured pace, if every one were needed."""
        return self.total / self.a_second


@dataclass(frozen=True)
class Forecast:
    """Time, memory and space of the whole run on this machine, estimated.

    Attributes:
        parameters: of the model.
        trained: parameters that are trained.
        asking_rate: tokens a second in asking, measured.
        training_rate: tokens a second in training, estimated from a forward pass.
        memory: peak of a process, in bytes; of the GPU's memory where there is one.
        disk: weights kept in the store, in bytes.
        requests: of each source on a network.
        writing: what a model is asked to write.
    """

    device: str
    threads: int
    parameters: int
    trained: int
    asking_rate: float
    training_rate: float
    costs: tuple[Cost, ...]
    memory: int
    disk: int
    requests: tuple[Requests, ...]
    writing: tuple[Writing, ...]

    @property
    def seconds(self) -> float:
        """Of asking and training together; requests come on top."""
        return sum(cost.seconds for cost in self.costs)


@dataclass(frozen=True)
class Findings:
    """Everything that action=check tells.

    Attributes:
        context: longest sequence of the model, in tokens.
        left_out: rows of published sets that cannot be used, by reason.
        mined: questions of each round that the source pool can feed, as far as configured.
        corpus: None if the documents are not known beforehand.
        source: where passages come from, as messages name it.
    """

    name: str
    model: str
    context: int
    pools: tuple[PoolFindings, ...]
    left_out: Mapping[str, int]
    mined: tuple[int, ...]
    rounds: int
    corpus: CorpusFindings | None
    source: str
    recipe: RecipeFindings
    forecast: Forecast
    problems: tuple[Problem, ...]
