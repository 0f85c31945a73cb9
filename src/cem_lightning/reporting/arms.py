"""Sorts finished runs into arms and seeds, and tells which of their answers belong together.

Compares nothing yet; that is the business of `compare`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cem_lightning.errors import UserError
from cem_lightning.reporting.run_folder import POOLS, AnswerRow, RunRecord

UNTRAINED = "untrained"
_ORDER = ("cem", "cpt_only", "cit_only", "sequential", "random_passages")  # as tables show them
_SAME_BY = {
    "wording": "with the same `answering`",
    "tokenizer": "of the same `model`",
    "shots": "with the same `answering.shots`",
    "scorer": "of the same version of cem_lightning: give the older run's command again",
}
Arm = Mapping[int, RunRecord]  # the records of one arm by seed


def label_arms(runs: Sequence[RunRecord]) -> dict[str, dict[int, RunRecord]]:
    """The runs by arm and seed; runs of one arm that differ otherwise become arms of their own.

    Raises:
        UserError: the same run twice.
    """
    groups: dict[str, list[RunRecord]] = {}
    for run in sorted(runs, key=lambda run: (_place(run.arm), run.arm, run.seed)):
        groups.setdefault(run.arm if run.last_round else UNTRAINED, []).append(run)
    labelled: dict[str, dict[int, RunRecord]] = {}
    for arm, records in groups.items():
        flat = [_flatten(each.config) for each in records]
        keys = _differing_keys(records, flat)
        for record, values in zip(records, flat, strict=True):
            differing = ", ".join(f"{key}={values.get(key)}" for key in keys)
            label = f"{arm} ({differing})" if differing else arm
            if record.seed in labelled.setdefault(label, {}):
                raise UserError(
                    f"runs: arm {label!r} with seed {record.seed} is given twice (run "
                    f"{record.name!r}); name each run once."
                )
            labelled[label][record.seed] = record
    return labelled


def _place(arm: str) -> int:
    return _ORDER.index(arm) if arm in _ORDER else len(_ORDER)


def _differing_keys(records: Sequence[RunRecord], flat: Sequence[Mapping[str, str]]) -> list[str]:
    """Keys in which runs of the same seed differ."""
    first: dict[int, Mapping[str, str]] = {}
    keys = set()
    for record, values in zip(records, flat, strict=True):
        other = first.setdefault(record.seed, values)
        keys |= {key for key in {*other, *values} if other.get(key) != values.get(key)}
    return sorted(keys - {"name"})


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = str(value)
    return flat


def check_pools(runs: Sequence[RunRecord]) -> list[str]:
    """The names of the pools, of which all runs of a seed must have been asked the same questions.

    Raises:
        UserError: they were asked different ones.
    """
    first: dict[int, RunRecord] = {}
    for run in runs:
        other = first.setdefault(run.seed, run)
        for pool in dict.fromkeys([*other.pools, *run.pools]):
            theirs, ours = (sorted(each.answered(0, pool)) for each in (other, run))
            if theirs != ours:
                differing = sorted({*theirs} ^ {*ours})
                raise UserError(
                    f"runs: with seed {run.seed}, {other.name!r} ({other.arm}) and {run.name!r} "
                    f"({run.arm}) were asked different {pool} questions ({len(theirs)} and "
                    f"{len(ours)}; for instance {differing[0]!r} in one only), so they cannot be "
                    "compared. Compare runs with the same `data`."
                )
    present = dict.fromkeys(pool for run in runs for pool in run.pools)
    return [pool for pool in POOLS if pool in present] + [p for p in present if p not in POOLS]


def check_asked(runs: Sequence[RunRecord]) -> None:
    """All runs must have been asked in the same wording, with the same tokenizer and scorer.

    Records of before these were kept pass.

    Raises:
        UserError: they were not.
    """
    first: dict[str, tuple[RunRecord, Any]] = {}
    for run in runs:
        for current in run.rounds:
            for key, value in current.get("asked", {}).items():
                other, theirs = first.setdefault(key, (run, value))
                if theirs != value:
                    raise UserError(
                        f"runs: the {key} of {other.name!r} ({other.arm}, seed {other.seed}) is "
                        f"{theirs!r} and that of {run.name!r} ({run.arm}, seed {run.seed}) "
                        f"{value!r}, so their scores measure different things. Compare runs "
                        f"{_SAME_BY[key]}."
                    )


class Clusters:
    """Names clusters across seeds.

    A cluster that holds the same questions under several seeds is one cluster, since its answers
    are not independent; other clusters are told apart by their seed.
    """

    def __init__(self, runs: Sequence[RunRecord]) -> None:
        members: dict[tuple[str, str], dict[int, list[str]]] = {}
        for seed, run in {run.seed: run for run in runs}.items():
            for pool in run.pools:
                for row in run.answered(0, pool).values():
                    seeds = members.setdefault((pool, row.cluster), {})
                    seeds.setdefault(seed, []).append(row.question)
        self._shared = {
            key: all(sorted(each) == sorted(next(iter(seeds.values()))) for each in seeds.values())
            for key, seeds in members.items()
        }

    def name(self, seed: int, row: AnswerRow) -> str:
        """The name of the cluster of an answer given under this seed."""
        shared = self._shared[row.pool, row.cluster]
        return row.cluster if shared else f"{seed}\0{row.cluster}"
