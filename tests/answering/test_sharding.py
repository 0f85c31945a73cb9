"""Asking shared by processes gives what one process gives, to the bit; a stream is not held."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from cem_lightning.answering import asking, generating
from cem_lightning.answering.asking import ask, ask_stream
from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.sharding import Shares
from cem_lightning.evolution.asking import ask_in_processes
from cem_lightning.evolution.processes import run_in_processes
from cem_lightning.evolution.run import run
from cem_lightning.evolution.runner import Runner
from cem_lightning.models.config import ModelConfig
from cem_lightning.models.loading import LanguageModel, load_model
from cem_lightning.progress import SilentProgress
from cem_lightning.questions.records import Question
from cem_lightning.storage.store import Part, Store
from tests.tiny import tiny_model_folder
from tests.workspace import Workspace, make_workspace

WORLD = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("model"))


def settings(folder: Path) -> ModelConfig:
    return ModelConfig(
        path=str(folder), style="chat", dtype="float32", attention="sdpa", device="cpu"
    )


@pytest.fixture(scope="module")
def model(folder: Path) -> LanguageModel:
    return load_model(folder, settings(folder))


def config(method: str = "letters", **more: Any) -> AnsweringConfig:
    values = {
        "method": method,
        "normalise": "sum",
        "blind": False,
        "open_book_passages": 0,
        "batch_tokens": 512,
        "response_tokens": 3,
    }
    return AnsweringConfig.model_validate(values | more)


def questions(count: int) -> list[Question]:
    """Choices and short answers, of many lengths, and one that is too long."""
    made = [
        Question(
            f"q{number}",
            "why " * (7 * number % 23) + f"is {number}?",
            ("red", "green", "blue")[: 2 + number % 2] if number % 5 else ("red",),
            0,
            f"q{number}",
        )
        for number in range(count)
    ]
    return [*made, Question("long", "why " * 300, ("red", "green"), 0, "long")]


class Together:
    """What several processes do in a torch.distributed group, done by threads."""

    def __init__(self) -> None:
        self._all = threading.Barrier(WORLD)
        self._box: list[Any] = [None] * WORLD

    def exchange(self, number: int, mine: Any) -> list[Any]:
        self._box[number] = mine
        self._all.wait()
        every = list(self._box)
        self._all.wait()
        return every


def shared(
    monkeypatch: pytest.MonkeyPatch, work: Callable[[Callable[[int], None]], Any]
) -> tuple[list[Any], list[int]]:
    """What `work` returns in each of several processes, and how many questions each has done."""
    together, here = Together(), threading.local()

    class Threads(Shares):
        @classmethod
        def here(cls) -> Shares:
            return cls(here.number, WORLD)

        def sum(self, values: Tensor) -> Tensor:
            every = together.exchange(self.number, values)
            return sum(every[1:], every[0])

        def merged(self, made: Mapping[int, Any]) -> dict[int, Any]:
            return {
                at: each
                for part in together.exchange(self.number, made)
                for at, each in part.items()
            }

    done = [0] * WORLD

    def process(number: int) -> Any:
        here.number = number

        def advance(count: int) -> None:
            done[number] += count

        return work(advance)

    for module in (asking, generating):
        monkeypatch.setattr(module, "Shares", Threads)
    with ThreadPoolExecutor(WORLD) as pool:
        return list(pool.map(process, range(WORLD))), done


@pytest.mark.invariant
@pytest.mark.parametrize("method", ["cloze", "letters", "extract"])
def test_each_process_does_a_part_and_all_have_the_answers_of_one(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    asked = questions(30)
    alone = ask(model, asked, config(method))
    assert {each.outcome for each in alone} >= {"too_long"}
    made, done = shared(
        monkeypatch, lambda advance: ask(model, asked, config(method), advance=advance)
    )
    assert all(each == alone for each in made)
    assert sum(done) == len(asked)
    assert min(done) > 0 and max(done) < 0.6 * len(asked)


def test_a_stream_is_read_a_window_at_a_time(model: LanguageModel) -> None:
    asked, read = questions(10), []

    def stream() -> Iterator[Question]:
        for each in asked:
            read.append(each.id)
            yield each

    answers = ask_stream(model, stream(), config(), window=4)
    assert read == []
    ahead = []
    for number, answer in enumerate(answers, 1):
        assert answer.question == asked[number - 1].id
        ahead.append(len(read) - number)
    assert len(ahead) == len(asked)
    assert max(ahead) < 4


def test_a_stream_has_the_answers_of_its_windows(model: LanguageModel) -> None:
    asked = questions(10)
    whole = ask(model, asked, config())
    assert tuple(ask_stream(model, iter(asked), config())) == whole
    pieces = tuple(ask_stream(model, iter(asked), config(), window=4))
    assert [each.prediction for each in pieces] == [each.prediction for each in whole]
    for ours, theirs in zip(pieces, whole, strict=True):
        assert ours.log_likelihoods == pytest.approx(theirs.log_likelihoods, abs=1e-4)


@pytest.mark.invariant
@pytest.mark.slow
def test_processes_answer_as_one_does(model: LanguageModel, folder: Path) -> None:
    asked = questions(20)
    answers = ask_in_processes(settings(folder), asked, config("extract"), processes=2, threads=1)
    assert answers == ask(model, asked, config("extract"))


class Listener(SilentProgress):
    """Remembers how much was done."""

    def __init__(self) -> None:
        self.done = 0.0

    @contextmanager
    def stage(self, title: str, **_: Any) -> Any:
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done += amount

    def measure(self, row: Mapping[str, float]) -> None:
        """Nothing is measured."""


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A world with the store of a run without training, asked in one process."""
    world = make_workspace(tmp_path_factory.mktemp("answered"))
    run(world.config("rounds=0"))
    return world


@pytest.mark.invariant
@pytest.mark.slow
@pytest.mark.parametrize(("stage", "count"), [("answer", 54), ("open_book", 8)])
def test_a_stage_in_two_processes_is_the_stage_in_one(
    answered: Workspace, tmp_path: Path, stage: str, count: int
) -> None:
    (stored,) = (answered.folder / "store" / stage).glob("*/record.json")
    job = json.loads((stored.parent / "job.json").read_text())
    inputs = {name: Part(Path(path), name) for name, path in job["inputs"].items()}
    progress = Listener()
    runner = Runner(Store(tmp_path), progress, devices=2)
    result = runner.run(stage, stage, inputs, job["config"], access=job["access"])
    assert result.record["devices"] == 2
    one, two = json.loads(stored.read_text())["digests"], result.record["digests"]
    assert one.keys() == two.keys()
    assert {name for name in one if one[name] != two[name]} <= {"job.json"}
    assert progress.done == count


@pytest.mark.slow
def test_a_process_that_fails_ends_the_stage_with_its_traceback(
    answered: Workspace, tmp_path: Path
) -> None:
    (stored,) = (answered.folder / "store" / "answer").glob("*/job.json")
    job = json.loads(stored.read_text())
    job["config"]["answering"] |= {"method": "extract", "response_tokens": -1}
    (tmp_path / "job.json").write_text(json.dumps(job))
    with pytest.raises(RuntimeError, match=r"answer:\nTraceback[\s\S]*response_tokens"):
        run_in_processes(tmp_path, 2, "answer", SilentProgress())
