"""Training states on disk: written so that a kill at any instant leaves a whole one to be found.

Knows tensors and plain values; what they mean to a training is the business of `resuming`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from cem_lightning.storage.atomic import write_bytes, write_json
from cem_lightning.storage.digests import digest_file, digest_value

_PART = 2**29  # bytes of tensors that one file holds, so that the host never holds them all
_FILE = re.compile(r"\.?(step-\d{9})\..+")  # with a dot before it, one that was not finished


@dataclass(frozen=True)
class Checkpoint:
    """A state that was found whole.

    Attributes:
        step: optimizer steps done.
        rows: the curves so far, one line of JSON an optimizer step.
        values: whatever else is plain.
    """

    step: int
    rows: tuple[str, ...]
    values: Mapping[str, Any]
    files: tuple[Path, ...]

    def tensors(self, prefix: str) -> Iterator[tuple[str, Tensor]]:
        """The tensors whose names begin so, without the beginning, on the CPU."""
        for path in self.files:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - it is no mapping
                    if name.startswith(prefix):
                        yield name.removeprefix(prefix), file.get_tensor(name).clone()


class CheckpointFolder:
    """The newest state and the one before it.

    Every file is written beside its name, flushed to the disk and renamed, and the folder flushed
    too; last of all the ledger, which makes the others count and knows the digest of each.

    Args:
        path: the folder, made when the first state is written; other files in it are left alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._whole: str | None = None  # the newest state that is known to be

    def save(
        self,
        step: int,
        tensors: Iterable[tuple[str, Tensor]],
        rows: Sequence[str],
        values: Mapping[str, Any],
    ) -> None:
        """Write a state; the one before stays.

        Raises:
            OSError: if the disk refuses; the one before is still there then.
        """
        name = _name(step)
        self._forget_all_but(self._whole)
        files = {}
        for end, data in chain(
            (
                (f"{number}.safetensors", save(part))
                for number, part in enumerate(_parts(tensors), start=1)
            ),
            [("curves.jsonl", "".join(f"{row}\n" for row in rows).encode())],
        ):
            write_bytes(self.path / f"{name}.{end}", data)
            files[f"{name}.{end}"] = hashlib.sha256(data).hexdigest()
        ledger = {"step": step, "files": files, "values": dict(values)}
        write_json(self.path / f"{name}.json", {"digest": digest_value(ledger), **ledger})
        self._whole = name

    def newest(self, say: Callable[[str], None]) -> Checkpoint | None:
        """The newest state that is as it was written, if there is one.

        Args:
            say: told of every newer one that is damaged.
        """
        ledgers = sorted(self.path.glob("step-*.json"), reverse=True)
        for left, ledger in reversed([*enumerate(reversed(ledgers))]):
            try:
                found = _read(ledger)
            except (OSError, ValueError, LookupError, TypeError) as error:
                then = "the one before it is used" if left else "training starts anew"
                say(f"the checkpoint {ledger} is damaged ({error}); {then}")
                continue
            self._whole = ledger.stem
            return found
        return None

    def at(self, step: int) -> Checkpoint:
        """The state of this step, which another process has found whole."""
        return _read(self.path / f"{_name(step)}.json")

    def _forget_all_but(self, name: str | None) -> None:
        """Take away other states, and what a killed process has left of one."""
        self.path.mkdir(parents=True, exist_ok=True)
        for path in sorted(self.path.iterdir(), key=lambda each: each.suffix != ".json"):
            match = _FILE.fullmatch(path.name)
            if match and match[1] != name:
                path.unlink()


def _name(step: int) -> str:
    return f"step-{step:09}"


def _parts(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    """The tensors in groups, each small or of one tensor alone."""
    part: dict[str, Tensor] = {}
    for name, tensor in tensors:
        if part and sum(each.nbytes for each in part.values()) + tensor.nbytes > _PART:
            yield part
            part = {}
        part[name] = tensor.detach().cpu().contiguous()
    if part:
        yield part


def _read(ledger: Path) -> Checkpoint:
    """What a ledger names.

    Raises:
        OSError, ValueError, LookupError, TypeError: if any of it is not as it was written.
    """
    found = json.loads(ledger.read_text(encoding="utf-8"))
    digest = found.pop("digest") if isinstance(found, dict) else None
    if digest_value(found) != digest:
        raise ValueError("its ledger is not as it was written")
    for file, digest in found["files"].items():
        if digest_file(ledger.parent / file) != digest:
            raise ValueError(f"{file} is not as it was written")
    paths = [ledger.parent / file for file in found["files"]]
    (curves,) = (each for each in paths if each.suffix == ".jsonl")
    return Checkpoint(
        found["step"],
        tuple(curves.read_text(encoding="utf-8").splitlines()),
        found["values"],
        tuple(each for each in paths if each.suffix == ".safetensors"),
    )
