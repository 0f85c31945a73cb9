"""Records of runs that never were: scores drawn with a fixed seed, texts that try to break out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cem_lightning.answering.statistics import transitions, wilson_interval
from cem_lightning.reporting.run_folder import AnswerRow, MistakeStory, RunRecord, StoryPassage

SIZES = {"source": 60, "heldout": 61, "ood": 150}
SHARES = {"source": (0.3, 0.75, 0.95), "heldout": (0.28, 0.55, 0.7), "ood": (0.6, 0.58, 0.59)}
HOSTILE = "</script><script>alert('x')</script> \"onload=\"f() {{ 7*7 }} \u202e <img src=//evil>"
TOKENS = {
    "passage": 11_000,
    "normative": 4_000,
    "extractive": 4_000,
    "review": 2_000,
    "general": 1_000,
}


def make_record(
    arm: str = "cem",
    seed: int = 1,
    *,
    rounds: int = 2,
    lift: float = 0.0,
    tokens: float = 1.0,
    config: dict[str, Any] | None = None,
    sizes: dict[str, int] | None = None,
) -> RunRecord:
    """A plausible record; `lift` shifts what is right after training, `tokens` scales them."""
    answers: list[AnswerRow] = []
    shown = []
    for number in range(rounds + 1):
        pools = {}
        for pool, size in (sizes or SIZES).items():
            rows = [_row(arm, seed, number, pool, each, lift) for each in range(size)]
            before = [row for row in answers if row.round == number - 1 and row.pool == pool]
            pools[pool] = _scores(before or rows, rows)
            answers += rows
        if number == 0:
            pools["heldout"]["open_book_accuracy"] = 0.82
        shown.append(_round(number, pools, tokens))
    return RunRecord(
        name="quickstart",
        arm=arm,
        seed=seed,
        config={
            "name": "quickstart",
            "seed": seed,
            "rounds": rounds,
            "recipe": {"name": arm, "shares": {"passage": 0.5}},
            "trainer": {"learning_rate": 2e-4, "lora": None},
        }
        | (config or {}),
        metrics={
            "name": "quickstart",
            "arm": arm,
            "seed": seed,
            "rounds": shown,
            "peak_memory_bytes": 3_400_000_000,
        },
        answers=tuple(answers),
        stories=tuple(_story(each) for each in range(33)) if rounds else (),
        curves=[
            {
                "round": number,
                "step": step,
                "loss": round(3.2 / (1 + step / 9) + 0.4 / number, 4),
                "learning_rate": 2e-4,
                "loss/passage": round(3.4 / (1 + step / 12), 4),
                "tokens": step * 600,
            }
            for number in range(1, rounds + 1)
            for step in range(1, 37)
        ],
    )


def with_verdicts(record: RunRecord) -> RunRecord:
    """The same run of two rounds with verdicts, a noise floor, the matrix and its measures."""
    said = [
        {"decision": "ACCEPT", "reason": "heldout +19.7 points is a gain.", "kept": True},
        {"decision": "REJECT", "reason": "ood has lost.", "kept": False},
    ]
    rounds = [record.rounds[0]] + [
        each | {"verdict": verdict | {"against": each["round"] - 1}}
        for each, verdict in zip(record.rounds[1:], said, strict=True)
    ]
    moved = {"n": 61, "flips": 2 / 61, "accuracy": 0.3, "accuracy_before": 0.28}
    metrics = {
        "rounds": rounds,
        "noise": {"batching": moved, "order": moved | {"flips": 5 / 61}, "floor": 1 / 61},
        "matrix": {
            "columns": ["mined in 1", "mined in 2"],
            "n": [30, 30],
            "accuracy": [[0.2, 0.3], [0.9, 0.3], [0.8, 0.7]],
        },
        "transfer": {
            "backward_transfer": {"value": -0.1, "n": 30, "slices": 1, "reason": ""},
            "forward_transfer": {"value": 0.0, "n": 30, "slices": 1, "reason": ""},
        },
        "last_model": 1,
    }
    return replace(record, metrics=record.metrics | metrics)


def with_short_answers(record: RunRecord) -> RunRecord:
    """The same run, but that 20 of its held-out questions ask for a short answer."""
    rounds = []
    for current in record.rounds:
        scores = {"short": 20, "f1": 0.25 + current["round"] / 8, "held": 0.6}
        heldout = current["pools"]["heldout"] | scores
        rounds.append(current | {"pools": current["pools"] | {"heldout": heldout}})
    stories = (
        replace(
            record.stories[0],
            choices=("Paul-Émile",),
            answer_before=None,
            answer_after=0,
            said_before=HOSTILE,
            said_after="paul-émile.",
        ),
        replace(
            record.stories[1],
            choices=("Winkler",),
            answer_before=None,
            answer_after=None,
            said_before="Scheele",
            said_after="",
        ),
    )
    return replace(record, metrics=record.metrics | {"rounds": rounds}, stories=stories)


def from_rights(
    arm: str,
    seed: int,
    rounds: Sequence[Sequence[bool]],
    clusters: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    tokens: float = 1.0,
) -> RunRecord:
    """A record whose held-out answers are exactly these, for hand computations."""
    names = names or [f"{seed}-q{each}" for each in range(len(clusters))]
    answers, shown = [], []
    for number, rights in enumerate(rounds):
        rows = [
            AnswerRow(
                number,
                "heldout",
                name,
                cluster,
                "use",
                0 if right else 1,
                "right" if right else "wrong",
                right,
                None,
                0.5,
            )
            for name, cluster, right in zip(names, clusters, rights, strict=True)
        ]
        before = [row for row in answers if row.round == number - 1]
        shown.append(_round(number, {"heldout": _scores(before or rows, rows)}, tokens))
        answers += rows
    metrics = {
        "name": "hand",
        "arm": arm,
        "seed": seed,
        "rounds": shown,
        "peak_memory_bytes": 1,
    }
    config = {"name": "hand", "seed": seed, "recipe": {"name": arm}}
    return RunRecord("hand", arm, seed, config, metrics, tuple(answers), (), [])


def _row(arm: str, seed: int, number: int, pool: str, each: int, lift: float) -> AnswerRow:
    start = random.Random(f"{seed}:{pool}:{each}:start").random()
    later = random.Random(f"{arm}:{seed}:{pool}:{each}:{number}").random()
    share = SHARES[pool][min(number, 2)] + (lift if number and pool != "ood" else 0.0)
    right = start < share if number == 0 else 0.6 * start + 0.4 * later < share
    blind = random.Random(f"{seed}:{pool}:{each}:{number}:blind").random() < 0.24
    # three questions a cluster, other elements under every seed; ood is the same for all
    owner = f"element-{seed}-{each // 3}" if pool != "ood" else f"country-{each}"
    return AnswerRow(
        round=number,
        pool=pool,
        question=f"{owner}-{each}",
        cluster=owner,
        kind=("discoverer", "country", "use")[each % 3] if pool != "ood" else "capital",
        prediction=each % 4,
        outcome="right" if right else ("unparsable" if each % 50 == 49 else "wrong"),
        right=right,
        blind_right=blind if pool != "ood" else None,
        confidence=0.25 + 0.5 * later,
        slice=1 + (each >= 30) if pool == "source" else 0,
    )


def _scores(before: Sequence[AnswerRow], rows: Sequence[AnswerRow]) -> dict[str, Any]:
    right = sum(row.right for row in rows)
    mended, lost = transitions([row.right for row in before], [row.right for row in rows])
    blind = [row.blind_right for row in rows if row.blind_right is not None]
    scores = {
        "n": len(rows),
        "accuracy": right / len(rows),
        "ci95": list(wilson_interval(right, len(rows))),
        "blind_accuracy": None,
        "mended": mended,
        "lost": lost,
        "unparsable": sum(row.outcome == "unparsable" for row in rows),
        "too_long": sum(row.outcome == "too_long" for row in rows),
        "digest": f"{right:064x}",
    }
    if blind:
        scores["blind_accuracy"] = sum(blind) / len(blind)
        scores["blind_ci95"] = list(wilson_interval(sum(blind), len(blind)))
    return scores


def _round(number: int, pools: dict[str, Any], tokens: float) -> dict[str, Any]:
    values: dict[str, Any] = {
        "round": number,
        "pools": pools,
        "tokens": {kind: round(n * tokens) if number else 0 for kind, n in TOKENS.items()},
        "seconds": {"answer": 31.4} | ({"train": 176.2, "acquire": 0.8} if number else {}),
        "reused": ["answer"] if number == 0 else [],
    }
    if number:
        values |= {
            "mistakes": {"wrong": 21, "ambiguous": 4},
            "passages": 96,
            "dropped": {"near_duplicate": 12, "irrelevant": 40},
            "model": f"{number:064d}",
        }
    return values


def _story(each: int) -> MistakeStory:
    texts = (
        "Gallium melts at 29.76 °C, so that a piece of it melts in the hand. It was found in 1875 "
        "by Paul-Émile Lecoq de Boisbaudran in zinc blende from the Pyrenees.",
        "Most gallium goes into semiconductors: gallium arsenide in high-frequency circuits and "
        "gallium nitride in light-emitting diodes.",
    )
    hostile = HOSTILE if each == 3 else ""
    before = 0 if each % 5 == 4 else (1, 2, 3, None)[each % 4]
    choices = (
        "Paul-Émile Lecoq de Boisbaudran",
        "Clemens Winkler",
        f"Carl Scheele{hostile}",
        "门捷列夫",
    )
    after = 0 if each % 4 else 2
    return MistakeStory(
        id=f"discoverer-{each}",
        round=1 + each // 17,
        question=f"Who discovered gallium ({each})?{hostile}",
        choices=choices,
        gold=0,
        label="ambiguous" if each % 5 == 4 else "wrong",
        passages=tuple(
            StoryPassage(f"p{at}", f"Gallium{hostile}", text + hostile, "elements/31", "CC BY 4.0")
            for at, text in enumerate(texts)
        ),
        answer_before=before,
        answer_after=after,
        said_before="" if before is None else choices[before],
        said_after=choices[after],
    )
