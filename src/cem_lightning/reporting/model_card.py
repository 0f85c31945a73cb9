"""The card of an exported model: what was done to it, what that gave, and what to mind.

Every score comes from the run's record by the same functions as the report; nothing is computed
another way here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from cem_lightning.corpus.config import KINDS
from cem_lightning.errors import UserError
from cem_lightning.reporting import figures
from cem_lightning.reporting.arms import check_asked, check_pools
from cem_lightning.reporting.compare import INTERVALS, Comparison, compare
from cem_lightning.reporting.gains import gain_since_start, open_book
from cem_lightning.reporting.run_folder import FINISHED, RunRecord

_TEMPLATE = "model_card.md.j2"
_POOL_WORDS = {
    "heldout": "held-out (same domain, never trained on)",
    "source": "source (its mistakes were trained on)",
    "ood": "out-of-domain (never trained on)",
}
_PRIVATE = re.compile(r"contact|token$|secret|password|api_?key|credential", re.IGNORECASE)
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_WINDOWS = re.compile(r"^[A-Za-z]:[\\/]")


@dataclass(frozen=True)
class CardFacts:
    """What a card says beside the scores.

    Attributes:
        base: public name of the base model.
        base_on_hub: whether that is a hub id.
        base_licence: as the base model names it; None if it names none.
        datasets: hub ids of the question pools, if they come from there.
        hashes: what is hashed, as a reader would say it, and the hash.
        texts: (licence, origin, passages) of the texts in the training set.
        verified: one sentence on how the written weights were checked.
        total_rounds: rounds of the whole run; the exported one may be an earlier one.
    """

    base: str
    base_on_hub: bool
    base_licence: str | None
    datasets: tuple[str, ...]
    hashes: Mapping[str, str]
    texts: Sequence[tuple[str, str, int]]
    verified: str
    total_rounds: int


def until_round(record: RunRecord, round_: int) -> RunRecord:
    """The record as it would be had the run ended after `round_`, with no path of this machine."""
    return replace(
        record,
        config=public_values(record.config),
        metrics=record.metrics | {"rounds": record.rounds[: round_ + 1]},
        answers=tuple(row for row in record.answers if row.round <= round_),
    )


def control_arms(record: RunRecord, given: Sequence[Path], beside: Path) -> list[RunRecord]:
    """The finished runs that stand beside this one: those given, and those found.

    Args:
        given: run folders that the user names; each must fit.
        beside: folder in which finished runs of the same name and seed that were asked the same
            questions, in the same way, are looked for; what does not fit is passed over.

    Raises:
        UserError: if a given folder is no finished run or was asked other questions.
    """
    arms: list[RunRecord] = []

    def add(other: RunRecord) -> None:
        known = [record.config, *(each.config for each in arms)]
        if other.config not in known:
            arms.append(other)

    for folder in given:
        other = _public(RunRecord.read(folder))
        check_pools([record, other])
        add(other)
    for file in sorted(beside.glob(f"*/{FINISHED}")):
        try:
            other = _public(RunRecord.read(file.parent))
            check_pools([record, other])
            check_asked([record, other])
        except UserError:
            continue
        ours = (record.name, record.seed)
        if (other.name, other.seed) == ours and (other.arm != record.arm or not other.last_round):
            add(other)
    return arms


def model_card(record: RunRecord, arms: Sequence[RunRecord], facts: CardFacts) -> str:
    """The card as Markdown with its metadata in YAML.

    Args:
        record: of the run until the exported round.
        arms: finished runs to stand beside its gain.
    """
    from huggingface_hub import ModelCard, ModelCardData

    last = record.last_round
    pools = record.pools
    gains = {pool: gain_since_start(record, last, pool) for pool in pools}
    metadata = ModelCardData(
        base_model=facts.base if facts.base_on_hub else None,
        license=facts.base_licence or "other",
        datasets=list(facts.datasets) or None,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["cem-lightning", "continual-learning", "continual-pretraining", record.arm],
    )
    files = resources.files("cem_lightning.reporting")
    environment = Environment(
        loader=FunctionLoader(lambda name: files.joinpath(name).read_text(encoding="utf-8")),
        autoescape=False,  # Markdown; what others have written goes through `cell`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("percent_with_interval", "points", "amount")
    environment.filters |= {name: getattr(figures, name) for name in names} | {"cell": _cell}
    config = json.dumps(record.config, indent=2, ensure_ascii=False)
    text = environment.get_template(_TEMPLATE).render(
        record=record,
        facts=facts,
        last=last,
        pools=pools,
        start=record.rounds[0]["pools"],
        end=record.rounds[last]["pools"],
        gains=gains,
        fallen=[pool for pool in pools if (gain := gains[pool]) is not None and gain.mean < 0],
        ceilings={pool: ceiling for pool in pools if (ceiling := open_book(record, pool))},
        tokens={kind: sum(each["tokens"][kind] for each in record.rounds) for kind in KINDS},
        comparison=_comparison(record, arms),
        config=config.replace("```", "` ` `"),
        INTERVALS=INTERVALS,
        POOL_WORDS=_POOL_WORDS,
    )
    card = str(ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{text}"))
    return card if card.endswith("\n") else card + "\n"


def _comparison(record: RunRecord, arms: Sequence[RunRecord]) -> Comparison | None:
    return compare([record, *arms]) if arms else None


def _public(record: RunRecord) -> RunRecord:
    return until_round(record, record.last_round)


def public_values(value: Any, key: str = "") -> Any:
    """Plain values without paths of this machine, and without what is nobody's business.

    Of a path remains its last part; of e-mail addresses, tokens and passwords that they were set.
    """
    if isinstance(value, Mapping):
        return {name: public_values(each, str(name)) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [public_values(each, key) for each in value]
    if not isinstance(value, str) or not value:
        return value
    if _PRIVATE.search(key):
        return "(not shown)"
    if "://" in value:
        return _USER_IN_URL.sub("", value).partition("?")[0]
    if _WINDOWS.match(value):
        return re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    local = Path(value).expanduser()
    if local.is_absolute() or value.startswith("~") or ("/" in value and _exists(local)):
        return local.name
    return local.resolve().name if value.startswith(".") else value


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a text that no file could be called
        return False


def _cell(text: str) -> str:
    """A foreign text as one cell of a Markdown table: no markup, no line break."""
    plain = " ".join(str(text).split())
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", plain)[:200]
