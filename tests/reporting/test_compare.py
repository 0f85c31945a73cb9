"""Comparison of arms: pairing, intervals, what is refused and what is pointed out."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from cem_lightning.errors import UserError
from cem_lightning.reporting.compare import (
    as_json,
    compare,
    print_comparison,
    write_comparison,
)
from cem_lightning.reporting.run_folder import RunRecord
from cem_lightning.reporting.tables import print_run
from tests.reporting.records import HOSTILE, from_rights, make_record

CLUSTERS = ["a", "a", "b", "b", "c", "c"]
NONE_RIGHT = [False] * 6
CEM = [True, True, True, True, False, False]
CPT = [True, False, False, False, False, True]


def test_a_difference_is_paired_by_seed_and_question() -> None:
    runs = [
        from_rights("cem", 1, [NONE_RIGHT, CEM], CLUSTERS),
        from_rights("cpt_only", 1, [NONE_RIGHT, CPT], CLUSTERS),
    ]
    comparison = compare(runs)
    (contrast,) = comparison.contrasts
    assert (contrast.arm, contrast.other, contrast.best_single) == ("cem", "cpt_only", True)
    # by cluster: a +1, b +2, c -1; resampled whole, the mean of three draws over six questions
    assert contrast.difference.mean == pytest.approx(2 / 6)
    assert contrast.difference.low == pytest.approx(-3 / 6)
    assert contrast.difference.high == pytest.approx(6 / 6)
    assert (contrast.difference.n, contrast.difference.clusters) == (6, 3)


def test_seeds_are_pooled_and_shown_one_by_one() -> None:
    runs = [
        from_rights("cem", seed, [NONE_RIGHT, rights], [f"{seed}{each}" for each in CLUSTERS])
        for seed, rights in ((1, CEM), (2, CPT))
    ]
    row = next(each for each in compare(runs).rows if each.round == 1)
    assert (row.n, row.accuracy) == (12, pytest.approx(0.5))
    assert row.by_seed == {1: (pytest.approx(4 / 6), 6), 2: (pytest.approx(2 / 6), 6)}
    assert row.gain is not None and row.gain.clusters == 6


def test_the_best_single_arm_is_marked() -> None:
    runs = [
        from_rights(arm, 1, [NONE_RIGHT, rights], CLUSTERS)
        for arm, rights in (("cem", CEM), ("cpt_only", CPT), ("cit_only", NONE_RIGHT))
    ]
    marked = {each.other: each.best_single for each in compare(runs).contrasts}
    assert marked == {"cpt_only": True, "cit_only": False}


def test_p_values_stand_beside_a_difference_adjusted_for_the_arms() -> None:
    names = [f"q{each:02}" for each in range(20)]
    runs = [
        from_rights(arm, 1, [[False] * 20, [True] * right + [False] * (20 - right)], names)
        for arm, right in (("cem", 16), ("cpt_only", 6), ("cit_only", 9), ("sequential", 16))
    ]
    found = {each.other: each for each in compare(runs).contrasts}
    assert (found["cpt_only"].mended, found["cpt_only"].lost) == (10, 0)
    # ten, seven and no discordant pairs, all on one side: 2 / 2^10, 2 / 2^7 and nothing
    assert found["cpt_only"].mcnemar_p == pytest.approx(2 / 1024)
    assert found["cit_only"].mcnemar_p == pytest.approx(2 / 128)
    assert found["sequential"].mcnemar_p == 1.0
    # smallest times three, the next times two, the last as it is
    assert found["cpt_only"].holm_p == pytest.approx(6 / 1024)
    assert found["cit_only"].holm_p == pytest.approx(4 / 128)
    assert found["sequential"].holm_p == 1.0
    shown = text_of(print_comparison, compare(runs))
    line = next(each for each in shown.splitlines() if each.startswith("cem − cpt_only"))
    assert line.split()[-2:] == ["0.002", "0.006"]
    # ten of twenty questions gained: sqrt(1/4 / 20) standard errors, times 2.8016
    assert "+31.3" in line
    values = as_json(compare(runs))
    assert values["contrasts"][0]["difference"]["could_have_shown"] == pytest.approx(
        0.3132, abs=1e-4
    )


def test_other_questions_are_refused() -> None:
    runs = [
        from_rights("cem", 1, [CEM], CLUSTERS),
        from_rights("cpt_only", 1, [CPT], CLUSTERS, names=list("uvwxyz")),
    ]
    with pytest.raises(UserError, match="different heldout questions"):
        compare(runs)


@pytest.mark.parametrize(
    ("key", "remedy"),
    [("wording", "the same `answering`"), ("tokenizer", "`model`"), ("scorer", "same version")],
)
def test_runs_asked_otherwise_are_refused(key: str, remedy: str) -> None:
    asked = {"wording": "w1", "tokenizer": "t1", "scorer": 2}

    def made(arm: str, values: dict[str, object]) -> RunRecord:
        run = from_rights(arm, 1, [CEM], CLUSTERS)
        run.metrics["rounds"][0].update({"asked": values} if values else {})
        return run

    old, same = made("cem", {}), made("cem", asked)
    compare([same, made("cpt_only", dict(asked))])
    compare([old, made("cpt_only", asked)])  # a record of before these were kept
    with pytest.raises(UserError, match=f"the {key} of .*{asked[key]!r}.*'other'.*{remedy}"):
        compare([same, made("cpt_only", asked | {key: "other"})])


def test_the_same_run_twice_is_refused() -> None:
    run = from_rights("cem", 1, [CEM], CLUSTERS)
    with pytest.raises(UserError, match="given twice"):
        compare([run, run])


def test_unmatched_tokens_are_pointed_out() -> None:
    matched = compare([make_record("cem"), make_record("cpt_only")])
    assert not any("Not matched" in note for note in matched.notes)
    unmatched = compare([make_record("cem"), make_record("cpt_only", tokens=1.5)])
    assert any("Not matched in training tokens: cpt_only" in note for note in unmatched.notes)


def test_the_same_questions_under_several_seeds_are_no_new_evidence() -> None:
    def interval(seeds: tuple[int, ...]) -> tuple[float | None, float | None]:
        runs = [
            from_rights(arm, seed, [NONE_RIGHT, rights], CLUSTERS, names=list("uvwxyz"))
            for seed in seeds
            for arm, rights in (("cem", CEM), ("cpt_only", CPT))
        ]
        (contrast,) = compare(runs).contrasts
        assert contrast.difference.clusters == 3
        assert contrast.difference.n == 6 * len(seeds)
        return contrast.difference.low, contrast.difference.high

    assert interval((1, 2, 3)) == pytest.approx(interval((1,)))


def test_other_questions_of_a_cluster_of_the_same_name_are_told_apart_by_seed() -> None:
    runs = [from_rights("cem", seed, [NONE_RIGHT, CEM], CLUSTERS) for seed in (1, 2)]
    row = next(each for each in compare(runs).rows if each.round == 1)
    assert row.gain is not None and row.gain.clusters == 6


def test_arms_are_compared_after_the_last_round_that_both_have_reached() -> None:
    runs = [
        from_rights("cem", 1, [NONE_RIGHT, CPT, CEM], CLUSTERS),
        from_rights("cpt_only", 1, [NONE_RIGHT, CPT], CLUSTERS),
    ]
    comparison = compare(runs)
    (contrast,) = comparison.contrasts
    assert (contrast.round, contrast.difference.mean) == (1, 0.0)
    assert any("one went on to round 2" in note for note in comparison.notes)


def test_only_shared_seeds_enter_a_difference() -> None:
    runs = [from_rights("cem", seed, [NONE_RIGHT, CEM], CLUSTERS) for seed in (1, 2)]
    runs.append(from_rights("cpt_only", 2, [NONE_RIGHT, CPT], CLUSTERS))
    comparison = compare(runs)
    (contrast,) = comparison.contrasts
    assert (contrast.seeds, contrast.difference.n) == ((2,), 6)
    assert any("cpt_only has no run with seed 1" in note for note in comparison.notes)


def test_a_sweep_within_an_arm_makes_arms_of_its_values() -> None:
    runs = [
        make_record("cem", seed, config={"trainer": {"learning_rate": rate}})
        for seed in (1, 2)
        for rate in (1e-4, 2e-4)
    ]
    arms = {row.arm for row in compare(runs).rows if row.round == 1}
    assert arms == {"cem (trainer.learning_rate=0.0001)", "cem (trainer.learning_rate=0.0002)"}


def test_without_cem_or_other_arms_the_first_run_is_compared_with_the_rest() -> None:
    untrained, kl, freeze = make_record("kl", rounds=0), make_record("kl"), make_record("freeze")
    comparison = compare([untrained, kl, freeze])
    assert comparison.main == ("kl",)
    assert {(each.arm, each.other) for each in comparison.contrasts} == {("kl", "freeze")}
    assert compare([freeze, kl]).main == ("freeze",)

    slow, fast = (
        make_record("cem", config={"trainer": {"learning_rate": rate}}) for rate in (1e-5, 1e-4)
    )
    comparison = compare([fast, slow])
    assert comparison.main == ("cem (trainer.learning_rate=0.0001)",)
    assert [each.other for each in comparison.contrasts][:1] == [
        "cem (trainer.learning_rate=1e-05)"
    ]
    assert compare([fast, slow, kl]).main_name == "cem"


def test_round_zero_is_one_row_unless_it_differs() -> None:
    same = [
        from_rights("cem", 1, [NONE_RIGHT, CEM], CLUSTERS),
        from_rights("cpt_only", 1, [NONE_RIGHT, CPT], CLUSTERS),
        from_rights("untrained", 1, [NONE_RIGHT], CLUSTERS),
    ]
    untrained = [each.arm for each in compare(same).rows if each.round == 0]
    assert untrained == ["untrained"]
    assert [each.other for each in compare(same).contrasts] == ["cpt_only"]
    other = [same[0], from_rights("cpt_only", 1, [CPT, CPT], CLUSTERS)]
    untrained = [each.arm for each in compare(other).rows if each.round == 0]
    assert untrained == ["untrained, cem", "untrained, cpt_only"]


def test_the_order_in_which_runs_are_given_does_not_matter() -> None:
    runs = [
        make_record(arm, seed) for arm in ("random_passages", "other", "cem") for seed in (2, 1)
    ]
    comparison = compare(runs)
    assert comparison == compare(runs[::-1])
    arms = list(dict.fromkeys(row.arm for row in comparison.rows))
    assert arms == ["untrained", "cem", "random_passages", "other"]


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to compare"):
        compare([])


def text_of(show: object, *arguments: object) -> str:
    out = io.StringIO()
    show(*arguments, Console(file=out, width=100))  # type: ignore[operator]
    return out.getvalue()


def test_tables_hold_the_figures_and_fit_into_a_hundred_columns() -> None:
    record = make_record()
    scores = record.rounds[2]["pools"]["heldout"]
    shown = text_of(print_run, record)
    assert f"{scores['accuracy']:.1%}" in shown
    assert f"{scores['blind_accuracy']:.1%}" in shown
    step = next(each for each in shown.splitlines() if each.startswith("1 → 2 · heldout"))
    assert step.split()[5:8] == [str(scores[key]) for key in ("n", "mended", "lost")]
    assert max(map(len, shown.splitlines())) <= 100
    comparison = compare([make_record(arm, seed) for arm in ("cem", "cpt_only") for seed in (1, 2)])
    shown = text_of(print_comparison, comparison)
    assert "open book" in shown and "cpt_only" in shown and "untrained" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_a_comparison_is_written_as_json_and_as_a_page(tmp_path: Path) -> None:
    page = write_comparison(compare([make_record("cem"), make_record("cit_only")]), tmp_path)
    values = json.loads((tmp_path / "comparison.json").read_text())
    assert {row["arm"] for row in values["rows"]} == {"untrained", "cem", "cit_only"}
    assert "cit_only" in page.read_text()
    assert HOSTILE not in page.read_text()


def test_arms_with_models_of_their_own_have_ceilings_of_their_own() -> None:
    runs = [make_record("cem"), make_record("cem", config={"model": {"path": "other"}})]
    assert [each.name for each in compare([make_record("cem")]).ceilings] == ["open book"]
    runs[1].rounds[0]["pools"]["heldout"]["open_book_accuracy"] = 0.5
    names = [(each.name, round(each.accuracy, 1)) for each in compare(runs).ceilings]
    assert sorted(names, key=str) == sorted(
        [("open book, cem (model.path=None)", 0.8), ("open book, cem (model.path=other)", 0.5)],
        key=str,
    )
    assert "open book, cem" in text_of(print_comparison, compare(runs))
