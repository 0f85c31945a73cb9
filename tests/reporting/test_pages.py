"""The report opens offline and shows hostile text as text."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cem_lightning.reporting.compare import compare
from cem_lightning.reporting.html import (
    chosen_stories,
    comparison_page,
    report_page,
    write_report,
)
from tests.reporting.records import HOSTILE, make_record, with_short_answers, with_verdicts


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(make_record(), tmp_path_factory.mktemp("run")).read_text()


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_nothing_is_fetched_and_nothing_runs(page: str) -> None:
    tags = Tags(page).seen
    assert len(tags) > 200
    for tag, attributes in tags:
        assert tag not in {"script", "iframe", "object", "embed", "link", "img"}
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "action", "data"):
            assert not (attributes.get(name) or "").startswith(("http", "//", "javascript"))
    assert not re.search(r"url\(\s*['\"]?(https?:)?//", page)
    assert "@import" not in page


def test_hostile_text_is_shown_not_obeyed(page: str) -> None:
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(" in page


def test_it_shows_what_a_reader_asks_for(page: str) -> None:
    record = make_record()
    for pool in record.rounds[2]["pools"].values():
        assert f"{pool['accuracy']:.1%}" in page
    assert page.count("<svg") >= 3
    assert "Lecoq de Boisbaudran" in page and "passages fetched" in page
    assert "prefers-color-scheme" in page


def test_every_pair_of_accuracy_and_interval_has_its_number(page: str) -> None:
    for scores in make_record().rounds[2]["pools"].values():
        low, high = (f"{each * 100:.0f}" for each in scores["ci95"])
        row = rf"<td>{scores['n']}</td>\s*<td>{scores['accuracy']:.1%} \[{low}, {high}\]</td>"
        assert re.search(row, page)


def test_short_answers_are_shown_as_they_were_written() -> None:
    page = report_page(with_short_answers(make_record()))
    assert "F1 / held" in page and "37.5% / 60.0%<small>n = 20</small>" in page
    assert HOSTILE not in page
    mended, missed = page.split('<article class="story">')[1:]
    shown = [re.sub("<[^>]*>", " ", each).split() for each in re.findall("<li.*</li>", mended)]
    assert shown[0] == ["✓", "Paul-Émile", "accepted"]
    assert shown[1][1].startswith("&lt;/script&gt;") and shown[1][-1] == "before"
    assert shown[2] == ["›", "paul-émile.", "after"]
    assert '<span class="tag good">mended</span>' in mended
    shown = [re.sub("<[^>]*>", " ", each).split() for each in re.findall("<li.*</li>", missed)]
    assert shown[1:] == [["›", "Scheele", "before"], ["›", "(nothing)", "after"]]
    assert '<span class="tag bad">still not right</span>' in missed
    assert "could be read" not in page


def test_without_short_answers_no_f1_is_shown(page: str) -> None:
    assert "F1" not in page


def test_text_that_named_no_choice_is_quoted() -> None:
    record = make_record()
    story = replace(record.stories[0], answer_after=None, said_after="I cannot <say>.")
    page = report_page(replace(record, stories=(story,)))
    assert "After: no answer that could be read, but “<bdi>I cannot &lt;say&gt;.</bdi>”." in page
    silent = replace(record, stories=(replace(story, said_after=""),))
    assert "After: no answer that could be read.</p>" in report_page(silent)


def test_passages_are_shown_with_origin_and_licence(page: str) -> None:
    assert "<bdi>Gallium</bdi> · <bdi>elements/31</bdi> · <bdi>CC BY 4.0</bdi>" in page


def test_at_most_twenty_mistakes_taken_evenly() -> None:
    record = make_record()
    chosen = chosen_stories(record)
    assert len(chosen) == 20 and len(record.stories) == 33
    assert {story.round for story in chosen} == {1, 2}
    few = replace(record, stories=record.stories[:3])
    assert chosen_stories(few) == list(record.stories[:3])


def test_the_page_depends_on_nothing_but_the_record(page: str) -> None:
    assert report_page(make_record()) == page


def test_a_run_without_training_has_a_report_too(tmp_path: Path) -> None:
    assert "<html" in write_report(make_record(rounds=0), tmp_path).read_text()


def test_a_report_shows_how_sure_the_model_was() -> None:
    record = make_record()
    assert "How sure" not in report_page(record), "of records of before it was measured"
    metrics = deepcopy(record.metrics)
    for number, current in enumerate(metrics["rounds"]):
        for scores in current["pools"].values():
            areas = {"confidence": None if number else 0.625}
            scores["calibration"] = {"n": 61, "ece": 0.0781, "aurc": 0.7377, "auroc": areas}
    page = report_page(replace(record, metrics=metrics))
    assert "<td>61</td><td>0.078</td><td>0.738</td><td>0.625</td>" in page
    assert "<td>61</td><td>0.078</td><td>0.738</td><td>–</td>" in page
    assert "debiased" not in page, "where the choices were asked in one order"
    for current in metrics["rounds"]:
        for scores in current["pools"].values():
            scores |= {"debiased_n": 61, "debiased_accuracy": 0.2123}
    assert "<td>21.2%</td></tr>" in report_page(replace(record, metrics=metrics))


def test_a_report_shows_verdicts_matrix_transfer_and_ledger() -> None:
    page = report_page(with_verdicts(make_record()))
    for text in (
        "<b>REJECT</b>",
        "ood has lost. Its model was not carried on.",
        "Noise floor: 1.6 points",
        "with the choices reversed, 8.2% of 61 predictions moved",
        "mined in 2<br>n = 30",
        "Backward transfer: −10.0 points (n = 30, 1 slice)",
        "What became of the questions by round 2",
        "<th>never learned</th>",
        "0 → 2",
    ):
        assert text in page, text
    plain = report_page(make_record())
    assert "Verdicts" not in plain, "of records of before there were any"
    assert "could have<br>shown" in plain


def test_a_comparison_shows_adjusted_p_values() -> None:
    page = comparison_page(compare([make_record("cem"), make_record("cpt_only")]))
    assert "<th>Holm</th>" in page
    assert "could have<br>shown" in page
