"""One file cut in two by the seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.errors import UserError
from cem_lightning.questions.config import JsonlData
from cem_lightning.questions.pools import Pools, read_pools


def rows(count: int, subject: str) -> list[dict[str, Any]]:
    return [
        {"question": f"{subject}, {n}?", "choices": ["a", "b"], "answer": 0, "subject": subject}
        for n in range(count)
    ]


def read(folder: Path, given: list[dict[str, Any]], share: float, seed: int) -> Pools:
    path = folder / "q.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in given))
    config = JsonlData(reader="jsonl", slice=1, source=path, heldout_share=share)
    return read_pools(config, seed)


def test_every_subject_gives_its_share_and_nothing_is_lost(tmp_path: Path) -> None:
    given = [row for n in range(1, 31) for row in rows(n, f"subject {n}")]
    for seed in range(5):
        pools = read(tmp_path, given, 0.3, seed)
        both = sorted((*pools.source, *pools.heldout), key=lambda each: int(each.id[7:]))
        assert [question.question for question in both] == [row["question"] for row in given]
        assert len(pools.heldout) in (139, 140)  # of 465
        held = Counter(question.kind for question in pools.heldout)
        for n in range(1, 31):
            assert abs(held[f"subject {n}"] - 0.3 * n) <= 1


def test_it_is_a_function_of_the_seed(tmp_path: Path) -> None:
    given = rows(40, "a") + rows(40, "b")
    assert read(tmp_path, given, 0.5, 1) == read(tmp_path, given, 0.5, 1)
    assert read(tmp_path, given, 0.5, 1) != read(tmp_path, given, 0.5, 2)


def test_the_same_question_in_other_clothes_stays_on_one_side(tmp_path: Path) -> None:
    given = rows(30, "a")
    for row in list(given):
        given.append(row | {"question": row["question"].upper()})  # same answer
        given.append(row | {"answer": 1, "question": row["question"] + "!"})  # same choices
    for seed in range(20):
        pools = read(tmp_path, given, 0.4, seed)
        assert len(pools.heldout) == 36
        held = {question.question.lower().rstrip("!") for question in pools.heldout}
        mined = {question.question.lower().rstrip("!") for question in pools.source}
        assert len(held) == 12
        assert not held & mined


def test_a_chain_of_twins_stays_together(tmp_path: Path) -> None:
    chain = [
        {"question": "Q?", "choices": ["a", "b"], "answer": 0},
        {"question": "Q?", "choices": ["c", "d"], "answer": 0},
        {"question": "Q?", "choices": ["c", "a"], "answer": 1},  # answer of the first
        {
            "question": "q",
            "choices": ["a", "c"],
            "answer": 1,
        },  # choices of the third, answer of the second
    ]
    for seed in range(20):
        pools = read(tmp_path, chain + rows(4, "a"), 0.5, seed)
        assert sum(not question.kind for question in pools.heldout) in (0, 4)


def test_by_default_nothing_is_held_out(tmp_path: Path) -> None:
    assert read(tmp_path, rows(3, "a"), 0, 1).heldout == ()


def test_a_heldout_file_takes_precedence(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text(json.dumps(rows(1, "other")[0]) + "\n")
    read(tmp_path, rows(10, "a"), 0, 1)
    config = JsonlData(
        reader="jsonl", slice=1, source=tmp_path / "q.jsonl", heldout=path, heldout_share=0.5
    )
    pools = read_pools(config, 1)
    assert (len(pools.source), len(pools.heldout)) == (10, 1)


@pytest.mark.parametrize(("count", "share"), [(2, 0.1), (2, 0.9)])
def test_an_empty_side_is_refused(tmp_path: Path, count: int, share: float) -> None:
    with pytest.raises(UserError, match=f"heldout_share: {share} of 2 questions leaves"):
        read(tmp_path, rows(count, "a"), share, 1)


def test_the_hash_seed_changes_nothing(tmp_path: Path) -> None:
    read(tmp_path, rows(20, "a") + rows(20, "b"), 0, 1)
    code = (
        "from cem_lightning.questions.config import JsonlData\n"
        "from cem_lightning.questions.pools import read_pools\n"
        f"config = JsonlData(reader='jsonl', slice=1, source={str(tmp_path / 'q.jsonl')!r}, "
        "heldout_share=0.4)\n"
        "print([q.id for q in read_pools(config, 3).heldout])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(printed) == 1
