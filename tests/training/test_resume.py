"""A training that is stopped, in whatever way and however often, ends as one that is not."""

from __future__ import annotations

import csv
import errno
import io
import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.corpus.datamodule import CorpusDataModule
from cem_lightning.errors import UserError
from cem_lightning.training.adapters import add_adapter
from cem_lightning.training.callbacks import MEASURED
from cem_lightning.training.checkpoints import CheckpointFolder
from cem_lightning.training.config import LoraSettings, TrainerConfig
from cem_lightning.training.fit import train
from tests.tiny import tiny_model
from tests.training.cases import (
    LORA,
    OBJECTIVE,
    RECIPE,
    VOCABULARY,
    examples,
    examples_folder,
    settings,
)

ALWAYS = 1e-9  # minutes: a checkpoint after every step
DROPPING = LORA.model_copy(update={"dropout": 0.3})


class Stopped(Exception):
    """Raised in the middle of a training."""


class Watch:
    """A task that does something once a step has been made, before its checkpoint."""

    def __init__(self, at: int = 0, act: Callable[[], object] | None = None) -> None:
        self.at, self.act = at, act
        self.steps = 0
        self.tokens = 0

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.tokens += int(amount)

    def measure(self, row: object) -> None:
        self.steps += 1
        if self.steps == self.at and self.act is not None:
            self.act()


def stop() -> None:
    raise Stopped


class Case(NamedTuple):
    """What is trained, and where."""

    corpus: Path
    folder: Path
    lora: LoraSettings | None = None

    def run(self, watch: Watch | None = None, **more: Any) -> dict[str, Any]:
        """Train a fresh model, from the newest checkpoint on; everything that must be equal."""
        network = tiny_model("qwen2", vocabulary=VOCABULARY)
        if self.lora is not None:
            network = add_adapter(network, self.lora, seed=1)
        torch.manual_seed(os.getpid())
        say = more.pop("say", lambda _: None)
        config: TrainerConfig = settings(
            **{"lora": self.lora, "batch": 3, "checkpoint_minutes": ALWAYS, **more}
        )
        watch = watch or Watch()
        result = train(
            network, self.corpus, RECIPE, OBJECTIVE, config,
            seed=1, folder=self.folder / "work", resume=self.kept, task=watch, say=say,
        )  # fmt: skip
        assert watch.tokens == sum(result.tokens.values())
        with result.curves.open() as file:
            rows = [row | dict.fromkeys(MEASURED, "") for row in csv.DictReader(file)]
        assert len(rows) == result.steps == watch.steps
        (weights,) = result.weights.glob("*.safetensors")
        return {
            "weights": weights.read_bytes(),
            "curves": rows,
            "tokens": result.tokens,
            "last state": self.state(),
        }

    @property
    def kept(self) -> Path:
        return self.folder / "kept"

    def state(self) -> dict[str, Any]:
        """The newest checkpoint: weights, moments, schedule, sums."""
        found = CheckpointFolder(self.kept).newest(print)
        if found is None:
            return {}
        values = {key: each for key, each in found.values.items() if key != "environment"}
        tensors = {name: each.tolist() for name, each in found.tensors("")}
        return {"step": found.step, "values": values, "tensors": tensors}

    def elsewhere(self, name: str) -> Case:
        return self._replace(folder=self.folder.parent / name)


class Amounts(Watch):
    """Keeps what was told to be done, and the tokens of every row."""

    def __init__(self) -> None:
        super().__init__()
        self.amounts: list[int] = []
        self.totals: list[int] = []

    def advance(self, amount: float = 1, note: str = "") -> None:
        super().advance(amount, note)
        self.amounts.append(int(amount))

    def measure(self, row: Any) -> None:
        super().measure(row)
        self.totals.append(int(row["tokens"]))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return examples_folder(tmp_path_factory.mktemp("corpus") / "examples")


@pytest.fixture(scope="module", params=[None, DROPPING], ids=["full", "lora with dropout"])
def whole(
    request: pytest.FixtureRequest, corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Case, dict[str, Any]]:
    """A training that nobody stops."""
    case = Case(corpus, tmp_path_factory.mktemp("whole") / "run", request.param)
    outcome = case.run()
    assert len(outcome["curves"]) >= 9
    return case, outcome


@pytest.fixture
def case(corpus: Path, tmp_path: Path) -> Case:
    return Case(corpus, tmp_path / "run", DROPPING)


@pytest.fixture(scope="module")
def expected(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return Case(corpus, tmp_path_factory.mktemp("expected") / "run", DROPPING).run()


@pytest.mark.invariant
@pytest.mark.parametrize(("first", "second"), [
    (5, 8), pytest.param(1, 9, marks=pytest.mark.slow), pytest.param(2, 3, marks=pytest.mark.slow)
])  # fmt: skip
def test_stopped_and_continued_twice_is_uninterrupted(
    whole: tuple[Case, dict[str, Any]], tmp_path: Path, first: int, second: int
) -> None:
    case, outcome = whole
    case = case._replace(folder=tmp_path / "run")
    for at in (first, second):
        with pytest.raises(Stopped):
            case.run(Watch(at, stop))
        # the step at which it is stopped has no checkpoint yet
        assert case.state().get("step", 0) == at - 1
    assert case.run() == outcome


@pytest.mark.invariant
@pytest.mark.parametrize("at", [6, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_and_continued_is_uninterrupted(
    case: Case, expected: dict[str, Any], at: int
) -> None:
    child = os.fork()
    if child == 0:
        case.run(Watch(at, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    said: list[str] = []
    assert case.run(say=said.append) == expected
    assert said == [f"continues after step {at - 1}"]


@pytest.mark.invariant
def test_a_signal_saves_within_a_step(case: Case, expected: dict[str, Any]) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGUSR1)]
    said: list[str] = []
    for at, number in ((1, signal.SIGTERM), (4, signal.SIGUSR1)):
        with pytest.raises(SystemExit) as ended:
            watch = Watch(at, partial(os.kill, os.getpid(), number))
            case.run(watch, checkpoint_minutes=10, say=said.append)
        assert ended.value.code == 128 + number
        assert case.state()["step"] == at
        assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGUSR1)] == before
    assert said == [
        "11 optimizer steps of about 1 pack x 54 tokens = 54 tokens",
        "stopped after step 1 of 11; the same command continues there",
        "continues after step 1",
        "stopped after step 4 of 11; the same command continues there",
    ]
    assert case.run() == expected


def test_an_interrupt_saves_within_a_step(case: Case, expected: dict[str, Any]) -> None:
    before = signal.getsignal(signal.SIGINT)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        watch = Watch(3, partial(os.kill, os.getpid(), signal.SIGINT))
        case.run(watch, checkpoint_minutes=10, say=said.append)
    assert case.state()["step"] == 3
    assert signal.getsignal(signal.SIGINT) == before
    assert said[1:] == [
        "saving at the end of this step; Ctrl-C again ends without",
        "stopped after step 3 of 11; the same command continues there",
    ]
    assert case.run() == expected


def test_a_signal_to_every_process_leaves_the_workers_to_the_trainer(
    case: Case, expected: dict[str, Any]
) -> None:
    def all_of_them() -> None:
        workers = multiprocessing.active_children()
        assert len(workers) == 2
        for pid in (*(each.pid for each in workers), os.getpid()):
            os.kill(pid, signal.SIGTERM)

    with pytest.raises(SystemExit):
        case.run(Watch(2, all_of_them), workers=2)
    assert case.state()["step"] == 2
    assert not multiprocessing.active_children()
    assert case.run(workers=2) == expected


def test_a_second_signal_ends_at_once(case: Case) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: stop())

    def twice() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGUSR1)

    try:
        with pytest.raises(Stopped):
            case.run(Watch(3, twice), checkpoint_minutes=10)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert case.state() == {}


def test_a_signal_after_the_last_step_loses_nothing(case: Case, expected: dict[str, Any]) -> None:
    last = len(expected["curves"])
    with pytest.raises(SystemExit):
        case.run(Watch(last, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert case.state()["step"] == last
    again = case.run()
    assert {**again, "last state": None} == {**expected, "last state": None}


def test_checkpoints_come_by_the_clock_and_not_at_all_with_zero(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minutes in (0, 10):
        with pytest.raises(Stopped):
            case.run(Watch(3, stop), checkpoint_minutes=minutes)
        assert not list(case.kept.glob("step-*"))
        assert case.kept.exists() == (minutes > 0), "what is never continued keeps no plan"
    watch = Watch()
    monkeypatch.setattr(time, "monotonic", lambda: 60.0 * watch.steps)
    steps: list[int] = []
    monkeypatch.setattr(CheckpointFolder, "save", lambda _, step, *rest: steps.append(step))
    case.run(watch, checkpoint_minutes=3)
    assert steps == [3, 6, 9]


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = (truncated, flipped, emptied, Path.unlink)


@pytest.fixture(scope="module")
def stopped(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Stopped in its seventh step, with the checkpoints of the fifth and sixth."""
    case = Case(corpus, tmp_path_factory.mktemp("stopped") / "run", DROPPING)
    with pytest.raises(Stopped):
        case.run(Watch(7, stop))
    kept = {path.name[:14] for path in case.kept.glob("step-*")}
    assert kept == {"step-000000005", "step-000000006"}
    return case


@pytest.fixture
def broken(stopped: Case, tmp_path: Path) -> Case:
    """A copy of it, to be damaged."""
    shutil.copytree(stopped.folder, tmp_path / "run")
    return stopped._replace(folder=tmp_path / "run")


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
@pytest.mark.parametrize("file", ["1.safetensors", "curves.jsonl", "json"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_used(
    broken: Case, damage: Callable[[Path], None], file: str
) -> None:
    damage(broken.kept / f"step-000000006.{file}")
    said: list[str] = []
    found = CheckpointFolder(broken.kept).newest(said.append)
    assert found is not None and found.step == 5
    if file == "json" and damage is Path.unlink:
        return  # then it looks like one that was not finished
    (told,) = said
    assert "step-000000006" in told and told.endswith("the one before it is used")


def test_after_a_damaged_checkpoint_the_result_is_the_same(
    broken: Case, expected: dict[str, Any]
) -> None:
    flipped(broken.kept / "step-000000006.1.safetensors")
    said: list[str] = []
    with pytest.raises(Stopped):  # the good one stays until there is another
        broken.run(Watch(6, stop), say=said.append)
    assert "is damaged" in said[0] and said[1] == "continues after step 5"
    assert broken.run() == expected


def test_without_a_whole_checkpoint_training_starts_anew(
    broken: Case, expected: dict[str, Any]
) -> None:
    for step in (5, 6):
        truncated(broken.kept / f"step-00000000{step}.1.safetensors")
    said: list[str] = []
    assert broken.run(say=said.append) == expected
    assert [each.rpartition("; ")[2] for each in said[:-1]] == [
        "the one before it is used",
        "training starts anew",
    ]


class Disk:
    """Counts the calls of a save to the file system, and has one of them go wrong."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, fail: Callable[[], None]) -> None:
        self.calls, self._at, self._fail = 0, at, fail
        for name in ("fsync", "open", "replace", "unlink", "mkdir", "listdir", "scandir"):
            patch.setattr(os, name, self._counted(getattr(os, name)))
        opened = io.open

        def open_counted(*args: Any, **more: Any) -> Any:
            self.call()
            file = opened(*args, **more)
            if file.writable():
                file = Writes(file.detach() if hasattr(file, "detach") else file, self)
            return file

        patch.setattr(io, "open", open_counted)

    def call(self) -> None:
        self.calls += 1
        if self.calls == self._at:
            self._fail()

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            self.call()
            return function(*args, **more)

        return counted


class Writes(io.BufferedWriter):
    """A file that may break off in the middle of what is written."""

    def __init__(self, raw: Any, disk: Disk) -> None:
        super().__init__(raw)
        self._disk = disk

    def write(self, data: Any) -> int:
        super().write(data[: len(data) // 2])
        super().flush()
        self._disk.call()
        super().write(data[len(data) // 2 :])
        return len(data)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


def content(folder: Path) -> tuple[int, list[float]]:
    said: list[str] = []
    found = CheckpointFolder(folder).newest(said.append)
    assert found is not None and not said, "a failed save is no damaged checkpoint"
    assert len(found.rows) == found.step
    (tensor,) = (each for _, each in found.tensors("weight/"))
    return found.step, tensor.tolist()


def save_step(folder: CheckpointFolder, step: int) -> None:
    weight = torch.full((40,), float(step))
    folder.save(step, [("weight/a", weight)], ["{}"] * step, {"step": step})


def no_space() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def two_states(folder: Path) -> CheckpointFolder:
    states = CheckpointFolder(folder)
    for step in (1, 2):
        save_step(states, step)
    return states


def fails(states: CheckpointFolder, patch: pytest.MonkeyPatch, at: int, fail: Any) -> bool:
    """Save a third state while one call goes wrong; whether there are as many calls."""
    disk = Disk(patch, at, fail)
    with suppress(OSError):
        save_step(states, 3)
    return disk.calls >= at


@pytest.mark.invariant
def test_a_full_disk_at_any_call_leaves_the_old_or_the_new_state(tmp_path: Path) -> None:
    for at in range(1, 1000):
        states = two_states(tmp_path / str(at))
        with pytest.MonkeyPatch.context() as patch:
            failed = fails(states, patch, at, no_space)
        found = content(states.path)
        assert found in ((2, [2.0] * 40), (3, [3.0] * 40))
        if not failed:
            break
        save_step(states, 4)  # once there is room again
        assert content(states.path) == (4, [4.0] * 40)
    assert at > 20 and found[0] == 3


@pytest.mark.invariant
@pytest.mark.slow
def test_a_kill_at_any_call_leaves_the_old_or_the_new_state(tmp_path: Path) -> None:
    for at in range(1, 1000):
        states = two_states(tmp_path / str(at))
        child = os.fork()
        if child == 0:
            die = partial(os.kill, os.getpid(), signal.SIGKILL)
            fails(states, pytest.MonkeyPatch(), at, die)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        found = content(states.path)
        assert found in ((2, [2.0] * 40), (3, [3.0] * 40))
        if os.WIFEXITED(status):
            break
        again = CheckpointFolder(states.path)
        again.newest(print)
        save_step(again, 5)
        assert content(states.path) == (5, [5.0] * 40)
        kept = {path.name.split(".")[0] for path in states.path.iterdir()}
        assert len(kept) == 2, "what a killed process has left is gone"
    assert at > 20 and found[0] == 3


def test_files_of_others_in_the_folder_stay(tmp_path: Path) -> None:
    theirs = [tmp_path / name for name in ("notes.txt", "step-1.json", "step-000000001")]
    for path in theirs:
        path.write_text("{}")
    states = CheckpointFolder(tmp_path)
    for step in (1, 2, 3):
        save_step(states, step)
    assert all(path.exists() for path in theirs)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": 2e-3}, r"trainer\.learning_rate: 0\.001 there, 0\.002 now"),
        (
            {"lora": DROPPING.model_copy(update={"rank": 8})},
            r"trainer\.lora\.rank: 4 there, 8 now.*and \d+ more",
        ),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused(
    stopped: Case, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    other = stopped._replace(lora=changes.get("lora", stopped.lora))
    before = {path: path.read_bytes() for path in stopped.kept.glob("step-*")}
    with pytest.raises(UserError, match=rf"checkpoint of step 6 in .*{said}"):
        other.run(**changes)
    assert {path: path.read_bytes() for path in stopped.kept.glob("step-*")} == before


@pytest.mark.parametrize("what", ["model", "examples"])
def test_a_checkpoint_of_another_model_or_corpus_is_refused(
    stopped: Case, tmp_path: Path, what: str
) -> None:
    network = tiny_model("qwen2", vocabulary=VOCABULARY, seed=int(what == "model"))
    network = add_adapter(network, DROPPING, seed=1)
    corpus = stopped.corpus
    if what == "examples":
        corpus = examples_folder(tmp_path / "other", examples(seed=1))
    config = settings(lora=DROPPING, batch=3)
    with pytest.raises(UserError, match=rf"of another training: {what}: \S+ there, \S+ now\. "):
        train(
            network, corpus, RECIPE, OBJECTIVE, config,
            seed=1, folder=tmp_path / "work", resume=stopped.kept,
        )  # fmt: skip


def test_how_often_and_on_how_many_devices_is_no_other_training(
    broken: Case, expected: dict[str, Any]
) -> None:
    again = broken.run(checkpoint_minutes=0, devices=2)
    assert {**again, "last state": None} == {**expected, "last state": None}


def test_another_number_of_threads_is_told(broken: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    said: list[str] = []
    broken.run(say=said.append)
    (told,) = said
    assert f"threads: {threads} there, {threads + 1} now" in told
    assert "last digits" in told


def test_too_little_disk_is_said_before_anything_is_trained(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A weight and two moments in each of two checkpoints, and the result."""
    network = add_adapter(tiny_model("qwen2", vocabulary=VOCABULARY), DROPPING, seed=1)
    size = sum(each.nbytes for each in network.parameters() if each.requires_grad)
    free = 7 * size - 1
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - free, free))
    watch = Watch()
    with pytest.raises(UserError, match=r"needs \S+ GB of disk .* \S+ GB are free.*store_dir to"):
        case.run(watch)
    assert watch.steps == 0
    for minutes in (0, ALWAYS):
        with pytest.raises(Stopped):
            case.run(Watch(1, stop), checkpoint_minutes=minutes)
        free = 7 * size
    free = size - 1
    with pytest.raises(UserError, match=r"the trained weights\), and"):
        case.run(checkpoint_minutes=0)


def test_no_frozen_weight_is_in_a_checkpoint(stopped: Case) -> None:
    tensors = [load_file(path) for path in stopped.kept.glob("*.safetensors")]
    names = [name for each in tensors for name in each]
    assert names and all("lora_" in name for name in names)
    assert {name.partition("/")[0] for name in names} == {
        "weight", "exp_avg", "exp_avg_sq", "step",
    }  # fmt: skip
    kept = {path.suffix for path in stopped.kept.glob("step-*")}
    assert kept == {".safetensors", ".json", ".jsonl"}


def test_spoilt_weights_do_not_replace_a_good_checkpoint(case: Case) -> None:
    def spoil() -> None:
        with torch.no_grad():
            next(each for each in network.parameters() if each.requires_grad)[0] = float("nan")

    network = add_adapter(tiny_model("qwen2", vocabulary=VOCABULARY), DROPPING, seed=1)
    config = settings(lora=DROPPING, batch=3, checkpoint_minutes=ALWAYS)
    with pytest.raises(UserError, match="are not finite after the last step, 4 of 11"):
        train(
            network, case.corpus, RECIPE, OBJECTIVE, config,
            seed=1, folder=case.folder, resume=case.kept, task=Watch(4, spoil),
        )  # fmt: skip
    assert case.state()["step"] == 3


@pytest.mark.invariant
def test_the_order_is_the_same_from_any_of_200_cuts(corpus: Path) -> None:
    """Three passes over every example: none is lost, none comes twice."""
    recipe = RecipeConfig(
        name="cem", tokens=4500, shares={"passage": 0.4, "normative": 0.3, "review": 0.3},
        order="mixed", passages="retrieved", review_late=False,
    )  # fmt: skip

    def data(start: int) -> CorpusDataModule:
        return CorpusDataModule(
            corpus, recipe, seed=1, batch=1, pack_tokens=400, start=start
        )  # fmt: skip

    whole = data(0)
    order = whole.plan.order.tolist()
    passes = [order.count(each) for each in range(len(examples()))]
    assert min(passes) >= 3
    assert whole.plan.steps > 200
    steps = [json.dumps([pack.input_ids.tolist() for pack in step])
             for step in whole.train_dataloader()]  # fmt: skip
    for cut in range(200):
        loader = data(cut).train_dataloader()
        assert len(loader) == whole.plan.steps - cut
        assert [at for step in loader.batch_sampler for at in step] == order[cut:]
        first = next(iter(loader))
        assert json.dumps([pack.input_ids.tolist() for pack in first]) == steps[cut]


def test_what_was_done_before_is_told_at_once(corpus: Path, tmp_path: Path) -> None:
    """Else it would be taken for speed, and too little time for left."""
    case = Case(corpus, tmp_path)
    with pytest.raises(Stopped):
        case.run(Watch(at=4, act=stop))
    amounts = Amounts()
    case.run(amounts)
    assert amounts.amounts[0] == amounts.totals[2], "three steps had been saved"
    assert len(amounts.amounts) == len(amounts.totals) - 2
