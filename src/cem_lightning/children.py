"""Processes that do not outlive the one that started them, however that one ends.

Says nothing about what they do.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

_LAST = 10  # seconds until a process that does not end is killed


@contextmanager
def child(
    command: Sequence[str],
    *,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    environment: Mapping[str, str],
    patience: float = 0,
) -> Iterator[subprocess.Popen[bytes]]:
    """A running child process; whatever is left of it is ended when the context is.

    Its standard input is a pipe that closes when this process ends, even by SIGKILL: the child
    calls `end_with_parent`, and so may its own children, which inherit the pipe. It has a session
    of its own, so that Ctrl-C reaches this process alone, which decides.

    Args:
        patience: seconds in which it may end in order when it is told to.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        env=environment,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(patience)
            assert process.stdin is not None
            process.stdin.close()  # it ends by itself, and with it what it has started
            try:
                process.wait(_LAST)
            except subprocess.TimeoutExpired:
                process.kill()


def end_with_parent() -> None:
    """End this process as soon as the one that started it by `child` is gone."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)  # nobody waits for an orderly end any more

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
