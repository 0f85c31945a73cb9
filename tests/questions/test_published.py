"""Published sets as their authors hand them out: small files of each form, and real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.errors import UserError
from cem_lightning.questions.config import (
    CevalData,
    CmmluData,
    MmluData,
    PublishedData,
    PublishedName,
    XiezhiData,
)
from cem_lightning.questions.pools import Pools, read_pools
from cem_lightning.questions.records import Question
from tests.workspace import compose_config

REAL = Path(__file__).parents[3] / "shared" / "data"
CONFIGS = {"xiezhi": XiezhiData, "mmlu": MmluData, "ceval": CevalData, "cmmlu": CmmluData}


def read(name: PublishedName, path: Path | None, seed: int = 1, **more: Any) -> Pools:
    config: PublishedData = CONFIGS[name](
        **({"reader": name, "slice": 1, "path": path, "heldout_share": 0} | more)
    )
    return read_pools(config, seed)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def xiezhi(path: Path, *rows: tuple[str, str, str, list[str]]) -> Path:
    keys = ("question", "options", "answer", "labels")
    lines = [json.dumps(dict(zip(keys, row, strict=True)), ensure_ascii=False) for row in rows]
    return write(path, "\n".join(lines) + "\n")


MMLU = "Find the degree of 2.,0,4,2,6,B\n"


def test_xiezhi(tmp_path: Path) -> None:
    path = xiezhi(
        tmp_path / "tasks" / "xiezhi_train_chn" / "xiezhi.v1.json",
        (
            "《义勇军进行曲》的曲作者是_____",
            "聂耳\n冼星海\n光未然\n田汉",
            "聂耳",
            ["艺术学", "音乐"],
        ),
        ("Which letter?", "B\nA\nC\nD", "A", ["文学"]),
    )
    for given in (path, path.parent):
        song, letter = read("xiezhi", given).source
        assert song == Question(
            "xiezhi/train_chn/1",
            "《义勇军进行曲》的曲作者是_____",
            ("聂耳", "冼星海", "光未然", "田汉"),
            0,
            cluster="xiezhi/train_chn/1",
            kind="艺术学",
        )
        assert letter.gold == "A"


def test_mmlu(tmp_path: Path) -> None:
    quoted = '"Is it, of these,\n the first?",a,"b, c",d,e,C\n'
    write(tmp_path / "data" / "test" / "abstract_algebra_test.csv", MMLU + quoted)
    write(tmp_path / "data" / "val" / "abstract_algebra_val.csv", "Another?,a,b,c,d,A\n")
    pools = read("mmlu", tmp_path / "data", heldout=tmp_path / "data" / "val")
    first, second = pools.source
    assert first == Question(
        "mmlu/abstract_algebra_test/1",
        "Find the degree of 2.",
        ("0", "4", "2", "6"),
        1,
        cluster="mmlu/abstract_algebra_test/1",
        kind="abstract_algebra",
    )
    assert second.choices == ("a", "b, c", "d", "e")
    assert [question.id for question in pools.heldout] == ["mmlu/abstract_algebra_val/1"]


def test_ceval(tmp_path: Path) -> None:
    header = "id,question,A,B,C,D,answer"
    write(tmp_path / "val" / "law_val.csv", f"{header}\n0,下列哪项____,甲,乙,丙,丁,C\n")
    write(
        tmp_path / "dev" / "law_dev.csv", f"{header},explanation\n0,又是____,甲,乙,丙,丁,D,因为\n"
    )
    write(tmp_path / "test" / "law_test.csv", "id,question,A,B,C,D\n0,问,甲,乙,丙,丁\n")
    pools = read("ceval", tmp_path, heldout=tmp_path / "dev")
    (asked,), (held,) = pools.source, pools.heldout
    assert (asked.id, asked.kind, asked.gold) == ("ceval/law_val/2", "law", "丙")
    assert (held.id, held.kind, held.gold) == ("ceval/law_dev/2", "law", "丁")
    with pytest.raises(UserError, match=r"law_test.csv has no answers.*give the folder val"):
        read("ceval", tmp_path / "test")


def test_cmmlu(tmp_path: Path) -> None:
    header = ",Question,A,B,C,D,Answer"
    write(tmp_path / "test" / "anatomy.csv", f"{header}\n0,壁胸膜的分部不包括,肋,肺,膈,顶,B\n")
    write(tmp_path / "dev" / "anatomy.csv", f"{header}\n0,属于蝶骨,垂,棘,破,视,A\n")
    pools = read("cmmlu", tmp_path, heldout=tmp_path / "dev")
    (asked,), (held,) = pools.source, pools.heldout
    assert (asked.id, asked.kind, asked.gold) == ("cmmlu/test/anatomy/2", "anatomy", "肺")
    assert (held.id, held.gold) == ("cmmlu/dev/anatomy/2", "垂")


def test_rows_that_cannot_be_used_are_left_out_and_counted(tmp_path: Path) -> None:
    path = xiezhi(
        tmp_path / "train.jsonl",
        ("Good?", "a\nb\nc", "a", ["x"]),
        ("Twice?", "a\na\nb", "a", ["x"]),
        ("Nowhere?", "a\nb\nc", "d", ["x"]),
        ("good", "c\nb\na", "b", ["y"]),  # the first again: same choices
        ("Empty?", "a\n\nb", "a", ["x"]),
        ("One?", "a", "a", ["x"]),
        (" ", "a\nb", "a", ["x"]),
    )
    heldout = xiezhi(
        tmp_path / "held.jsonl", ("Good?", "a\nz", "a", ["x"]), ("H?", "a\nb", "a", ["x"])
    )
    ood = write(tmp_path / "ood_test.csv", "h,b,a,c,d,B\nOther?,a,b,c,d,A\n")
    pools = read("xiezhi", path, heldout=heldout, ood=ood, ood_reader="mmlu")
    assert [[q.question for q in pool] for _, pool in pools.items()] == [
        ["Good?"],
        ["H?"],
        ["Other?"],
    ]
    assert pools.reasons == {
        "the same question came before": 3,
        "two choices are the same": 1,
        "the answer is not among the choices": 1,
        "a choice is empty": 1,
        "not 2 to 26 choices": 1,
        "the question is empty": 1,
    }
    assert f"{path}, line 2: two choices are the same" in pools.left_out
    assert f"{ood}, line 1: the same question came before" in pools.left_out


def test_a_set_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a_val.csv", "id,question,A,B,C,D,answer\n" + "0,Q?,a,b,c,d,\n" * 3)
    with pytest.raises(UserError, match=r"line 2 and 2 rows more: none can be used: the answer is"):
        read("ceval", path)


def test_ood_may_be_a_file_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path / "x_test.csv", MMLU)
    ood = write(tmp_path / "q.csv", "question,A,B,answer\nQ?,a,b,A\n")
    assert [question.id for question in read("mmlu", path, ood=ood).ood] == ["ood-2"]
    write(ood, "question,A,B,answer\nQ?,a,a,A\n")
    with pytest.raises(UserError, match=r"q.csv, line 2: .*twice"):
        read("mmlu", path, ood=ood)


def test_without_a_heldout_a_share_of_each_subject_is_held_out(tmp_path: Path) -> None:
    for subject in ("law", "art"):
        rows = "".join(f"{subject} {n}?,a,b,c,d,A\n" for n in range(10))
        write(tmp_path / f"{subject}_test.csv", rows)
    pools = read("mmlu", tmp_path, heldout_share=0.3)
    assert [question.kind for question in pools.heldout] == ["art"] * 3 + ["law"] * 3


@pytest.mark.parametrize("name", ["mmlu", "xiezhi"])
def test_subjects_may_be_chosen_and_a_misspelt_one_is_named(
    tmp_path: Path, name: PublishedName
) -> None:
    for subject in ("law", "art"):
        write(tmp_path / "mmlu" / f"{subject}_test.csv", f"{subject}?,a,b,c,d,A\n")
        xiezhi(tmp_path / "xiezhi" / f"{subject}.jsonl", (f"{subject}?", "a\nb", "a", [subject]))
    pools = read(name, tmp_path / name, subjects=["law"])
    assert [question.question for question in pools.source] == ["law?"]
    with pytest.raises(UserError, match=r"data.subjects: there is no 'arts' .*mean 'art'"):
        read(name, tmp_path / name, subjects=["arts"])
    with pytest.raises(UserError, match=r"no 'physics' .*it has art, law"):
        read(name, tmp_path / name, subjects=["physics"])


@pytest.mark.parametrize(
    ("name", "repository", "files"),
    [
        ("xiezhi", "MikeGu721/XiezhiBenchmark", "xiezhi.v1.json"),
        ("mmlu", "hendrycks/test", "SUBJECT_test.csv"),
        ("ceval", "ceval/ceval-exam", "SUBJECT_val.csv"),
        ("cmmlu", "haonan-li/cmmlu", "SUBJECT.csv"),
    ],
)
def test_missing_files_name_where_to_get_them(
    tmp_path: Path, name: PublishedName, repository: str, files: str
) -> None:
    (tmp_path / "empty").mkdir()
    for path in (None, tmp_path / "none", tmp_path / "empty"):
        with pytest.raises(UserError) as error:
            read(name, path)
        assert repository in str(error.value)
        assert files in str(error.value)
        assert "data.path" in str(error.value)


def test_a_folder_above_the_files_names_their_folders(tmp_path: Path) -> None:
    xiezhi(tmp_path / "tasks" / "xiezhi_train_chn" / "xiezhi.v1.json", ("Q?", "a\nb", "a", []))
    with pytest.raises(UserError, match="one of its folders tasks/xiezhi_train_chn"):
        read("xiezhi", tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "text", "told"),
    [
        ("xiezhi", "q.jsonl", '{"question": "Q?"}\n', "line 1: not a row of Xiezhi"),
        ("xiezhi", "q.jsonl", "\n[]\n", "line 2: list instead of an object"),
        ("mmlu", "q.csv", "question,a,b,c,d,answer\nQ?,a,b,c,A\n", "line 2: 5 cells instead of"),
        ("ceval", "q.csv", "id,question,A,B,C,answer\n0,Q?,a,b,c,A\n", "no column 'D'"),
        ("cmmlu", "q.csv", "a,b\n0,1\n", "no column 'question'"),
    ],
)
def test_another_form_is_refused(
    tmp_path: Path, name: PublishedName, file: str, text: str, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        read(name, write(tmp_path / file, text))


@pytest.mark.parametrize("name", ["xiezhi", "mmlu", "ceval", "cmmlu"])
def test_the_shipped_values_say_what_they_read(name: str) -> None:
    config = compose_config(f"data={name}", "data.subjects=[law]").data
    assert isinstance(config, PublishedData)
    assert (config.reader, config.path, config.heldout_share) == (name, None, 0.3)
    assert config.subjects == ("law",)


@pytest.mark.skipif(not (REAL / "xiezhi").is_dir(), reason="the published files are not here")
def test_xiezhi_as_published() -> None:
    pools = read("xiezhi", REAL / "xiezhi" / "train_eng.jsonl")
    assert len(pools.source) == 2467
    assert pools.reasons == {"two choices are the same": 10, "the same question came before": 1}
    assert sum(question.kind == "History" for question in pools.source) == 47


@pytest.mark.skipif(not (REAL / "mmlu").is_dir(), reason="the published files are not here")
def test_mmlu_as_published() -> None:
    pools = read("mmlu", REAL / "mmlu", heldout=REAL / "mmlu" / "val", subjects=["anatomy"])
    assert (len(pools.source), len(pools.heldout)) == (135, 14)
    assert pools.left_out == ()
    assert {question.kind for question in pools.source} == {"anatomy"}
