"""What a finished run says about change is what its own answers say."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations

import pytest

from cem_lightning.answering.records import Answer
from cem_lightning.answering.statistics import mcnemar, paired_cluster_bootstrap
from cem_lightning.evolution.changes import transfer
from cem_lightning.questions.records import Question
from cem_lightning.reporting.run_folder import RunRecord
from tests.workspace import Workspace


@pytest.fixture(scope="module")
def record(finished: Workspace) -> RunRecord:
    return RunRecord.read(finished.folder / "run")


def test_every_pair_of_rounds_is_there_with_its_figures(record: RunRecord) -> None:
    for pool in record.pools:
        assert record.rounds[0]["pools"][pool]["changes"] == {}
        for before, now in combinations(range(3), 2):
            first, second = record.answered(before, pool), record.answered(now, pool)
            rights = [(first[each].right, second[each].right) for each in first]
            found = record.rounds[now]["pools"][pool]["changes"][f"{before}-{now}"]
            assert found["mended"] == rights.count((False, True))
            assert found["lost"] == rights.count((True, False))
            assert found["n"] == len(rights)
            assert found["gain"] == pytest.approx((found["mended"] - found["lost"]) / len(rights))
            assert found["mcnemar_p"] == mcnemar(found["mended"], found["lost"])
            gain = paired_cluster_bootstrap(
                [each.right for each in first.values()],
                [each.right for each in second.values()],
                [each.cluster for each in first.values()],
            )
            assert found["ci95"] == [gain.low, gain.high]
            assert found["could_have_shown"] == gain.detectable
        assert set(record.rounds[2]["pools"][pool]["changes"]) == {"0-2", "1-2"}


def test_the_ledger_adds_up_and_stands_with_every_answer(record: RunRecord) -> None:
    for current in record.rounds:
        for pool, scores in current["pools"].items():
            rows = record.answered(current["round"], pool)
            states = Counter(row.state for row in rows.values())
            assert scores["ledger"] == {name: states[name] for name in scores["ledger"]}
            assert sum(scores["ledger"].values()) == scores["n"]
            for row in rows.values():
                assert row.right == (row.state in ("known", "learned", "relearned"))
    assert {row.state for row in record.answers if row.round == 0} <= {"known", "never_learned"}


def test_the_matrix_holds_slices_and_pools_and_gives_the_transfer(record: RunRecord) -> None:
    matrix = record.metrics["matrix"]
    assert matrix["columns"] == ["mined in 1", "mined in 2", "heldout", "ood"]
    shares = matrix["accuracy"]
    for current in record.rounds:
        pools = current["pools"]
        expected = [*pools["source"]["slices"].values()]
        expected += [pools[name]["accuracy"] for name in ("heldout", "ood")]
        assert shares[current["round"]] == pytest.approx(expected)
    found = record.metrics["transfer"]
    assert found["backward_transfer"]["value"] == pytest.approx(shares[2][0] - shares[1][0])
    assert found["forward_transfer"]["value"] == pytest.approx(shares[1][1] - shares[0][1])
    assert found["average_forgetting"]["value"] == pytest.approx(shares[1][0] - shares[2][0])
    assert found["average_forgetting"]["n"] == matrix["n"][0]
    assert found["forward_transfer"]["n"] == matrix["n"][1]


def test_every_round_has_a_verdict_with_its_reason(record: RunRecord) -> None:
    assert "verdict" not in record.rounds[0]
    for current in record.rounds[1:]:
        verdict = current["verdict"]
        assert verdict["decision"] in ("ACCEPT", "REJECT", "INCONCLUSIVE")
        assert verdict["against"] == current["round"] - 1
        assert verdict["kept"]
        assert "Fewer than 250 questions decide little: heldout n = " in verdict["reason"]
    assert record.metrics["last_model"] == 2
    json.dumps(record.metrics, allow_nan=False)


def test_the_same_questions_mined_twice_have_no_transfer() -> None:
    question = Question("q", "Which?", ("a", "b"), 0, "q")
    answers = {"q": Answer("q", (-1.0, -2.0), (0.7, 0.3), 0, "right")}
    found = transfer([answers] * 3, [[question]] * 2)
    for measure in found.values():
        assert measure["value"] is None
        assert "the same questions" in measure["reason"]
