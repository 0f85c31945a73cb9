"""What a stage says while it works: the protocol that is handed down, and the silent one.

Draws nothing; lines on a terminal are the business of `reporting.progress`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

SAVING = "saving at the end of this step; Ctrl-C again ends without"  # to whoever pressed it


class Task(Protocol):
    """A stage under way."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Record that `amount` more units are done; `note` replaces the one shown before."""
        ...

    def measure(self, row: Mapping[str, float]) -> None:
        """Tell what one step of the stage gave, such as its loss."""
        ...


class Progress(Protocol):
    """Tells the user how far the run is."""

    def stage(
        self, title: str, *, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[Task]:
        """Show a stage until the context ends.

        Args:
            title: as the user reads it, such as "round 1 · train".
            total: how many units there are; None if nobody knows beforehand.
            unit: what is counted, in the plural, such as "tokens".
        """
        ...

    def reused(self, title: str, seconds: float) -> None:
        """Say that a stage was taken from the store; `seconds` is what it took when it ran."""
        ...

    def say(self, text: str) -> None:
        """One line of plain text."""
        ...


class SilentTask:
    """Takes notice of nothing."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Do nothing."""

    def measure(self, row: Mapping[str, float]) -> None:
        """Do nothing."""


class SilentProgress:
    """Shows nothing: for tests, and for use as a library."""

    @contextmanager
    def stage(
        self, title: str, *, total: float | None = None, unit: str = ""
    ) -> Iterator[SilentTask]:
        """Hand out a task that shows nothing."""
        yield SilentTask()

    def reused(self, title: str, seconds: float) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""
