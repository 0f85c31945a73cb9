from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.errors import UserError
from cem_lightning.questions.config import JsonlData
from cem_lightning.questions.pools import Pools, read_pools
from cem_lightning.questions.records import Question


def data(folder: Path, **pools: list[dict[str, Any]]) -> JsonlData:
    paths = {}
    for name, rows in pools.items():
        paths[name] = folder / f"{name}.jsonl"
        paths[name].write_text("".join(json.dumps(each) + "\n" for each in rows))
    return JsonlData(reader="jsonl", slice=3, **paths)  # type: ignore[arg-type]


def row(question: str, *choices: str, answer: int = 0, **more: str) -> dict[str, Any]:
    return {"question": question, "choices": choices or ("yes", "no"), "answer": answer} | more


def test_pools_are_read_by_name_and_may_be_left_out(tmp_path: Path) -> None:
    pools = read_pools(data(tmp_path, source=[row("A?")], ood=[row("B?"), row("C?")]), seed=1)
    assert [(name, len(pool)) for name, pool in pools.items()] == [
        ("source", 1),
        ("heldout", 0),
        ("ood", 2),
    ]


@pytest.mark.parametrize(
    "twin",
    [
        row("who   discovered HELIUM", "Lockyer", "Janssen", answer=1),
        row("Who discovered helium?", "Janssen", "Ramsay"),
        row("Who discovered helium?", "Janssen", "Lockyer", answer=1),
        row("Who discovered ｈelium？", "janssen", "Curie"),
    ],
    ids=["order and case", "other distractor", "other answer", "full width"],
)
@pytest.mark.parametrize("pool", ["heldout", "ood"])
def test_a_source_question_elsewhere_is_refused(
    tmp_path: Path, twin: dict[str, Any], pool: str
) -> None:
    source = [row("Another?"), row("Who discovered helium?", "Janssen", "Lockyer")]
    with pytest.raises(UserError) as error:
        read_pools(data(tmp_path, source=source, **{pool: [twin]}), seed=1)
    assert f"{pool}.jsonl, line 1: the same question stands in the source pool" in str(error.value)
    assert "source.jsonl, line 2" in str(error.value)


def test_a_common_stem_with_other_answers_is_another_question(tmp_path: Path) -> None:
    source = [row("Which is true?", "Ice floats.", "Ice sinks.")]
    heldout = [row("Which is true?", "Iron rusts.", "Iron burns.")]
    assert len(read_pools(data(tmp_path, source=source, heldout=heldout), seed=1).heldout) == 1


def test_a_short_answer_question_is_the_same_with_another_answer(tmp_path: Path) -> None:
    source = [{"question": "Who found helium?", "answer": "Janssen"}]
    heldout = [{"question": "who found Helium", "answer": "Pierre Janssen"}]
    with pytest.raises(UserError, match="the same question stands in the source pool"):
        read_pools(data(tmp_path, source=source, heldout=heldout), seed=1)


def test_a_held_out_question_in_another_domain_is_refused(tmp_path: Path) -> None:
    pools = {"source": [row("S?")], "heldout": [row("H?")], "ood": [row("O?"), row("h ?")]}
    with pytest.raises(UserError, match=r"ood\.jsonl, line 2: .* in the heldout pool, .*line 1"):
        read_pools(data(tmp_path, **pools), seed=1)


@pytest.mark.parametrize("pool", ["source", "heldout", "ood"])
def test_two_answers_to_the_same_question_are_refused(tmp_path: Path, pool: str) -> None:
    asked = [row("A?", "x", "y"), row("A?", "y", "x"), row("a?", "x", "y", answer=1)]
    pools = {"source": [row("S?")]} | {pool: asked}
    with pytest.raises(UserError, match=r"line 2: .* has another answer in .*line 1; remove the w"):
        read_pools(data(tmp_path, **pools), seed=1)
    pools[pool][1] = row("A?", "y", "x", answer=1)
    read = read_pools(data(tmp_path, **pools), seed=1)
    assert len(dict[str, tuple[Question, ...]](read.items())[pool]) == 3


def test_columns_that_are_not_read_are_known_by_pool(tmp_path: Path) -> None:
    pools = {"source": [row("S?", topic="t"), row("T?", level="1")], "ood": [row("O?", id="x")]}
    assert read_pools(data(tmp_path, **pools), seed=1).unread == {"source": ("topic", "level")}


def test_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    config = data(
        tmp_path,
        source=[row("A?", id="x"), row("B?", answer=5)],
        heldout=[row("C?", id="x"), row("a ?")],
    )
    config = config.model_copy(update={"ood": tmp_path / "missing.jsonl"})
    with pytest.raises(UserError) as error:
        read_pools(config, seed=1)
    message = str(error.value)
    assert "4 problems" in message
    assert "source.jsonl, line 2: 'answer' 5" in message
    assert "heldout.jsonl, line 1: the id 'x' is already that of" in message
    assert "heldout.jsonl, line 2: the same question" in message
    assert "missing.jsonl does not exist" in message


def many(clusters: int, each: int) -> tuple[Question, ...]:
    return tuple(
        Question(f"{at}/{turn}", f"{at}, {turn}?", ("a", "b"), 0, cluster=str(at))
        for at in range(clusters)
        for turn in range(each)
    )


def test_fresh_rounds_share_nothing_cover_all_and_then_end() -> None:
    pools = Pools(many(5, 4))
    config = JsonlData(reader="jsonl", source=Path("-"), slice=6)
    rounds = [pools.slice_for_round(number, config, seed=1) for number in range(1, 6)]
    assert [len(each) for each in rounds] == [6, 6, 6, 2, 0]
    assert sorted(q.id for each in rounds for q in each) == sorted(q.id for q in pools.source)


def test_every_slice_covers_the_clusters_evenly() -> None:
    pools = Pools(
        many(10, 8) + tuple(replace(q, id=f"big{q.id}", cluster="big") for q in many(1, 40))
    )
    config = JsonlData(reader="jsonl", source=Path("-"), slice=30)
    for seed in range(1, 6):
        for number in (1, 2, 3, 4):
            counts = Counter(q.cluster for q in pools.slice_for_round(number, config, seed))
            assert counts.pop("big") in (9, 10, 11)
            assert len(counts) == 10
            assert set(counts.values()) <= {1, 2, 3}


def test_the_same_pool_is_mined_every_round_if_asked() -> None:
    pools = Pools(many(3, 2))
    config = JsonlData(reader="jsonl", source=Path("-"), slice=2, mine="same")
    assert pools.slice_for_round(9, config, seed=1) == pools.source


def test_slices_change_with_the_seed_and_round_zero_is_a_bug() -> None:
    pools = Pools(many(20, 2))
    config = JsonlData(reader="jsonl", source=Path("-"), slice=10)
    assert pools.slice_for_round(1, config, 1) != pools.slice_for_round(1, config, 2)
    with pytest.raises(ValueError, match="count from 1"):
        pools.slice_for_round(0, config, 1)


def test_the_digest_tells_any_difference() -> None:
    pools = Pools(many(3, 2))
    assert pools.digest == Pools(many(3, 2)).digest
    assert pools.digest != Pools((), pools.source).digest
    assert pools.digest != Pools(pools.source[::-1]).digest
    assert pools.digest != Pools((replace(pools.source[0], answer=1), *pools.source[1:])).digest


def test_what_was_left_out_changes_no_digest() -> None:
    pools = Pools(many(3, 2))
    noted = replace(pools, left_out=("x.csv, line 1: a", "x.csv, line 2: b", "y.csv, line 1: b"))
    assert noted.digest == pools.digest
    assert noted.reasons == {"b": 2, "a": 1}


def test_slices_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "from pathlib import Path\n"
        "from cem_lightning.questions.config import JsonlData\n"
        "from cem_lightning.questions.pools import Pools\n"
        "from cem_lightning.questions.records import Question\n"
        "pools = Pools(tuple(Question(str(n), f'{n}?', ('a', 'b'), 0, str(n % 5)) "
        "for n in range(20)))\n"
        "config = JsonlData(reader='jsonl', source=Path('-'), slice=7)\n"
        "print([q.id for q in pools.slice_for_round(2, config, 3)], pools.digest)"
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


def test_shots_are_taken_out_of_the_source_pool_from_different_clusters(tmp_path: Path) -> None:
    source = [row(f"Q{at}?", cluster=f"c{at % 4}") for at in range(20)]
    pools = read_pools(data(tmp_path, source=source, heldout=[row("H?")]), seed=1)
    shown = pools.with_shots(4, seed=1)
    assert len({each.cluster for each in shown.shots}) == 4
    assert {*shown.source, *shown.shots} == {*pools.source}
    assert len(shown.source) == 16
    assert shown.heldout == pools.heldout
    assert shown.digest != replace(shown, shots=()).digest
    assert shown.shots == pools.with_shots(4, seed=1).shots != pools.with_shots(4, seed=2).shots
    assert len(pools.with_shots(19, seed=1).shots) == 19
    with pytest.raises(UserError, match=r"answering\.shots=20 .* has 20 questions"):
        pools.with_shots(20, seed=1)
