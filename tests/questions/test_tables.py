"""Tables as people save them: read right, or refused with line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from cem_lightning.errors import UserError
from cem_lightning.questions import lines
from cem_lightning.questions.config import JsonlData
from cem_lightning.questions.pools import read_pools
from cem_lightning.questions.records import Question


def read(path: Path, content: str | bytes, encoding: str = "utf-8") -> tuple[Question, ...]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return read_pools(JsonlData(reader="jsonl", slice=1, source=path), seed=1).source


def refusal(path: Path, content: str | bytes, encoding: str = "utf-8") -> str:
    with pytest.raises(UserError) as error:
        read(path, content, encoding)
    return str(error.value)


LETTERED = """\
id,question,A,B,C,answer,subject
a,"Which gas, of these, is lightest?",neon,hydrogen,argon,B,gases
b,"Which is
heaviest?",neon,hydrogen,,neon,
"""


def test_one_column_a_choice(tmp_path: Path) -> None:
    first, second = read(tmp_path / "q.csv", LETTERED)
    assert first == Question(
        "a",
        "Which gas, of these, is lightest?",
        ("neon", "hydrogen", "argon"),
        1,
        cluster="a",
        kind="gases",
    )
    assert (second.question, second.choices, second.kind) == (
        "Which is\nheaviest?",
        ("neon", "hydrogen"),
        "",
    )


@pytest.mark.parametrize("names", ["a,b,c", "A),B),C)", "(a),(b),(c)"])
def test_letters_in_the_header_may_be_written_in_any_way(tmp_path: Path, names: str) -> None:
    assert read(tmp_path / "q.csv", LETTERED.replace("A,B,C", names)) == read(
        tmp_path / "p.csv", LETTERED
    )


def test_a_json_list_in_one_cell_and_ids_of_the_line(tmp_path: Path) -> None:
    text = 'Question;Choices;Answer\n\nQ?;["a", "b"];(B)\n;;\nR?;["a", "b"];a\n'
    first, second = read(tmp_path / "q.csv", text)
    assert (first.gold, second.gold) == ("b", "a")
    assert (first.id, second.id) == ("source-3", "source-5")


def test_an_answer_alone(tmp_path: Path) -> None:
    (question,) = read(tmp_path / "q.csv", "question,answer\nHow many protons has helium?,2\n")
    assert question.short
    assert question.gold == "2"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".CSV"])
def test_the_delimiter_shows_in_the_header(tmp_path: Path, delimiter: str, suffix: str) -> None:
    text = LETTERED.replace("gas, of these,", "gas").replace(",", delimiter)
    assert len(read(tmp_path / f"q{suffix}", text)) == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_and_crlf_are_harmless(tmp_path: Path, encoding: str, end: str) -> None:
    text = LETTERED.replace("heaviest", "schwerste Größe").replace("\n", end)
    first, second = read(tmp_path / "q.csv", text, encoding)
    assert first.id == "a"
    assert "Größe" in second.question


@pytest.mark.parametrize(
    ("choices", "answer", "gold"),
    [
        (("1919", "1922"), "1922", "1922"),
        (("1919", "1922"), "1", "1922"),
        (("1919", "1922"), "Ｂ", "1922"),
        (("0", "1", "2"), "2", "2"),
        (("x", "y", "3"), "3", "3"),
    ],
)
def test_a_number_is_a_text_or_a_position(
    tmp_path: Path, choices: tuple[str, ...], answer: str, gold: str
) -> None:
    header = ",".join(["question", *"ABC"[: len(choices)], "answer"])
    row = ",".join(["Q?", *choices, answer])
    (question,) = read(tmp_path / "q.csv", f"{header}\n{row}\n")
    assert question.gold == gold


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("question|choices|answer\nQ?|x|y\n", "line 1: no column 'question' and none 'answer'"),
        ("question|choices|answer\nQ?|x|y\n", "holds 'question|choices|answer'; separate the"),
        ("Q?,a,b,A\nR?,a,b,B\n", "the header, cut at commas, holds 'Q?', 'A', 'B', 'A'"),
        ("qestion,A,B,answer\nQ?,a,b,A\n", "no column 'question'; did you mean 'qestion'?"),
        ("question,A,B,answer,A\nQ?,a,b,A,c\n", "two columns are called 'A'; rename one"),
        ("question,A,B,answer\nQ?,a,b,c,A\n", "line 2: 5 cells under a header of 4"),
        ("question,A,B,answer\n\nQ?,a,b\n", "line 3: 3 cells under a header of 4"),
        ("question,A,B,answer\nQ?;a;b;A\n", "line 2: 1 cells under a header of 4, cut at commas"),
        ("question,choices,answer\nQ?,['a'; 'b'],A\n", "line 2: 'choices' is"),
        ("question,choices,answer\nQ?,,A\n", "line 2: 'choices' is ''"),
        ("question,A,B,C,answer\nQ?,a,,c,A\n", "line 2: 'choices' holds ''; every choice must"),
        ("question,A,B,answer\n,a,b,A\n", "line 2: 'question' is ''; write a text"),
        ("question,A,B,answer\nQ?,a,b,\n", "line 2: 'answer' '' is not among the 2 choices"),
        ("question,A,B,answer\nQ?,a,b,2\n", "line 2: 'answer' '2' is not among the 2 choices"),
        ("question,A,B,C,answer\nQ?,0,2,1,1\n", "position of another; give its letter"),
        ("question,A,B,C,answer\nQ?,B,c,d,B\n", "letter of another; give its position from 0"),
        (
            'question,A,B,answer\nQ?,a,b,A\n"R?,a,b,A\nS?,a,b,A\n',
            "line 3: the double quotes do not",
        ),
        ('question,A,B,answer\n"Q"?,a,b,A\n', "line 2: the double quotes do not match"),
        ('question,A,B,answer\n"' + "Q?,a,b,A\n" * 20_000, "line 2: a cell of more than 131072"),
        ("question,A,B,answer\rQ?,a,b,A\r", "line 1: a carriage return alone"),
        ("question,A,B,answer\nQ\0?,a,b,A\n", "line 2: character 2 is a NUL"),
        ("question,option_a,option_b,answer\nQ?,a,b,B\n", "if 'option_a' holds them, rename it"),
        ("question,opa,opb,answer\nQ?,a,b,B\n", "if 'opa' holds them, rename it"),
        ("question,alternatives,answer\nQ?,a|b,B\n", "if 'alternatives' holds them, rename it"),
        ("question,A,B,D,answer\nQ?,a,b,d,C\n", "line 2: no choice C beside 'A', 'B', 'D'"),
        ("question,A,C,D,answer\nQ?,a,c,d,D\n", "line 2: no choice B beside 'A', 'C', 'D'"),
        ("question,A),A,B,answer\nQ?,a,b,c,A\n", "two columns are called 'A'; rename one"),
        ("question,erste,zweite,answer\nQ?,a,b,B\n", "'erste', 'zweite' are not read; if the ch"),
        ("", "q.csv is empty; write a header"),
        ("\n  \n", "q.csv is empty; write a header"),
        ("question,A,B,answer\n", "q.csv holds a header at most"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path, content: str, told: str) -> None:
    message = refusal(tmp_path / "q.csv", content)
    assert told in message
    assert "q.csv" in message


def test_cp1252_is_refused_with_its_line(tmp_path: Path) -> None:
    told = refusal(tmp_path / "q.csv", LETTERED.replace("heaviest", "größte"), "cp1252")
    assert "line 4: byte 3 is not UTF-8; save as UTF-8" in told


def test_all_ragged_rows_are_told_at_once(tmp_path: Path) -> None:
    told = refusal(tmp_path / "q.csv", "question,A,B,answer\n" + "Q?,a,b\n" * 3)
    assert "3 problems" in told


def test_a_line_beyond_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LINE_LIMIT", 1000)
    long = "question,A,B,answer\nQ?,a,b,A\n" + "x" * 1001
    assert "line 3: longer than 1000 characters" in refusal(tmp_path / "q.csv", long)
    assert "line 1: longer than 1000 characters" in refusal(tmp_path / "q.csv", "x" * 1001)
