"""Progress on a terminal, one line a stage; plain lines where there is no terminal.

What a stage reports comes through the protocol of `cem_lightning.progress`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Task as RichTask
from rich.text import Text

from cem_lightning.progress import Task
from cem_lightning.reporting.figures import amount, duration

_Measured = Callable[[Mapping[str, float]], None]
_PLAIN_STEP = 0.1  # share of a stage between two plain lines
_PLAIN_SECONDS = 5.0  # at least, from one line to the next


@contextmanager
def make_progress(
    console: Console | None = None, *, measured: _Measured | None = None
) -> Iterator[RichProgress]:
    """Progress for one run; whatever is still shown goes when the context ends.

    Args:
        measured: takes what every step of a stage gave; nothing of it is shown.
    """
    progress = RichProgress(console, measured=measured)
    try:
        yield progress
    finally:
        progress.close()


class RichProgress:
    """Stages as they happen, on standard output.

    On a terminal the running stage has a bar with the time left, and finished stages stay as a
    line each. Elsewhere a stage says when it starts, about every tenth, and when it ends.

    Args:
        console: where to write; standard output if not given.
        clock: seconds that only grow.
        measured: takes what every step of a stage gave; nothing of it is shown.
    """

    def __init__(
        self,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
        measured: _Measured | None = None,
    ) -> None:
        self._console = console or Console(highlight=False)
        self._clock = clock
        self._measured = measured or (lambda row: None)
        self._bars: Progress | None = None

    @contextmanager
    def stage(self, title: str, *, total: float | None = None, unit: str = "") -> Iterator[Task]:
        """Show a stage until the context ends, and what became of it."""
        start = self._clock()
        task: _BarTask | _LineTask
        if self._console.is_terminal:
            task = self._bar(title, total, unit)
        else:
            task = _LineTask(self._write, self._clock, title, total, unit, self._measured)
        try:
            yield task
        except BaseException:
            task.close()
            self._finished(
                "✗", "bold red", title, f"stopped after {duration(self._elapsed(start))}"
            )
            raise
        task.close()
        done = f"{amount(task.done, unit)}, " if task.done and unit else ""
        note = f" · {task.note}" if task.note else ""
        self._finished("✓", "green", title, f"{done}{duration(self._elapsed(start))}{note}")

    def reused(self, title: str, seconds: float) -> None:
        """Say that a stage was taken from the store."""
        text = f"reused from an earlier run, which took {duration(seconds)}"
        self._finished("↺", "cyan", title, text, faint=True)

    def say(self, text: str) -> None:
        """Print one line of plain text above the running stage."""
        if self._console.is_terminal:
            self._console.print(Text(text))
        else:
            self._write(text)

    def close(self) -> None:
        """Take away whatever is still shown."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _elapsed(self, start: float) -> float:
        return self._clock() - start

    def _finished(
        self, mark: str, style: str, title: str, text: str, *, faint: bool = False
    ) -> None:
        if not self._console.is_terminal:
            self._write(f"{title}: {'done, ' if mark == '✓' else ''}{text}")
            return
        line = Text.assemble((f"{mark} ", style), (title.ljust(28), "dim" if faint else "bold"))
        self._console.print(line.append(f" {text}", "dim"))

    def _bar(self, title: str, total: float | None, unit: str) -> _BarTask:
        if self._bars is None:
            self._bars = Progress(
                SpinnerColumn(),
                TextColumn("{task.fields[title]:<28}", style="bold", markup=False),
                BarColumn(bar_width=20),
                _AmountColumn(),
                TimeElapsedColumn(),
                _LeftColumn(),
                TextColumn("{task.fields[note]}", style="dim", markup=False),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        bars = self._bars
        identity = bars.add_task("", total=total, title=title, unit=unit, note="")
        return _BarTask(bars, identity, self._drop, self._measured)

    def _drop(self, bars: Progress, identity: TaskID) -> None:
        """Take a finished bar away, and the display with the last one."""
        bars.remove_task(identity)
        if not bars.task_ids:
            self.close()

    def _write(self, text: str) -> None:
        """A line without styles or control characters, in whatever encoding the file has."""
        file = self._console.file
        encoding = getattr(file, "encoding", None) or sys.getdefaultencoding()
        line = "".join(each if each.isprintable() else " " for each in text)
        file.write(line.encode(encoding, errors="replace").decode(encoding) + "\n")
        file.flush()


class _BarTask:
    """A stage shown as a bar."""

    def __init__(
        self,
        bars: Progress,
        identity: TaskID,
        drop: Callable[[Progress, TaskID], None],
        measured: _Measured,
    ) -> None:
        self._bars, self._identity, self._drop = bars, identity, drop
        self.measure = measured
        self.done = 0.0
        self.note = ""

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done += amount
        self.note = note or self.note
        self._bars.update(self._identity, advance=amount, note=self.note)

    def close(self) -> None:
        self._drop(self._bars, self._identity)


class _LineTask:
    """A stage told in plain lines."""

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Callable[[], float],
        title: str,
        total: float | None,
        unit: str,
        measured: _Measured,
    ) -> None:
        self.measure = measured
        self._write, self._clock, self._title, self._unit = write, clock, title, unit
        self._total = total
        self._start = self._wrote = clock()
        self._first: tuple[float, float] | None = None  # when something was done first, and what
        self._shown = 0
        self.done = 0.0
        self.note = ""
        write(f"{title}: started" + (f", {amount(total, unit)}" if total else ""))

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done += amount
        self.note = note or self.note
        if not self._total:
            return
        share = self.done / self._total
        now = self._clock()
        self._first = self._first or (now, self.done)
        elapsed = now - self._start
        # the small allowance keeps ten steps of a tenth from being taken for nine
        tenths = int(share / _PLAIN_STEP + 1e-9)
        if share >= 1 or tenths <= self._shown or now - self._wrote < _PLAIN_SECONDS:
            return
        self._shown, self._wrote = tenths, now
        text = f"{self._title}: {share:.0%} after {duration(elapsed)}"
        # What came first may be from a run that is continued, and getting ready took its time.
        since, before = self._first
        if self.done > before and now > since:
            left = (now - since) * (self._total - self.done) / (self.done - before)
            text += f", about {duration(left)} left"
        self._write(text + (f" · {self.note}" if self.note else ""))

    def close(self) -> None:
        """Nothing is on the screen that would have to go."""


class _AmountColumn(ProgressColumn):
    """How much is done of how much."""

    def render(self, task: RichTask) -> Text:
        unit = task.fields["unit"]
        if task.total is None:
            return Text(amount(task.completed, unit) if task.completed else "")
        return Text(f"{task.completed:,.0f} of {amount(task.total, unit)}")


class _LeftColumn(ProgressColumn):
    """How long still."""

    def render(self, task: RichTask) -> Text:
        left = task.time_remaining
        return Text("" if left is None else f"{duration(left)} left", "cyan")
