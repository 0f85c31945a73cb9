"""A small hand-written set of general instructions, which guards general ability.

About no domain that a pool asks about: everyday sense, arithmetic, manners and format.
"""

from __future__ import annotations

import json
from importlib.resources import files


def general_instructions() -> tuple[tuple[str, str], ...]:
    """Pairs of instruction and response."""
    text = files("cem_lightning.corpus").joinpath("general.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return tuple((row["instruction"], row["response"]) for row in rows)
