"""JSONL that a user wrote: rows with their line numbers, and every problem in words.

Knows nothing of what the rows mean; our own files are read by `storage.atomic`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

from cem_lightning.errors import UserError

SHOWN = 20


@dataclass(frozen=True)
class Rows:
    """The objects of a file, each with its line number from 1, and what could not be read."""

    rows: tuple[tuple[int, dict[str, Any]], ...]
    problems: tuple[str, ...]


def read_rows(path: Path, key: str) -> Rows:
    """Read a JSONL file; a byte order mark, CRLF and blank lines are harmless.

    Args:
        key: the config key that named the file, for messages.
    """
    try:
        data = path.expanduser().read_bytes()
    except FileNotFoundError:
        return Rows((), (f"{key}: the file {path} does not exist; give the path of a JSONL file",))
    except OSError as error:
        return Rows((), (f"{key}: {path} cannot be read ({error.strerror}); give a JSONL file",))
    rows: list[tuple[int, dict[str, Any]]] = []
    problems: list[str] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
            json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair is no text
        except UnicodeEncodeError:
            problems.append(
                f"{path}, line {number}: an escape such as \\ud800 that is half a character; "
                "remove it"
            )
        except UnicodeDecodeError as error:
            problems.append(
                f"{path}, line {number}: byte {error.start + 1} is not UTF-8; save as UTF-8"
            )
        except (ValueError, RecursionError) as error:  # malformed, or a number beyond all bounds
            where = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            problems.append(
                f"{path}, line {number}: malformed JSON{where} ({str(error).split(':')[0]}); "
                "write one JSON object a line"
            )
        else:
            if isinstance(row, dict):
                rows.append((number, row))
            else:
                problems.append(
                    f"{path}, line {number}: {type(row).__name__} instead of an object; "
                    'write one {"key": value, ...} a line'
                )
    if not rows and not problems:
        problems.append(f"{key}: {path} is empty; write one JSON object a line")
    return Rows(tuple(rows), tuple(problems))


def refuse(what: str, problems: Sequence[str]) -> Never:
    """Raise one UserError that lists the problems, the first `SHOWN` of them in full."""
    if len(problems) == 1:
        raise UserError(f"{what} cannot be used: {problems[0]}.")
    listed = "".join(f"\n  {problem}." for problem in problems[:SHOWN])
    more = f"\n  ... and {len(problems) - SHOWN} more." if len(problems) > SHOWN else ""
    raise UserError(f"{what} cannot be used, {len(problems)} problems:{listed}{more}")
