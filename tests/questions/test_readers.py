from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.errors import UserError
from cem_lightning.questions import lines
from cem_lightning.questions.config import JsonlData
from cem_lightning.questions.pools import read_pools
from cem_lightning.questions.records import Question


def read(path: Path) -> tuple[Question, ...]:
    """The questions of one file, as the source pool."""
    return read_pools(JsonlData(reader="jsonl", slice=1, source=path), seed=1).source


def row(**changes: Any) -> dict[str, Any]:
    plain = {"question": "Which gas is lightest?", "choices": ["neon", "hydrogen"], "answer": 1}
    return plain | changes


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "answer",
    [1, "B", "b", "hydrogen", " hydrogen ", "(B)", "B.", "B)", "[b]", "B:", "Ｂ", "（Ｂ）", "Ｂ．"],
)
def test_an_answer_is_a_position_a_letter_or_a_text(tmp_path: Path, answer: object) -> None:
    (question,) = read(write(tmp_path / "q.jsonl", row(answer=answer)))
    assert question.gold == "hydrogen"


def test_what_is_left_out_has_defaults_that_point_at_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", row(), row(id=7, kind="gas", cluster="H", blind="Which?"))
    plain, full = read(path)
    assert (plain.id, plain.cluster, plain.kind, plain.blind) == ("source-1",) * 2 + ("", None)
    assert (full.id, full.cluster, full.kind, full.blind) == ("7", "H", "gas", "Which?")


def test_byte_order_mark_crlf_blank_lines_and_decomposed_letters_are_read(tmp_path: Path) -> None:
    text = json.dumps(row(question="  Who was Fre\u0301de\u0301ric? ", id="x"), ensure_ascii=False)
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + f"{text}\r\n\r\n  \r\n".encode())
    (question,) = read(path)
    assert question.question == "Who was Fr\u00e9d\u00e9ric?"


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"answer": "argon"}, "'answer' 'argon' is not among the 2 choices"),
        ({"answer": 2}, "'answer' 2 is not among"),
        ({"answer": -1}, "'answer' -1 is not among"),
        ({"answer": True}, "'answer' True is not among"),
        ({"answer": "C"}, "'answer' 'C' is not among"),
        ({"answer": None}, "'answer' None is not among"),
        ({"choices": ["B", "A"], "answer": "A"}, "both a choice and the letter of another"),
        ({"answer": "1"}, "'answer' '1' is not among"),
        ({"answer": "(C)"}, "'answer' '(C)' is not among"),
        ({"choices": ["neon"]}, "'choices' has 1; give 2 to 26"),
        ({"choices": "['neon', 'argon']"}, 'as JSON if it is one cell: ["this", "that"]'),
        ({"choices": None}, "'choices' is None; write a list"),
        ({"choices": []}, "'choices' has 0"),
        ({"subject": "gas", "kind": "gas"}, "'subject' and 'kind' mean the same; leave one out"),
        ({"A": "neon", "B": "hydrogen"}, "'choices' and 'A', 'B' mean the same"),
        ({"choices": [str(each) for each in range(27)]}, "'choices' has 27"),
        ({"choices": ["neon", " neon "]}, "'choices' holds 'neon' twice"),
        ({"choices": ["e\u0301", "\u00e9"]}, "twice"),
        ({"choices": ["A1", "Ａ１"]}, "'choices' holds 'Ａ１' twice"),
        ({"choices": ["neon", 3]}, "'choices' holds 3; every choice must be a text"),
        ({"choices": "neon"}, "'choices' is 'neon'; write a list"),
        ({"question": "  "}, "'question' is '  '; write a text"),
        ({"cluster": 3}, "'cluster' is 3; write a text or leave it out"),
        ({"clusters": "H"}, "'clusters' is not read; did you mean 'cluster'"),
        ({"Subject": "gas"}, "'Subject' is not read; did you mean 'subject'"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_key(
    tmp_path: Path, bad: dict[str, Any], told: str
) -> None:
    path = write(tmp_path / "q.jsonl", row(), row(**bad))
    with pytest.raises(UserError) as error:
        read(path)
    assert f"{path}, line 2: " in str(error.value)
    assert told in str(error.value)


def test_a_misspelt_key_gets_a_hint(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", {"question": "Q?", "choises": ["a", "b"], "answer": "a"})
    with pytest.raises(UserError, match="'choices' is missing; did you mean 'choises'"):
        read(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "q.jsonl is empty"),
        (b" \n\n", "q.jsonl is empty"),
        (b'{"question": \n', "line 1: malformed JSON at column"),
        (b"\n[1, 2]\n", "line 2: list instead of an object"),
        (b'\n\n{"question": "\xff"}\n', "line 3: byte 15 is not UTF-8"),
        ('{"question": "Frédéric?"}'.encode("cp1252"), "line 1: byte 17 is not UTF-8"),
        ('{"question": "Q?"}'.encode("utf-16-le"), "line 1: character 2 is a NUL"),
        ('{"question": "Q?"}'.encode("utf-32"), "line 1: character 1 is a NUL"),
        (b'{"question": "Q\0?"}', "line 1: character 16 is a NUL, .*save as UTF-8"),
        ('{"question": "Q?"}\n'.encode("utf-16")[:-3] + b"\xd8", "line 1: character 18 is not"),
        (b"[" * 100_000, "line 1: malformed JSON"),
        (b'\n{"question": "a", "question": "b"}', "line 2: the key 'question' stands twice in it"),
        (b'{"question": {"a": 1, "a": 1}}', "line 1: the key 'a' stands twice in it"),
    ],
)
def test_a_file_that_is_not_jsonl_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=told):
        read(path)


def test_a_missing_file_and_a_folder_are_named_with_their_key(tmp_path: Path) -> None:
    good = write(tmp_path / "q.jsonl", row())
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(UserError, match=rf"data\.ood: .*{path.name}"):
            read_pools(JsonlData(reader="jsonl", slice=1, source=good, ood=path), seed=1)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_with_its_mark_is_read_as_well(tmp_path: Path, encoding: str) -> None:
    text = json.dumps(row(question="哪种气体最轻？"), ensure_ascii=False) + "\r\n"
    mark = "\ufeff" if encoding[-2:] in ("le", "be") else ""
    path = tmp_path / "q.jsonl"
    path.write_bytes((mark + text * 2).encode(encoding))
    assert [question.question for question in read(path)] == ["哪种气体最轻？"] * 2


def test_choices_may_be_a_json_list_in_a_string_or_lettered_fields(tmp_path: Path) -> None:
    lettered = {"question": "Which?", "A": "neon", "B": "hydrogen", "C": "", "answer": "B"}
    path = write(tmp_path / "q.jsonl", row(choices='["neon", "hydrogen"]'), lettered)
    assert [question.choices for question in read(path)] == [("neon", "hydrogen")] * 2
    assert [question.gold for question in read(path)] == ["hydrogen"] * 2


@pytest.mark.parametrize("names", ["ab", ["a)", "b)"], ["(A)", "B."], ["b", "A"]])
def test_letters_name_choices_in_any_case_and_with_brackets(
    tmp_path: Path, names: list[str]
) -> None:
    cells = dict(zip(names, ["Ann", "Bob"], strict=True))
    (question,) = read(write(tmp_path / "q.jsonl", {"question": "Who?", "answer": "b"} | cells))
    assert question.choices == tuple(cells[name] for name in sorted(cells, key=str.lower))
    assert question.answer == 1


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("B,C", "no choice A beside 'B', 'C'"),
        ("A,C,D", "no choice B beside 'A', 'C', 'D'"),
        ("A,B,D", "no choice C beside 'A', 'B', 'D'"),
        ("a", "no choice B beside 'a'"),
        ("a,A,B", "'a' and 'A' both hold choice A"),
        ("1,2", "'choices' is missing; if '1' holds them"),
        ("opa,opb,opc,opd", "if 'opa' holds them.* call these columns A, B, C"),
        ("answer_a,answer_b", "if 'answer_a' holds them"),
        ("distractor1,distractor2", "if 'distractor1' holds them"),
        ("alternatives", "if 'alternatives' holds them, rename it"),
    ],
)
@pytest.mark.parametrize("answer", ["B", "the text"])
def test_choices_under_other_names_or_with_a_gap_are_refused(
    tmp_path: Path, columns: str, told: str, answer: str
) -> None:
    plain = {"question": "Who?", "answer": answer}
    path = write(tmp_path / "q.jsonl", plain | {each: f"of {each}" for each in columns.split(",")})
    with pytest.raises(UserError, match=told):
        read(path)


@pytest.mark.parametrize("answers", ["BAC", "201", ["(b)", "Ｃ", "a."]])
def test_answers_that_look_like_those_to_choices_are_no_short_answers_beside_other_columns(
    tmp_path: Path, answers: list[str]
) -> None:
    asked = [{"question": f"Q{at}?", "answer": each} for at, each in enumerate(answers)]
    assert all(each.short for each in read(write(tmp_path / "q.jsonl", *asked)))
    beside = [each | {"first": "Ann", "second": "Bob"} for each in asked]
    with pytest.raises(UserError, match=r"3 of 3 answers .* 'first', 'second' are not read; if"):
        read(write(tmp_path / "q.jsonl", *beside))
    known = [row(subject="x"), *({"question": f"R{at}?", "answer": "neon"} for at in range(4))]
    assert len(read(write(tmp_path / "q.jsonl", beside[0], *known))) == 6


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("q.parquet", r"data\.source: .*q\.parquet: \.parquet is not read here; .*read_parquet"),
        ("q.jsonl.gz", "gz is not read; unpack it"),
        ("q.XLSX", "xlsx is not read; save the sheet as CSV"),
    ],
)
def test_a_file_in_another_form_is_refused_by_its_ending(
    tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / name).write_bytes(b"PAR1\n\xff\n" * 9)
    with pytest.raises(UserError, match=told) as error:
        read(tmp_path / name)
    assert "\n" not in str(error.value)


def test_subject_and_kind_are_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", row(subject="gas"), row(kind="gas"))
    assert [question.kind for question in read(path)] == ["gas", "gas"]


def test_an_answer_alone_is_a_short_answer_question(tmp_path: Path) -> None:
    plain = {"question": "Which gas is lightest?", "answer": " hydrogen "}
    counted = {"question": "How many protons has it?", "answer": 1}
    first, second = read(write(tmp_path / "q.jsonl", plain, counted))
    assert (first.choices, first.answer, first.short) == (("hydrogen",), 0, True)
    assert (second.gold, second.short) == ("1", True)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"answer": " "}, "'answer' is ' '; write a text, since there are no choices"),
        ({"answer": 1.5}, "'answer' is 1.5; write a text"),
        ({}, "'answer' is missing"),
        ({"anwser": "x"}, "'answer' is missing; did you mean 'anwser'"),
        ({"answer": "B", "options": ["a", "b"]}, "if 'options' holds them, rename it"),
    ],
)
def test_what_only_looks_like_a_short_answer_question_is_refused(
    tmp_path: Path, bad: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        read(write(tmp_path / "q.jsonl", {"question": "Q?"} | bad))


def test_a_line_beyond_the_limit_is_refused_without_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LINE_LIMIT", 200_000)
    path = tmp_path / "q.jsonl"
    with path.open("wb") as file:
        file.write(json.dumps(row()).encode() + b"\n" + b'{"question": "')
        file.truncate(2**32)  # sparse: four gigabytes that take no room
    tracemalloc.start()
    with pytest.raises(UserError, match=r"line 2: longer than 200000 characters, .* one row a"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    path.write_bytes(json.dumps(row(blind="x" * 199_000)).encode())
    assert len(read(path)) == 1


def test_reading_ends_after_a_thousand_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MOST_PROBLEMS", 30)
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"no JSON\n" * 100)
    with pytest.raises(UserError, match="31 problems"):
        read(path)


def test_a_repeated_id_is_named_with_both_places(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", row(id="x"), row(), row(id="x"))
    with pytest.raises(UserError, match=r"line 3: the id 'x' is already that of .*line 1"):
        read(path)


def test_all_problems_come_at_once_and_the_list_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", *[row(answer=9, question="") for _ in range(15)])
    with pytest.raises(UserError) as error:
        read(path)
    message = str(error.value)
    assert "30 problems" in message
    assert message.count("line") == 20
    assert "and 10 more" in message
