"""The round loop: answer; then collect, acquire, triage, supply, assemble, train; and again.

Says which stage reads what, and which round's model the next one sets out from. What is kept and
what is run anew is the business of `runner`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cem_lightning.answering.noise import noise
from cem_lightning.answering.records import Answer
from cem_lightning.answering.statistics import Difference
from cem_lightning.evolution.changes import change
from cem_lightning.evolution.config import Config
from cem_lightning.evolution.runner import Runner
from cem_lightning.evolution.stored import read_answers
from cem_lightning.evolution.verdict import Verdict, judge
from cem_lightning.knowledge.config import parted
from cem_lightning.mistakes.records import LABELS
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import Question
from cem_lightning.storage.store import Part, Result
from cem_lightning.training.config import FREE_KEYS


@dataclass
class Round:
    """One round: what it asked about, and the results of its stages by name.

    Attributes:
        mined: the source questions whose mistakes it learns from; none in round 0.
        verdict: how it compares with the round that it set out from; None in round 0.
    """

    number: int
    mined: tuple[Question, ...] = ()
    results: dict[str, Result] = field(default_factory=dict)
    verdict: Verdict | None = None

    @property
    def weights(self) -> Part | None:
        """What the round's training left behind; None is the untouched model."""
        return self.results["train"].part("weights") if "train" in self.results else None

    def answers(self, pool: str, form: str = "answers") -> dict[str, Answer]:
        """Answers by question id; none if this form ("answers" or "blind") was not asked."""
        path = self.results["answer"].folder / form / f"{pool}.jsonl"
        return {each.question: each for each in read_answers(path)} if path.is_file() else {}

    @property
    def noise(self) -> dict[str, Any] | None:
        """How far `heldout` moves without any training; None if it was not measured."""
        if "noise" not in self.results:
            return None
        folder = self.results["noise"].folder
        others = {way: read_answers(folder / f"{way}.jsonl") for way in ("batching", "order")}
        return noise(self.answers("heldout"), others)

    @property
    def corpus(self) -> dict[str, Part]:
        """What the round learned from, by name; nothing in round 0."""
        if "assemble" not in self.results:
            return {}
        return {
            name: self.results[stage].part(name)
            for stage, name in (
                ("collect", "mistakes.jsonl"),
                ("acquire", "passages.jsonl"),
                ("supply", "synthetic.jsonl"),
                ("supply", "items.jsonl"),
                ("assemble", "examples"),
            )
            if stage in self.results
        }


@dataclass
class Course:
    """How an evolution went: its rounds, and why it stopped early if it did.

    Attributes:
        untrained: the round that it stopped in, if triage left nothing of its mistakes to train on.
    """

    rounds: list[Round]
    stopped: str | None = None
    untrained: Round | None = None

    @property
    def line(self) -> list[Round]:
        """Round 0 and those whose model was carried on: all, unless rejected ones are not kept."""
        return [each for each in self.rounds if each.verdict is None or each.verdict.kept]

    @property
    def last(self) -> Round:
        """The round whose model is the outcome of the evolution."""
        return self.line[-1]


class Loop:
    """Runs the rounds of one evolution.

    Args:
        model: the folder of the untouched model.
        corpus_digest: digest of the corpus that `acquire` reads by itself.
        device: kind of the device, which may change the last digits and so enters the keys.
    """

    def __init__(
        self,
        config: Config,
        pools: Pools,
        model: Part,
        corpus_digest: str,
        device: str,
        runner: Runner,
    ) -> None:
        self._config = config
        self._pools = pools
        self._stored_pools = runner.put_pools(pools)
        self._model = model
        self._runner = runner
        settings = config.model
        self._model_settings = {
            "style": settings.style,
            "dtype": settings.dtype,
            "attention": settings.attention,
            "device": device,
        }
        found, reached = parted(config.knowledge)
        self._knowledge_settings = {**found, "digest": corpus_digest}
        self._access = {
            "open_book": reached,
            "acquire": reached,
            "collect": config.endpoint.parted()[1],
            "supply": config.endpoint.parted()[1],
            "train": config.trainer.model_dump(mode="json", include={*FREE_KEYS} - {"devices"}),
        }

    @property
    def model(self) -> Part:
        """The folder of the untouched model."""
        return self._model

    def run(self, finished: Callable[[Course], None] = lambda _: None) -> Course:
        """All rounds, or fewer if nothing is left to learn from.

        Args:
            finished: called after every round with the course so far.
        """
        course = Course([Round(0)])
        self._answer(course.rounds[0])
        if self._config.answering.open_book_passages and self._pools.heldout:
            self._open_book(course.rounds[0])
        if self._config.answering.noise_floor and self._pools.heldout:
            self._noise(course.rounds[0])
        finished(course)
        for number in range(1, self._config.rounds + 1):
            mined = self._pools.slice_for_round(number, self._config.data, self._config.seed)
            if not mined:
                course.stopped = f"the source pool is used up after round {number - 1}"
                break
            current = Round(number, mined)
            self._collect(current, course.last)
            record = current.results["collect"].record
            if not any(record[label] for label in LABELS):
                course.stopped = (
                    f"no mistakes found among the {len(mined)} questions of round {number}"
                    + _unanswered(record)
                )
                break
            self._triage(current, course)
            if not current.results["triage"].record["trained"]:
                course.stopped = (
                    f"triage leaves nothing to train on of the mistakes of round {number} "
                    f"({_counts(current.results['triage'].record['routes'])})"
                )
                course.untrained = current
                break
            self._learn(current, course)
            self._answer(current)
            current.verdict = self._judge(current, course)
            course.rounds.append(current)
            finished(course)
        return course

    def _answer(self, current: Round) -> None:
        inputs = {"model": self._model, "pools": self._stored_pools}
        if current.weights is not None:
            inputs["weights"] = current.weights
        settings = {"answering": self._asking(), "model": self._model_settings}
        self._run(current, "answer", inputs, settings)

    def _asking(self) -> dict[str, Any]:
        """How the pools are asked: without what is asked beside them."""
        settings = self._config.answering.model_dump(mode="json", exclude={"noise_floor"})
        return settings | {"open_book_passages": 0}

    def _asking_once(self) -> dict[str, Any]:
        """How questions are asked where nothing but the answer is wanted."""
        return self._asking() | {"permutations": "none", "blind": False}

    def _open_book(self, current: Round) -> None:
        settings = {
            "answering": self._config.answering.model_dump(mode="json", exclude={"noise_floor"}),
            "knowledge": self._knowledge_settings,
            "model": self._model_settings,
        }
        inputs = {"model": self._model, "pools": self._stored_pools}
        self._run(current, "open_book", inputs, settings)

    def _noise(self, current: Round) -> None:
        settings = {"answering": self._asking_once(), "model": self._model_settings}
        inputs = {"model": self._model, "pools": self._stored_pools}
        self._run(current, "noise", inputs, settings)

    def _judge(self, current: Round, course: Course) -> Verdict:
        """The verdict on a round that was answered, from the answers alone."""
        config, before = self._config.verdict, course.last
        measured = course.rounds[0].noise
        floor = measured["floor"] if measured and config.judged == "heldout" else None
        changes: dict[str, Difference] = {
            name: change(before.answers(name), current.answers(name), questions).gain
            for name, questions in self._pools.items()
            if questions and name in (config.judged, config.guarded)
        }
        return judge(changes, config, against=before.number, floor=floor)

    def _collect(self, current: Round, before: Round) -> None:
        inputs = {
            "pools": self._stored_pools,
            "answers": before.results["answer"].part("answers"),
        }
        settings: dict[str, Any] = {
            "mined": [question.id for question in current.mined],
            "mistakes": self._config.mistakes.model_dump(mode="json"),
        }
        if self._config.mistakes.asks:
            self._writer(self._config.mistakes.points_by, before, inputs, settings)
        self._run(current, "collect", inputs, settings)

    def _triage(self, current: Round, course: Course) -> None:
        """From mistakes to what kind they are: acquire, triage."""
        config, before = self._config, course.last
        mistakes = current.results["collect"].part("mistakes.jsonl")
        self._run(
            current,
            "acquire",
            {"mistakes": mistakes, "pools": self._stored_pools, "model": self._model},
            {
                "knowledge": self._knowledge_settings,
                "seed": config.seed,
                "model": self._model_settings,
            },
        )
        passages = current.results["acquire"].part("passages.jsonl")
        answers = before.results["answer"].part("answers")
        inputs = {"mistakes": mistakes, "passages": passages, "answers": answers}
        settings: dict[str, Any] = {"triage": config.triage.model_dump(mode="json")}
        if config.triage.asks:
            inputs |= {"model": self._model, "pools": self._stored_pools}
            if before.weights is not None:
                inputs["weights"] = before.weights
            settings |= {"model": self._model_settings, "answering": self._asking()}
        self._run(current, "triage", inputs, settings)

    def _supply(self, current: Round, before: Round) -> None:
        """From passages to more text about them."""
        config = self._config
        inputs = {
            "pools": self._stored_pools,
            "mistakes": current.results["collect"].part("mistakes.jsonl"),
            "triaged": current.results["triage"].part("triaged.jsonl"),
            "passages": current.results["acquire"].part("passages.jsonl"),
        }
        settings: dict[str, Any] = {
            "supply": config.supply.model_dump(mode="json"),
            "seed": config.seed,
        }
        if config.supply.asks:
            self._writer(config.supply.by, before, inputs, settings)
        self._run(current, "supply", inputs, settings)

    def _writer(
        self, by: str, before: Round, inputs: dict[str, Part], settings: dict[str, Any]
    ) -> None:
        """Add what a stage is handed that has a model write."""
        if by == "endpoint":
            settings["endpoint"], _ = self._config.endpoint.parted()
            return
        inputs["model"] = self._model
        if before.weights is not None:
            inputs["weights"] = before.weights
        settings |= {"model": self._model_settings, "answering": self._asking()}

    def _learn(self, current: Round, course: Course) -> None:
        """From triaged mistakes to new weights: supply, assemble, train."""
        if self._config.supply.kinds:
            self._supply(current, course.last)
        anew = self._config.trainer.start == "base"
        read = [*course.line[1:], current] if anew else [current]
        recipe = self._config.recipe.model_dump(mode="json")
        recipe["tokens"] *= len(read)
        self._assemble(current, course, read, recipe)
        self._train(current, None if anew else course.last.weights, recipe)

    def _assemble(
        self, current: Round, course: Course, read: Sequence[Round], recipe: Mapping[str, Any]
    ) -> None:
        """The examples of a round.

        Args:
            read: the rounds whose mistakes and passages it learns from.
        """
        inputs = {
            "model": self._model,
            "pools": self._stored_pools,
            "answers": course.last.results["answer"].part("answers"),
        }
        for each in read:
            inputs[f"mistakes_{each.number}"] = each.results["collect"].part("mistakes.jsonl")
            inputs[f"triaged_{each.number}"] = each.results["triage"].part("triaged.jsonl")
            inputs[f"passages_{each.number}"] = each.results["acquire"].part("passages.jsonl")
            inputs[f"control_{each.number}"] = each.results["acquire"].part("control.jsonl")
            if "supply" in each.results:
                made = each.results["supply"]
                inputs[f"synthetic_{each.number}"] = made.part("synthetic.jsonl")
                inputs[f"items_{each.number}"] = made.part("items.jsonl")
        for each in course.rounds[1:]:
            inputs[f"before_{each.number}"] = each.results["triage"].part("triaged.jsonl")
        for each in course.line[:-1]:
            inputs[f"earlier_{each.number}"] = each.results["answer"].part("answers")
        asked = [question.id for each in [*course.rounds, current] for question in each.mined]
        settings = {
            "asked": sorted(set(asked)),
            "method": self._config.answering.method,
            "model": self._model_settings,
            "recipe": recipe,
            "seed": self._config.seed,
        }
        self._run(current, "assemble", inputs, settings)

    def _train(self, current: Round, start: Part | None, recipe: Mapping[str, Any]) -> None:
        """New weights.

        Args:
            start: the weights to set out from; None is the untouched model.
        """
        config = self._config
        inputs = {
            "model": self._model,
            "examples": current.results["assemble"].part("examples"),
        }
        if start is not None:
            inputs["weights"] = start
        settings = {
            "model": self._model_settings,
            "recipe": recipe,
            "objective": config.objective.model_dump(mode="json"),
            "trainer": config.trainer.model_dump(mode="json", exclude=set(FREE_KEYS)),
            "seed": config.seed,
        }
        if config.trainer.evaluate_at or config.trainer.interpolation.gate:
            inputs["pools"] = self._stored_pools
            settings["answering"] = self._asking_once()
            settings["guarded"] = config.verdict.guarded
        self._run(current, "train", inputs, settings)

    def _run(
        self,
        current: Round,
        stage: str,
        inputs: Mapping[str, Part],
        settings: Mapping[str, Any],
    ) -> None:
        title = f"round {current.number} · {stage.replace('_', ' ')}"
        current.results[stage] = self._runner.run(
            stage,
            title,
            inputs,
            settings,
            round=current.number,
            access=self._access.get(stage),
        )


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.items())


def _unanswered(record: Mapping[str, Any]) -> str:
    """What kept questions from being answered at all, if anything did."""
    found = {each: record[each] for each in ("unparsable", "too_long") if record[each]}
    return f" ({_counts(found)}: no answer, so no mistake of knowledge)" if found else ""
