"""The three pools of questions of a run, and which of them a round mines.

Reads and checks pools as a whole; the forms of files and rows are the business of its readers.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from cem_lightning.errors import UserError
from cem_lightning.questions.config import (
    DataConfig,
    DatasetsData,
    ElementsData,
    JsonlData,
    PublishedData,
)
from cem_lightning.questions.hub import read_split
from cem_lightning.questions.lines import refuse
from cem_lightning.questions.published import read_published
from cem_lightning.questions.readers import QuestionFile, duplicate_ids, parse_file
from cem_lightning.questions.records import PoolName, Question
from cem_lightning.questions.splitting import split
from cem_lightning.questions.twins import contradictions, in_both, without_repeats
from cem_lightning.storage.digests import digest_value


@dataclass(frozen=True)
class Pools:
    """Questions by what they may be used for; a pool may be empty, except `source`.

    Attributes:
        source: its mistakes are the raw material of training.
        heldout: same domain, other questions; never trained on.
        ood: other domains; never trained on.
        left_out: "place: reason" of each row of a published set that cannot be used.
        shots: shown with their answers before every question; neither asked nor trained on.
        gate: by which `train` chooses among its own results; neither trained on nor reported.
        unread: by pool, columns of the user's files that take no part in any question.
    """

    source: tuple[Question, ...]
    heldout: tuple[Question, ...] = ()
    ood: tuple[Question, ...] = ()
    left_out: tuple[str, ...] = ()
    shots: tuple[Question, ...] = ()
    gate: tuple[Question, ...] = ()
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def items(self) -> tuple[tuple[PoolName, tuple[Question, ...]], ...]:
        """Name and questions of each pool, in a fixed order."""
        return (("source", self.source), ("heldout", self.heldout), ("ood", self.ood))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all questions of all pools, in order."""
        pools = {name: [question.as_dict() for question in pool] for name, pool in self.items()}
        aside = {"shots": self.shots, "gate": self.gate}
        more = {name: [each.as_dict() for each in taken] for name, taken in aside.items() if taken}
        return digest_value(pools | more)

    def with_shots(self, count: int, seed: int) -> Pools:
        """The pools with `count` questions of `source` taken out of it, to be shown as solved.

        They are drawn by the seed, from different clusters as far as there are.

        Raises:
            UserError: if nothing of the pool would be left.
        """
        if count >= len(self.source):
            raise UserError(
                f"answering.shots={count} takes the solved examples from the source pool, which "
                f"has {len(self.source)} questions; give it more, or lower answering.shots."
            )
        shuffled = random.Random(f"{seed}:shots").sample(self.source, len(self.source))
        first = list({each.cluster: each for each in reversed(shuffled)}.values())[::-1]
        taken = list(dict.fromkeys([*first, *shuffled]))[:count]
        return replace(self, source=_without(self.source, taken), shots=tuple(taken))

    def with_gate(self, count: int, seed: int) -> Pools:
        """The pools with `count` questions of `source` taken out of it, evenly from its clusters.

        Raises:
            UserError: if nothing of the pool would be left.
        """
        if count >= len(self.source):
            raise UserError(
                f"trainer.interpolation.gate={count} takes its questions from the source pool, "
                f"which has {len(self.source)}; give it more, or lower it."
            )
        spread = stratified(self.source, seed, "gate")
        taken = spread[:: len(spread) // count][:count]
        return replace(self, source=_without(self.source, taken), gate=tuple(taken))

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were left out for each reason, most frequent first."""
        return _reasons(self.left_out)

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


def _without(questions: Sequence[Question], taken: Sequence[Question]) -> tuple[Question, ...]:
    ids = {each.id for each in taken}
    return tuple(each for each in questions if each.id not in ids)


def stratified(
    questions: Sequence[Question], seed: int, purpose: str = "slices"
) -> tuple[Question, ...]:
    """All questions in a random order in which each cluster is spread evenly.

    The j-th of a cluster's n questions (shuffled) is placed at (j + u) / n of the way, with one
    uniform u in [0, 1) a cluster: systematic sampling within strata.
    """
    clusters: dict[str, list[Question]] = {}
    for question in questions:
        clusters.setdefault(question.cluster, []).append(question)
    draw = random.Random(f"{seed}:{purpose}")
    placed: list[tuple[float, Question]] = []
    for members in clusters.values():
        draw.shuffle(members)
        offset = draw.random()
        placed.extend(((j + offset) / len(members), each) for j, each in enumerate(members))
    return tuple(question for _, question in sorted(placed, key=lambda each: each[0]))


def read_pools(config: DataConfig, seed: int) -> Pools:
    """The pools that a config names.

    The user's own files must be right in every row. Of published sets, rows that cannot be used
    are left out, among them each question that came before, also in another pool.

    Args:
        seed: seeds 1, 2, 3 get disjoint groups of elements; of one file it draws what is held
            out; several files are read the same for all.

    Raises:
        UserError: naming every problem of every file: what cannot be read, duplicate ids, the
            same question with two answers, and questions that stand in two pools.
    """
    if isinstance(config, ElementsData):
        # Their data packages take seconds to import, and readers of files need not have them.
        from cem_lightning.questions import capitals, elements

        built = elements.pools((seed - 1) % 3)
        return Pools(tuple(built["source"]), tuple(built["heldout"]), tuple(capitals.pool()))
    files = _files(config)
    own = isinstance(config, JsonlData)
    source, heldout, ood = read = files if own else without_repeats(files)
    problems = [problem for file in read for problem in file.problems]
    problems += [each for file in read for each in _nothing_left(file)]
    problems += duplicate_ids(read)
    if own:
        problems += [each for file in read for each in contradictions(file)]
        problems += in_both(source, heldout, "source")
        problems += in_both(source, ood, "source")
        problems += in_both(heldout, ood, "heldout")
    if problems:
        refuse("The questions", problems)
    mined, aside = source.questions, heldout.questions
    given = config.heldout_split if isinstance(config, DatasetsData) else config.heldout
    if given is None and config.heldout_share:
        mined, aside = split(mined, config.heldout_share, seed)
    left_out = tuple(each for file in read for each in file.left_out)
    unread = {
        name: file.unread
        for name, file in zip(("source", "heldout", "ood"), read, strict=True)
        if file.unread
    }
    return Pools(mined, aside, ood.questions, left_out, unread=unread)


def _files(config: JsonlData | PublishedData | DatasetsData) -> list[QuestionFile]:
    """What a config names as source, heldout and ood, as it was read; empty where it names none."""
    heldout = ood = QuestionFile()
    if isinstance(config, JsonlData):
        source = parse_file(config.source, "source")
        if config.heldout is not None:
            heldout = parse_file(config.heldout, "heldout")
        if config.ood is not None:
            ood = parse_file(config.ood, "ood")
    elif isinstance(config, DatasetsData):
        source = read_split(config, config.split, "split")
        if config.heldout_split is not None:
            heldout = read_split(config, config.heldout_split, "heldout_split")
        if config.ood_split is not None:
            ood = read_split(config, config.ood_split, "ood_split")
    else:
        source = read_published(config.reader, config.path, "path", config.subjects)
        if config.heldout is not None:
            heldout = read_published(config.reader, config.heldout, "heldout", config.subjects)
        if config.ood is not None:
            name = config.ood_reader
            ood = (
                parse_file(config.ood, "ood")
                if name == "jsonl"
                else read_published(name, config.ood, "ood")
            )
    return [source, heldout, ood]


def _reasons(left_out: Sequence[str]) -> dict[str, int]:
    return dict(Counter(each.rpartition(": ")[2] for each in left_out).most_common())


def _nothing_left(file: QuestionFile) -> list[str]:
    """A problem if all rows of a file were left out."""
    if file.questions or not file.left_out:
        return []
    first = file.left_out[0].rpartition(": ")[0]
    why = ", ".join(f"{reason} ({count})" for reason, count in _reasons(file.left_out).items())
    return [f"{first} and {len(file.left_out) - 1} rows more: none can be used: {why}"]
