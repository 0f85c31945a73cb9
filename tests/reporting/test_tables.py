"""The terminal shows every figure with its n and interval, within its width, as plain text."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from cem_lightning.reporting.figures import (
    detectable,
    duration,
    memory,
    percent_with_interval,
    points,
    signed,
)
from cem_lightning.reporting.gains import (
    flow,
    gain_per_million_tokens,
    gain_since_start,
    ledger_counts,
    slices,
    steps,
)
from cem_lightning.reporting.run_folder import RunRecord
from cem_lightning.reporting.tables import print_run
from tests.reporting.records import (
    from_rights,
    make_record,
    with_short_answers,
    with_verdicts,
)


def printed(record: RunRecord, width: int = 100) -> str:
    file = io.StringIO()
    print_run(record, Console(file=file, width=width))
    return file.getvalue()


def test_every_score_stands_there_with_interval_and_number() -> None:
    record = make_record()
    text = printed(record)
    for current in record.rounds:
        for pool, scores in current["pools"].items():
            line = next(
                each
                for each in text.splitlines()
                if f" {pool} " in each
                and percent_with_interval(scores["accuracy"], scores["ci95"]) in each
            )
            assert f" {scores['n']} " in line
            if scores["blind_accuracy"] is not None:
                assert percent_with_interval(scores["blind_accuracy"], scores["blind_ci95"]) in line
            if current["round"]:
                gain = gain_since_start(record, current["round"], pool)
                assert f"{points(gain)}  {detectable(gain)}".split() == line.split()[-6:-2]
                step = f"{current['round'] - 1} → {current['round']} · {pool}"
                changed = next(each for each in text.splitlines() if each.startswith(step))
                shown = [str(scores[key]) for key in ("n", "mended", "lost")]
                assert changed.split()[5:8] == shown
    assert "82.0% [71, 90]" in text, "the open-book ceiling has its interval"
    assert "22,000" in text and "11,000" in text and "31.4 s*" in text and "3 min 28 s" in text


def test_tables_fit_and_hold_no_control_characters() -> None:
    text = printed(make_record())
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text, "something is cut off"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


def test_verdicts_noise_and_transfer_stand_there_with_their_reasons() -> None:
    text = printed(with_verdicts(make_record()))
    assert max(map(len, text.splitlines())) <= 100
    plain = " ".join(text.split())
    assert "Round 1 against round 0: ACCEPT. heldout +19.7 points is a gain." in plain
    assert "Round 2 against round 1: REJECT. ood has lost. Its model was not carried on." in plain
    assert (
        "Noise floor 1.6 points: without training the prediction moved for 3.3% of 61 in other "
        "batches, 8.2% of 61 with the choices reversed." in plain
    )
    assert "Backward transfer −10.0 points (n = 30, 1 slice)" in text
    assert "Forward transfer 0.0 points (n = 30, 1 slice)" in text
    one_round = make_record(rounds=1)
    reason = {"value": None, "n": 0, "slices": 0, "reason": "fewer than two rounds were trained"}
    metrics = one_round.metrics | {"transfer": dict.fromkeys(("backward_transfer",), reason)}
    text = printed(replace(one_round, metrics=metrics))
    assert "Transfer and forgetting are not defined: fewer than two rounds were trained." in text


def test_the_ledger_follows_every_question() -> None:
    rounds = [
        [True, True, False, False, True],
        [True, False, True, False, False],
        [True, False, True, False, True],
    ]
    record = from_rights("cem", 1, rounds, "abcde")
    assert ledger_counts(record, 2, "heldout") == {
        "known": 1, "learned": 1, "forgotten": 1, "relearned": 1, "never_learned": 1
    }  # fmt: skip
    assert ledger_counts(record, 1, "heldout")["forgotten"] == 2
    text = printed(record)
    table = text[text.index("What became of the questions by round 2") :].splitlines()
    assert table[2].split() == [
        "pool",
        "known",
        "learned",
        "forgotten",
        "relearned",
        "never",
        "learned",
    ]
    assert table[4].split() == ["heldout", "1", "1", "1", "1", "1"]


def test_steps_are_every_round_and_the_whole() -> None:
    rounds = [[False] * 6, [True] * 6, [True, True, False, False, False, False]]
    found = steps(from_rights("cem", 1, rounds, "abcdef"))
    assert [(each.before, each.now, each.mended, each.lost) for each in found] == [
        (0, 1, 6, 0),
        (1, 2, 0, 4),
        (0, 2, 2, 0),
    ]
    assert [each.mcnemar_p for each in found] == pytest.approx([2 / 64, 2 / 16, 0.5])


def test_f1_stands_there_only_for_pools_with_short_answers() -> None:
    assert "Short answers" not in printed(make_record())
    text = printed(with_short_answers(make_record()))
    assert max(map(len, text.splitlines())) <= 100
    table = text[text.index("Short answers: F1") :].splitlines()[2:]
    assert table[0].split() == ["heldout"]
    assert table[1].split(maxsplit=1) == ["round", "(n = 20)"]
    assert [line.split(maxsplit=1) for line in table[3:6]] == [
        ["0", "25.0% / 60.0%"],
        ["1", "37.5% / 60.0%"],
        ["2", "50.0% / 60.0%"],
    ]


def test_a_run_that_stopped_says_so() -> None:
    record = make_record(rounds=0)
    record = replace(record, metrics=record.metrics | {"stopped": "no mistakes found"})
    assert "Stopped early: no mistakes found." in printed(record)
    assert "Stopped" not in printed(make_record(rounds=0))


def test_gain_per_million_tokens_counts_all_rounds() -> None:
    record = from_rights(
        "cem", 1, [[False] * 4, [True, *[False] * 3], [True] * 3 + [False]], "abcd"
    )
    assert gain_per_million_tokens(record, 0, "heldout") is None
    assert gain_per_million_tokens(record, 1, "heldout") == pytest.approx(25 / 0.022)
    assert gain_per_million_tokens(record, 2, "heldout") == pytest.approx(75 / 0.044)


def test_flows_add_up_and_are_against_the_round_before() -> None:
    record = from_rights(
        "cem", 1, [[True, False, True, False], [True, True, False, False], [False] * 4], "abcd"
    )
    first, second = flow(record, 1, "heldout"), flow(record, 2, "heldout")
    assert (first.kept, first.mended, first.lost, first.missing) == (1, 1, 1, 1)
    assert (second.kept, second.mended, second.lost, second.missing) == (0, 0, 2, 2)
    assert first.n == second.n == 4


def test_slices_partition_the_source_pool() -> None:
    record = make_record()
    for number in range(3):
        groups = slices(record, number)
        assert [(group.name, group.n) for group in groups] == [("1", 30), ("2", 30)]
        right = sum(group.n * group.accuracy for group in groups)
        assert right / 60 == pytest.approx(record.rounds[number]["pools"]["source"]["accuracy"])


def test_figures_are_written_for_readers() -> None:
    assert [signed(each) for each in (3.04, -3.04, 0.04, -0.04)] == ["+3.0", "−3.0", "0.0", "0.0"]
    assert [duration(each) for each in (3.21, 59.96, 125, 3599.7, 3840)] == [
        "3.2 s", "1 min 00 s", "2 min 05 s", "1 h 00 min", "1 h 04 min",
    ]  # fmt: skip
    assert [memory(each) for each in (512, 2048, 3.4 * 2**30)] == [
        "512 bytes",
        "2.0 KiB",
        "3.4 GiB",
    ]
