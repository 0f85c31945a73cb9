from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.errors import UserError
from cem_lightning.questions.readers import read_jsonl


def row(**changes: Any) -> dict[str, Any]:
    plain = {"question": "Which gas is lightest?", "choices": ["neon", "hydrogen"], "answer": 1}
    return plain | changes


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("answer", [1, "B", "b", "hydrogen", " hydrogen "])
def test_an_answer_is_a_position_a_letter_or_a_text(tmp_path: Path, answer: object) -> None:
    (question,) = read_jsonl(write(tmp_path / "q.jsonl", row(answer=answer)), "source")
    assert question.gold == "hydrogen"


def test_what_is_left_out_has_defaults_that_point_at_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", row(), row(id=7, kind="gas", cluster="H", blind="Which?"))
    plain, full = read_jsonl(path, "heldout")
    assert (plain.id, plain.cluster, plain.kind, plain.blind) == ("heldout-1",) * 2 + ("", None)
    assert (full.id, full.cluster, full.kind, full.blind) == ("7", "H", "gas", "Which?")


def test_byte_order_mark_crlf_blank_lines_and_decomposed_letters_are_read(tmp_path: Path) -> None:
    text = json.dumps(row(question="  Who was Fre\u0301de\u0301ric? ", id="x"), ensure_ascii=False)
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + f"{text}\r\n\r\n  \r\n".encode())
    (question,) = read_jsonl(path, "source")
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
        ({"choices": ["neon"]}, "'choices' has 1; give 2 to 26"),
        ({"choices": [str(each) for each in range(27)]}, "'choices' has 27"),
        ({"choices": ["neon", " neon "]}, "'choices' holds 'neon' twice"),
        ({"choices": ["e\u0301", "\u00e9"]}, "twice"),
        ({"choices": ["neon", 3]}, "'choices' holds 3; every choice must be a text"),
        ({"choices": "neon"}, "'choices' is 'neon'; write a list"),
        ({"question": "  "}, "'question' is '  '; write a text"),
        ({"cluster": 3}, "'cluster' is 3; write a text or leave it out"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_key(
    tmp_path: Path, bad: dict[str, Any], told: str
) -> None:
    path = write(tmp_path / "q.jsonl", row(), row(**bad))
    with pytest.raises(UserError) as error:
        read_jsonl(path, "source")
    assert f"{path}, line 2: " in str(error.value)
    assert told in str(error.value)


def test_a_misspelt_key_gets_a_hint(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", {"question": "Q?", "choises": ["a", "b"], "answer": "a"})
    with pytest.raises(UserError, match="'choices' is missing; did you mean 'choises'"):
        read_jsonl(path, "source")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "q.jsonl is empty"),
        (b" \n\n", "q.jsonl is empty"),
        (b'{"question": \n', "line 1: malformed JSON at column"),
        (b"\n[1, 2]\n", "line 2: list instead of an object"),
        (b'\n\n{"question": "\xff"}\n', "line 3: byte 15 is not UTF-8"),
        ('{"question": "Q?"}'.encode("utf-16"), "line 1: byte 1 is not UTF-8"),
        (b"[" * 100_000, "line 1: malformed JSON"),
    ],
)
def test_a_file_that_is_not_jsonl_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=told):
        read_jsonl(path, "source")


def test_a_missing_file_and_a_folder_are_named_with_their_key(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(UserError, match=rf"data\.ood: .*{path.name}"):
            read_jsonl(path, "ood")


def test_a_repeated_id_is_named_with_both_places(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", row(id="x"), row(), row(id="x"))
    with pytest.raises(UserError, match=r"line 3: the id 'x' is already that of .*line 1"):
        read_jsonl(path, "source")


def test_all_problems_come_at_once_and_the_list_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", *[row(answer=9, question="") for _ in range(15)])
    with pytest.raises(UserError) as error:
        read_jsonl(path, "source")
    message = str(error.value)
    assert "30 problems" in message
    assert message.count("line") == 20
    assert "and 10 more" in message
