"""What each published set of questions is: where it comes from, and how a row of it looks.

Knows one file at a time; which files belong together is the business of `published`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cem_lightning.questions.config import PublishedName
from cem_lightning.questions.lines import json_rows
from cem_lightning.questions.row_problems import clean
from cem_lightning.questions.tables import records, table_rows

_Rows = Callable[[Path, str, list[str]], Iterator[tuple[int, dict[str, Any]]]]


@dataclass(frozen=True)
class PublishedSet:
    """One published set.

    Attributes:
        title: its name.
        get: the repository to get it from, the files, and the licence.
        suffixes: of its files.
        split: the subfolder to read of a folder that holds one for each split; "" if none does.
        rows: reads a file.
    """

    title: str
    get: str
    suffixes: tuple[str, ...]
    split: str
    rows: _Rows


def _xiezhi(path: Path, key: str, problems: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, row in json_rows(path, key, problems):
        options, labels, answer = row.get("options"), row.get("labels"), row.get("answer")
        if not isinstance(options, str) or not isinstance(labels, list) or "answer" not in row:
            problems.append(
                f"{path}, line {number}: not a row of Xiezhi, which has question, options (a line "
                "each), answer and labels; use data=jsonl for questions of your own"
            )
            continue
        choices = [clean(option) for option in options.strip("\n").split("\n")]
        yield (
            number,
            {
                "question": row.get("question"),
                "choices": choices,
                # a text only: an option may well be a single letter
                "answer": choices.index(clean(answer))
                if isinstance(answer, str) and clean(answer) in choices
                else -1,
                "subject": next((each for each in labels if isinstance(each, str)), None),
            },
        )


def _mmlu(path: Path, key: str, problems: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, cells in records(path, key, problems):
        if len(cells) == 6:
            yield number, _lettered(cells[0], cells[1:5], cells[5])
        else:
            problems.append(
                f"{path}, line {number}: {len(cells)} cells instead of question, A, B, C, D and "
                "answer without a header, as in MMLU; use data=jsonl for a CSV of your own"
            )


def _headed(path: Path, key: str, problems: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """C-Eval and CMMLU, which differ in the case of the header."""
    for number, row in table_rows(path, key, problems, required=("question",)):
        missing = [name for name in (*"ABCD", "answer") if name not in row]
        if missing == ["answer"]:
            problems.append(
                f"{path} has no answers, since those of the test split are not published; give "
                "the folder val"
            )
            return
        if missing:
            problems.append(f"{path}: no column {missing[0]!r}; get the file anew")
            return
        yield number, _lettered(row["question"], [row[each] for each in "ABCD"], row["answer"])


def _lettered(question: str, choices: list[str], letter: str) -> dict[str, Any]:
    at = "ABCD".find(letter.strip()) if len(letter.strip()) == 1 else -1
    return {"question": question, "choices": choices, "answer": at}


SETS: dict[PublishedName, PublishedSet] = {
    "xiezhi": PublishedSet(
        "Xiezhi",
        "Get it from the GitHub repository MikeGu721/XiezhiBenchmark (CC BY-NC-SA 4.0): the files "
        "xiezhi.v1.json below its folders of tasks, for instance xiezhi_train_chn or "
        "xiezhi_train_eng.",
        (".json", ".jsonl"),
        "",
        _xiezhi,
    ),
    "mmlu": PublishedSet(
        "MMLU",
        "Get data.tar as the GitHub repository hendrycks/test says (MIT) and unpack it: the files "
        "SUBJECT_test.csv, SUBJECT_val.csv and SUBJECT_dev.csv. The hub has the same questions as "
        "cais/mmlu, for data=datasets.",
        (".csv",),
        "test",
        _mmlu,
    ),
    "ceval": PublishedSet(
        "C-Eval",
        "Get ceval-exam.zip from ceval/ceval-exam on the hub (CC BY-NC-SA 4.0) and unpack it: the "
        "files SUBJECT_val.csv and SUBJECT_dev.csv; those of test have no answers.",
        (".csv",),
        "val",
        _headed,
    ),
    "cmmlu": PublishedSet(
        "CMMLU",
        "Get it from haonan-li/cmmlu on the hub or on GitHub (CC BY-NC-SA 4.0) and unpack it: the "
        "files SUBJECT.csv in the folders test and dev.",
        (".csv",),
        "test",
        _headed,
    ),
}
