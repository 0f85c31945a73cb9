"""Progress where there is no terminal: plain lines, not too many; and on one: one line a stage."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cem_lightning.reporting.progress import RichProgress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_tell_start_tenths_and_end() -> None:
    out, clock = io.StringIO(), Clock()
    progress = RichProgress(Console(file=out), clock)
    with progress.stage("round 1 · train", total=1000, unit="tokens") as task:
        for _ in range(100):
            clock.now += 1
            task.advance(10, note="loss 2.31")
    lines = out.getvalue().splitlines()
    assert lines[0] == "round 1 · train: started, 1,000 tokens"
    assert "50% after 50.0 s, about 50.0 s left · loss 2.31" in out.getvalue()
    assert lines[-1].startswith("round 1 · train: done, 1,000 tokens")
    assert 10 <= len(lines) <= 12
    assert "\x1b" not in out.getvalue() and "\r" not in out.getvalue()


def test_a_failure_is_told_and_goes_on() -> None:
    out = io.StringIO()
    progress = RichProgress(Console(file=out), Clock())
    with pytest.raises(RuntimeError), progress.stage("round 1 · train"):
        raise RuntimeError
    assert "stopped after" in out.getvalue()


def test_a_terminal_keeps_one_line_a_stage() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    progress = RichProgress(console)
    with progress.stage("round 1 · train", total=10, unit="tokens") as task:
        task.advance(10)
    progress.reused("round 0 · answer", 31.4)
    progress.close()
    assert out.getvalue().count("✓ ") == 1
    assert "reused" in out.getvalue()
