"""What cannot be read, or names nothing, is told in one paragraph with what to type instead."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.cli.test_command import command
from tests.workspace import compose_config


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("recipe.token=5", "recipe.token: there is no such key; did you mean 'recipe.tokens'?"),
        ("recipie.tokens=5", "did you mean 'recipe.tokens'?"),
        ("recip=cem", "did you mean 'recipe'?"),
        ("data.source=x", "data.source: the chosen data has no such key; add data=jsonl\n"),
        ("trainer.lora.dora=true", "the chosen trainer has no such key; add trainer=lora\n"),
        ("+seed=1", "leave out the plus sign"),
        ("model=smolm2", "did you mean 'smollm2'? There are "),
        ("+experiment=smok", "did you mean 'smoke'? There are "),
        ("seed=\uff11", "type seed=1\n"),
        ("name", "neither KEY=VALUE nor GROUP=OPTION"),
        ("~recipe.foo", "recipe.foo: there is no such key"),
        ("runs.0=a", "runs.0=a"),
    ],
)
def test_one_paragraph_says_what_is_wrong(tmp_path: Path, typed: str, said: str) -> None:
    done = command(typed, folder=tmp_path, expect=2)
    assert done.stderr.startswith("error: ") and said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "HYDRA" not in done.stderr and "use +" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "folder", ["a,b", "it's", "a[b", "a]b", "a=b", "~/x", 'say "x"', "back\\slash"]
)
def test_a_value_that_needs_quotes_is_shown_with_them(tmp_path: Path, folder: str) -> None:
    """What the message says to type, a shell and Hydra take for the folder that was meant."""
    if folder != "back\\slash":  # which is read as it is
        done = command(f"run_dir={folder}", folder=tmp_path, expect=2)
        shown = next(
            done.stderr[at:]
            for at in range(len(done.stderr))
            if done.stderr[at:].startswith("'run_dir=\"")
        )
        lexer = shlex.shlex(shown, posix=True, punctuation_chars=",")
        lexer.whitespace_split = True
        (quoted, *_) = list(lexer)
        assert compose_config(quoted).run_dir == Path(folder).expanduser()


def test_a_sweep_over_a_mistyped_key_leaves_nothing(tmp_path: Path) -> None:
    """Wherever the flag stands among the overrides."""
    done = command("seed=1,2", "-m", "recipe.tokns=1,2", folder=tmp_path, expect=2)
    assert done.stderr == (
        "error: recipe.tokns: there is no such key; did you mean 'recipe.tokens'?\n"
    )
    assert not list(tmp_path.iterdir())
