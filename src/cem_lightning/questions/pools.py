"""The three pools of questions of a run, and which of them a round mines.

Reads and checks pools as a whole; the form of a single question is checked by `readers`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cem_lightning.questions.config import DataConfig, ElementsData
from cem_lightning.questions.lines import refuse
from cem_lightning.questions.normalise import normalised
from cem_lightning.questions.readers import QuestionFile, duplicate_ids, parse_file
from cem_lightning.questions.records import PoolName, Question
from cem_lightning.storage.digests import digest_value


@dataclass(frozen=True)
class Pools:
    """Questions by what they may be used for; a pool may be empty, except `source`.

    Attributes:
        source: its mistakes are the raw material of training.
        heldout: same domain, other questions; never trained on.
        ood: other domains; never trained on.
    """

    source: tuple[Question, ...]
    heldout: tuple[Question, ...] = ()
    ood: tuple[Question, ...] = ()

    def items(self) -> tuple[tuple[PoolName, tuple[Question, ...]], ...]:
        """Name and questions of each pool, in a fixed order."""
        return (("source", self.source), ("heldout", self.heldout), ("ood", self.ood))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all questions of all pools, in order."""
        return digest_value(
            {name: [question.as_dict() for question in pool] for name, pool in self.items()}
        )

    def slice_for_round(self, round: int, config: DataConfig, seed: int) -> tuple[Question, ...]:
        """The source questions that a round mines.

        With `mine: same` always the whole pool. With `fresh` the next `slice` questions of an
        order drawn from the seed in which every stretch covers the clusters evenly; rounds never
        share a question.

        Args:
            round: counted from 1.

        Returns:
            The questions, fewer in the last slice, none once the pool is exhausted.
        """
        if round < 1:
            raise ValueError(f"rounds count from 1, not {round}")
        if config.mine == "same":
            return self.source
        start = (round - 1) * config.slice
        return stratified(self.source, seed)[start : start + config.slice]


def stratified(questions: Sequence[Question], seed: int) -> tuple[Question, ...]:
    """All questions in a random order in which each cluster is spread evenly.

    The j-th of a cluster's n questions (shuffled) is placed at (j + u) / n of the way, with one
    uniform u in [0, 1) a cluster: systematic sampling within strata.
    """
    clusters: dict[str, list[Question]] = {}
    for question in questions:
        clusters.setdefault(question.cluster, []).append(question)
    draw = random.Random(f"{seed}:slices")
    placed: list[tuple[float, Question]] = []
    for members in clusters.values():
        draw.shuffle(members)
        offset = draw.random()
        placed.extend(((j + offset) / len(members), each) for j, each in enumerate(members))
    return tuple(question for _, question in sorted(placed, key=lambda each: each[0]))


def read_pools(config: DataConfig, seed: int) -> Pools:
    """The pools that a config names.

    Args:
        seed: seeds 1, 2, 3 get disjoint groups of elements; files are read the same for all.

    Raises:
        UserError: naming every problem of every file: what cannot be read, duplicate ids, and
            questions of `source` that stand in `heldout` or `ood` as well.
    """
    if isinstance(config, ElementsData):
        # Their data packages take seconds to import, and readers of files need not have them.
        from cem_lightning.questions import capitals, elements

        built = elements.pools((seed - 1) % 3)
        return Pools(tuple(built["source"]), tuple(built["heldout"]), tuple(capitals.pool()))
    source = parse_file(config.source, "source")
    heldout = parse_file(config.heldout, "heldout") if config.heldout else QuestionFile((), (), ())
    ood = parse_file(config.ood, "ood") if config.ood else QuestionFile((), (), ())
    files = (source, heldout, ood)
    problems = [problem for file in files for problem in file.problems]
    problems += duplicate_ids(files)
    problems += [*_in_both(source, heldout), *_in_both(source, ood)]
    if problems:
        refuse("The questions", problems)
    return Pools(source.questions, heldout.questions, ood.questions)


def _in_both(source: QuestionFile, other: QuestionFile) -> list[str]:
    """One problem for each question of `other` that is one of `source` in other clothes.

    Same normalised stem with the same answer or the same choices: a stem alone ("Which of these
    is true?") may ask different things.
    """
    seen: dict[tuple[object, ...], str] = {}
    for question, place in zip(source.questions, source.places, strict=True):
        for form in _forms(question):
            seen.setdefault(form, place)
    problems = []
    for question, place in zip(other.questions, other.places, strict=True):
        twin = next((seen[form] for form in _forms(question) if form in seen), None)
        if twin is not None:
            problems.append(
                f"{place}: the same question stands in the source pool, {twin}; "
                "remove it from one of the two"
            )
    return problems


def _forms(question: Question) -> tuple[tuple[object, ...], ...]:
    stem = normalised(question.question)
    choices = sorted(normalised(choice) for choice in question.choices)
    return (stem, "answer", normalised(question.gold)), (stem, "choices", *choices)
