"""Says in words what is wrong with what was typed, where Hydra speaks of its grammar.

Composes nothing; `cli` hands in what Hydra has raised.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cem_lightning.config import known_keys
from cem_lightning.errors import nearest

_KEY = re.compile(r"Could not (?:override|delete from config\.) '([^'\n]+)'")
_OPTION = re.compile(r"Could not find '([^'\n]+)/([^'\n/]+)'")
_SEVERAL = re.compile(r"Ambiguous value for argument '(.*)'\n")
_PRESENT = re.compile(r"An item is already at '([^'\n]+)'")


def explain(error: Exception, configs: Path) -> str:
    """One paragraph: what was typed, what is wrong with it, and how to write it.

    Args:
        configs: where the options of the groups lie.
    """
    text = str(error)
    if (typed := getattr(error, "override", None)) is not None:
        return _unreadable(str(typed))
    if found := _SEVERAL.search(text):
        key, _, value = found[1].partition("=")
        return (
            f"{found[1]}: a comma stands between several values. For one text with a comma in it "
            f"type {_quoted(key, value)}, for a list {shlex.quote(f'{key}=[{value}]')}, and -m for "
            "a sweep over the values."
        )
    if found := _OPTION.search(text):
        group, option = found.groups()
        known = re.findall(r"^\t(?!provider=)(\S+)$", text, re.MULTILINE)
        listed = f" There are {', '.join(known)}." if known else ""
        return f"{group}={option}: there is no such option{nearest(option, known) or '.'}{listed}"
    if found := _KEY.search(text):
        return f"{found[1]}: {_unknown(found[1], configs)}"
    if found := _PRESENT.search(text):
        return f"+{found[1]}: the key is there already; leave out the plus sign"
    return " ".join(f"{text} {error.__cause__ or ''}".split())


def _unknown(key: str, configs: Path) -> str:
    known = known_keys()
    if key not in known:
        return f"there is no such key{nearest(key, known)}"
    group, *parts = key.split(".")
    files = sorted((configs / group).glob("*.yaml"))
    having = [f"{group}={each.stem}" for each in files if _has(OmegaConf.load(each), parts)]
    others = f"add {' or '.join(having)}" if having else f"another option of {group} has"
    return f"the chosen {group} has no such key; {others}"


def _has(values: Any, parts: Sequence[str]) -> bool:
    """Whether there is such a key, whatever it is set to."""
    for part in parts:
        if not isinstance(values, DictConfig) or part not in [*values]:
            return False
        values = values._get_node(part)
    return True


def _unreadable(typed: str) -> str:
    key, sign, value = typed.partition("=")
    if not sign:
        return f"{typed}: is neither KEY=VALUE nor GROUP=OPTION; --help shows how to type a command"
    plain = unicodedata.normalize("NFKC", value)
    if plain != value and plain.isascii():
        return f"{typed}: {value} is not written in plain characters; type {key}={plain}"
    return (
        f"{typed}: this value has characters with a meaning of their own (such as , ' [ ] = ~). "
        f"Put it in quotes, and those in quotes for the shell: {_quoted(key, value)}"
    )


def _quoted(key: str, value: str) -> str:
    """As it is to be typed into a shell."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return shlex.quote(f'{key}="{escaped}"')
