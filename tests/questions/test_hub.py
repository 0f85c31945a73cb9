"""Data sets of the package `datasets`, saved in a folder; the hub itself is out of reach here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from cem_lightning.errors import UserError
from cem_lightning.questions.config import Columns, DatasetsData
from cem_lightning.questions.pools import Pools, read_pools
from cem_lightning.questions.records import Question
from tests.workspace import compose_config

PLAIN = {"question": "Which?", "choices": ["neon", "argon"], "answer": 1}


def read(path: Path | str, columns: dict[str, Any] | None = None, **more: Any) -> Pools:
    values = {"reader": "datasets", "slice": 1, "path": str(path), "heldout_share": 0}
    return read_pools(
        DatasetsData(**(values | {"columns": Columns(**(columns or {}))} | more)), seed=1
    )


def saved(folder: Path, **splits: list[dict[str, Any]]) -> Path:
    DatasetDict({name: Dataset.from_list(rows) for name, rows in splits.items()}).save_to_disk(
        folder / "set"
    )
    return folder / "set"


def test_a_saved_dictionary_with_its_splits(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        train=[PLAIN],
        test=[PLAIN, PLAIN | {"question": "Which else?", "answer": 0}],
        other=[PLAIN | {"question": "And?"}],
    )
    pools = read(path, heldout_split="test", ood_split="other")
    assert pools.source == (Question("train-0", "Which?", ("neon", "argon"), 1, cluster="train-0"),)
    assert [question.id for question in pools.heldout] == ["test-1"]
    assert [question.id for question in pools.ood] == ["other-0"]
    assert pools.left_out == (f"{path}, test, row 0: the same question came before",)


def test_one_table_a_column_a_choice_and_every_other_column(tmp_path: Path) -> None:
    features = Features(
        {
            "stem": Value("string"),
            "a": Value("string"),
            "b": Value("string"),
            "c": Value("string"),
            "label": ClassLabel(names=["A", "B", "C"]),
            "topic": ClassLabel(names=["gases", "metals"]),
            "number": Value("int64"),
            "page": Value("int64"),
            "masked": Value("string"),
        }
    )
    rows = [
        ["Which gas?", "neon", "argon", "xenon", 2, 0, 7, 3, "Which?"],
        ["Which metal?", "iron", "tin", None, 1, 1, 8, 3, None],
    ]
    table = [dict(zip(features, row, strict=True)) for row in rows]
    Dataset.from_list(table, features=features).save_to_disk(tmp_path / "set")
    columns = {
        "question": "stem",
        "choices": ["a", "b", "c"],
        "answer": "label",
        "id": "number",
        "subject": "topic",
        "cluster": "page",
        "blind": "masked",
    }
    first, second = read(tmp_path / "set", columns).source
    assert first == Question(
        "7", "Which gas?", ("neon", "argon", "xenon"), 2, cluster="3", kind="gases", blind="Which?"
    )
    assert (second.choices, second.gold, second.kind) == (("iron", "tin"), "tin", "metals")
    with pytest.raises(UserError, match=r"data.heldout_split: .* holds a single table"):
        read(tmp_path / "set", columns, heldout_split="test")


def test_texts_with_labels_as_in_arc(tmp_path: Path) -> None:
    """The answer names a label, and "1" is not position 1."""
    rows = [
        {"q": "One?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "key": "B"},
        {"q": "Two?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "key": "1"},
    ]
    path = saved(tmp_path, train=rows)
    found = read(path, {"question": "q", "answer": "key"}).source
    assert [question.gold for question in found] == ["y", "x"]


def test_without_choices_they_are_short_answer_questions(tmp_path: Path) -> None:
    features = Features({"question": Value("string"), "answer": ClassLabel(names=["yes", "no"])})
    rows = [{"question": "Is it?", "answer": 1}]
    Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "set")
    (question,) = read(tmp_path / "set", {"choices": None}).source
    assert (question.short, question.gold) == (True, "no")


def test_digits_in_a_text_column_are_positions_and_bad_rows_are_left_out(tmp_path: Path) -> None:
    rows = [
        PLAIN | {"answer": "1"},
        PLAIN | {"question": "Twice?", "choices": ["a", "a"], "answer": "0"},
        PLAIN | {"question": "Hidden?", "answer": ""},
    ]
    pools = read(saved(tmp_path, train=rows))
    assert [question.gold for question in pools.source] == ["argon"]
    assert pools.reasons == {
        "two choices are the same": 1,
        "the answer is not among the choices": 1,
    }


@pytest.mark.parametrize("form", [int, str])
def test_positions_from_one_are_refused_rather_than_read_one_off(
    tmp_path: Path, form: type
) -> None:
    rows = [PLAIN | {"answer": form(1)}, PLAIN | {"question": "Which else?", "answer": form(2)}]
    with pytest.raises(UserError, match=r"row 1: 'answer' '?2'? is not .* position from 0"):
        read(saved(tmp_path, train=rows))


def test_a_share_is_held_out_by_default(tmp_path: Path) -> None:
    rows = [PLAIN | {"question": f"{n}?"} for n in range(10)]
    pools = read(saved(tmp_path, train=rows), heldout_share=0.3)
    assert (len(pools.source), len(pools.heldout)) == (7, 3)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"question": "questoin"}, "data.columns.question: .* 'questoin'.*mean 'question'"),
        ({"answer": "gold"}, r"data.columns.answer: .*no column 'gold'.*it has question, choices"),
        ({"choices": ["a", "b"]}, "data.columns.choices: .*no column 'a'"),
    ],
)
def test_an_unknown_column_names_those_there_are(
    tmp_path: Path, columns: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        read(saved(tmp_path, train=[PLAIN]), columns)


def test_a_column_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    rows = [{"question": ["Which?"], "choices": ["a", "b"], "answer": 0}]
    with pytest.raises(UserError, match=r"train, row 0: 'question' is \['Which\?'\]"):
        read(saved(tmp_path, train=rows))


def test_an_unknown_split_names_those_there_are(tmp_path: Path) -> None:
    path = saved(tmp_path, train=[PLAIN], validation=[PLAIN])
    with pytest.raises(UserError, match=r"data.split: .*no split 'dev'; it has train, validation"):
        read(path, split="dev")
    with pytest.raises(UserError, match=r"data.heldout_split: .*mean 'validation'"):
        read(path, heldout_split="valid")


def test_a_folder_of_plain_files_is_loaded_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = Features(
        {"question": Value("string"), "choices": List(Value("string")), "answer": Value("int64")}
    )
    (tmp_path / "set").mkdir()
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    Dataset.from_list([PLAIN], features=features).to_parquet(tmp_path / "set" / "train.parquet")
    assert len(read(tmp_path / "set").source) == 1
    with pytest.raises(UserError, match=r"cannot be loaded \(data.name=None, data.split=dev\)"):
        read(tmp_path / "set", split="dev")


def test_what_cannot_be_had_gets_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the folder \./nowhere does not exist"):
        read("./nowhere")
    with pytest.raises(UserError, match=r"hub cannot be reached.*save it with save_to_disk"):
        read("nobody/nothing")
    broken = saved(tmp_path, train=[PLAIN])
    (broken / "dataset_dict.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be read; save it anew"):
        read(broken)


def test_a_gated_or_missing_set_gets_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    def gated(*_: object, **__: object) -> None:
        raise DatasetNotFoundError("Dataset 'x/y' is a gated dataset on the Hub.")

    monkeypatch.setattr(datasets, "load_dataset", gated)
    with pytest.raises(UserError, match=r"hf auth login.*is a gated dataset on the Hub"):
        read("x/y")


def test_the_column_map_is_set_in_one_line_or_by_key() -> None:
    line = "data.columns={question: stem, choices: [a, b], answer: key}"
    config = compose_config("data=datasets", "data.path=x/y", line, "data.columns.subject=topic")
    assert isinstance(config.data, DatasetsData)
    assert config.data.columns == Columns(
        question="stem", choices=("a", "b"), answer="key", subject="topic"
    )
