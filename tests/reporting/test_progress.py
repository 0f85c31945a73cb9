"""Stages are told on a terminal and in a file, and never break the stage they tell of."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from cem_lightning.progress import Progress, SilentProgress
from cem_lightning.reporting.progress import RichProgress, make_progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run_stage(progress: Progress, clock: Clock, steps: int = 50, total: int | None = 1000) -> None:
    with progress.stage("round 1 · train", total=total, unit="tokens") as task:
        for step in range(steps):
            clock.now += 2
            task.advance(1000 / steps, note=f"loss {3 - step / steps:.2f}")


def test_a_file_gets_a_line_about_every_tenth() -> None:
    file, clock = io.StringIO(), Clock()
    progress = RichProgress(Console(file=file), clock)
    run_stage(progress, clock)
    progress.reused("round 0 · answer", 31.4)
    progress.say("a note\x1b[31m with [bold]markup[/bold]")
    lines = file.getvalue().splitlines()
    assert lines[0] == "round 1 · train: started, 1,000 tokens"
    assert lines[1] == "round 1 · train: 10% after 10.0 s, about 1 min 30 s left · loss 2.92"
    assert [re.search(r"(\d+)%", line)[1] for line in lines[1:10]] == [  # type: ignore[index]
        str(each) for each in range(10, 100, 10)
    ]
    assert lines[10] == "round 1 · train: done, 1,000 tokens, 1 min 40 s · loss 2.02"
    assert lines[11] == "round 0 · answer: reused from an earlier run, which took 31.4 s"
    assert lines[12] == "a note [31m with [bold]markup[/bold]"
    assert "\x1b" not in file.getvalue()


@pytest.mark.parametrize(("steps", "fewest"), [(3, 2), (7, 4), (997, 10)])
def test_a_file_gets_no_flood_whatever_the_steps(steps: int, fewest: int) -> None:
    file, clock = io.StringIO(), Clock()
    run_stage(RichProgress(Console(file=file), clock), clock, steps=steps)
    assert fewest <= len(file.getvalue().splitlines()) <= 11


def test_what_a_continued_run_had_done_does_not_shorten_the_time_left() -> None:
    file, clock = io.StringIO(), Clock()
    with RichProgress(Console(file=file), clock).stage("train", total=1000, unit="tokens") as task:
        clock.now += 30  # getting ready
        task.advance(500)
        for _ in range(20):
            clock.now += 1
            task.advance(10)
    lines = [line for line in file.getvalue().splitlines() if "%" in line]
    assert lines[0] == "train: 50% after 30.0 s"
    assert lines[1] == "train: 60% after 40.0 s, about 40.0 s left"


def test_short_and_unmeasured_stages_say_start_and_end() -> None:
    file, clock = io.StringIO(), Clock()
    progress = RichProgress(Console(file=file), clock)
    with progress.stage("collect", total=10, unit="mistakes") as task:
        for _ in range(10):
            task.advance(1)
    run_stage(progress, clock, total=None)
    assert len(file.getvalue().splitlines()) == 4


def test_an_encoding_without_the_characters_does_not_stop_a_run() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    run_stage(RichProgress(Console(file=file)), Clock(), steps=1)
    assert raw.getvalue().startswith(b"round 1 ? train: started")


def test_a_terminal_keeps_one_line_a_stage() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120)
    with make_progress(console) as progress:
        run_stage(progress, Clock())
        progress.reused("round 0 · answer", 31.4)
        with progress.stage("outer"), progress.stage("inner [/x]", total=2) as task:
            progress.say("between [/y]")
            task.advance(1, note="[/z]")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())
    for text in (
        "✓ round 1 · train",
        "↺ round 0 · answer",
        "✓ inner [/x]",
        "✓ outer",
        "between [/y]",
    ):
        assert text in shown


@pytest.mark.parametrize("terminal", [True, False])
def test_a_failed_stage_is_marked_and_its_error_passes(terminal: bool) -> None:
    file = io.StringIO()
    progress = RichProgress(Console(file=file, force_terminal=terminal, width=120))
    with pytest.raises(KeyError), progress.stage("train", total=2):
        raise KeyError
    assert "stopped after" in file.getvalue()
    with progress.stage("again", total=1):
        pass
    assert "again" in file.getvalue()


def test_silence_is_a_progress_too(capsys: pytest.CaptureFixture[str]) -> None:
    progress: Progress = SilentProgress()
    run_stage(progress, Clock())
    progress.reused("x", 1.0)
    progress.say("y")
    assert capsys.readouterr() == ("", "")
