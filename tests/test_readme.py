"""The commands of README.md and docs/: `bash` blocks are run, `bash study` blocks composed.

A `make` target is only looked up in the Makefile: CI runs the targets themselves.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from operator import attrgetter
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from cem_lightning.errors import UserError
from cem_lightning.evolution.config import Config
from tests.workspace import compose_config

CHECKOUT = Path(__file__).parents[1]
FENCE = re.compile(r"^```bash( study)?[ ]*\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
COMMAND = ("-m", "cem_lightning")
TREE = ("conf", "docs", "experiments", "src", "Makefile", "README.md", "pyproject.toml")


@dataclass(frozen=True)
class Block:
    """One fenced block of a document."""

    name: str
    study: bool
    text: str

    def lines(self) -> list[str]:
        """The lines, with those joined that a backslash continues."""
        return self.text.replace("\\\n", " ").splitlines()


def blocks(document: str, name: str = "document") -> list[Block]:
    """The `bash` and `bash study` blocks of a Markdown text."""
    found = FENCE.finditer(document)
    return [
        Block(f"{name}-{at}", bool(study), text)
        for at, (study, text) in enumerate(each.groups() for each in found)
    ]


def documented() -> list[Block]:
    return [
        block
        for path in (CHECKOUT / "README.md", *sorted(CHECKOUT.glob("[de]*s/**/*.md")))
        for block in blocks(path.read_text(encoding="utf-8"), path.stem)
    ]


def dry_run(block: Block) -> list[Config]:
    """The checked configurations of every job that a block's commands would run."""
    commands = [shlex.split(line, comments=True) for line in block.lines()]
    return [compose_config(*overrides) for words in commands if words for overrides in jobs(words)]


def jobs(words: list[str]) -> list[tuple[str, ...]]:
    """The overrides of every job of one command; a sweep has one for each combination."""
    at = next((at for at in range(len(words)) if tuple(words[at : at + 2]) == COMMAND), None)
    assert at is not None, f"a study block holds commands of cem_lightning alone: {words}"
    rest = words[at + 2 :]
    sweep = bool({"-m", "--multirun"} & set(rest))
    given = [word for word in rest if word not in ("-m", "--multirun")]
    assert not [word for word in given if word.startswith("-")], f"options in a study: {words}"
    choices = []
    for override in OverridesParser.create().parse_overrides(given):
        if override.is_sweep_override():
            assert sweep, f"{override.input_line} is a sweep, which needs -m"
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            choices.append([str(override.input_line)])
    return list(product(*choices))


def run_block(block: Block, tree: Path) -> str:
    """What the block's commands print, run one after the other in a copy of the checkout."""
    commands = []
    targets = re.findall(r"^([a-z-]+):", (tree / "Makefile").read_text(), re.MULTILINE)
    for line in block.lines():
        if not re.match(r"\s*make\b", line):
            commands.append(line)
            continue
        for word in shlex.split(line, comments=True)[1:]:
            assert word in targets or "=" in word, f"the Makefile has no target {word!r}"
    path = f"{tree / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=tree,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(tree / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout}"
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the checkout, in which `python` and `.venv/bin/python` are this Python."""
    folder = tmp_path / "checkout"
    for name in TREE:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            folder.mkdir(exist_ok=True)
            shutil.copy(source, folder)
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    "block", [each for each in documented() if not each.study], ids=attrgetter("name")
)
def test_documented_commands_run(block: Block, tree: Path) -> None:
    run_block(block, tree)


@pytest.mark.parametrize(
    "block", [each for each in documented() if each.study], ids=attrgetter("name")
)
def test_documented_studies_compose(block: Block) -> None:
    assert dry_run(block)


def test_the_readme_shows_both_kinds() -> None:
    found = [each.study for each in documented() if each.name.startswith("README")]
    assert set(found) == {True, False}


def test_every_shell_block_is_one_that_is_tested() -> None:
    """So that no block escapes by another spelling of its language."""
    for path in (CHECKOUT / "README.md", *(CHECKOUT / "docs").rglob("*.md")):
        fences = re.findall(r"^\s*```+\s*(\S.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        shell = [each for each in fences if re.match(r"(ba|z)?sh\b|shell|console", each)]
        assert set(shell) <= {"bash", "bash study"}, path


SAMPLE = """\
```bash
make help test   # both are there
X=1 python -c 'import cem_lightning; print("from", cem_lightning.__file__)' > out
cat out \\
  | tr a-z A-Z
```
text
```json
{}
```
```bash study
# two arms
OMP_NUM_THREADS=1 python -m cem_lightning -m +experiment=quickstart \\
  recipe=cem,cpt_only seed=1,2,3 rounds=1
python -m cem_lightning action=compare 'runs=[runs/a,runs/b]'
```
"""


def test_blocks_are_found_and_run(tree: Path) -> None:
    plain, study = blocks(SAMPLE)
    assert (plain.study, study.study) == (False, True)
    assert run_block(plain, tree) == f"FROM {str(tree / 'src').upper()}/CEM_LIGHTNING/__INIT__.PY\n"
    configs = dry_run(study)
    assert [each.seed for each in configs[:-1]] == [1, 2, 3, 1, 2, 3]
    assert [each.recipe.name for each in configs[:-1]] == ["cem"] * 3 + ["cpt_only"] * 3
    assert [str(each) for each in configs[-1].runs] == ["runs/a", "runs/b"]


@pytest.mark.parametrize(
    "command",
    ["make no-such-target", "false", "false | cat", "python -m no_such_module", "no-such-command"],
)
def test_a_command_that_fails_is_noticed(command: str, tree: Path) -> None:
    (block,) = blocks(f"```bash\n{command}\necho done\n```\n")
    with pytest.raises(AssertionError):
        run_block(block, tree)


@pytest.mark.parametrize(
    "arguments",
    [
        "+experiment=no_such_experiment",
        "+experiment=quickstart recipe=no_such_recipe",
        "+experiment=quickstart no_such_key=1",
        "+experiment=quickstart rounds=-1",
        "-m +experiment=quickstart recipe=cem,no_such_recipe",
        "+experiment=quickstart seed=1,2",
        "+experiment=quickstart --no-such-option",
    ],
)
def test_a_study_that_would_not_start_is_noticed(arguments: str) -> None:
    (block,) = blocks(f"```bash study\npython -m cem_lightning {arguments}\n```\n")
    with pytest.raises((AssertionError, HydraException, UserError)):
        dry_run(block)


def test_a_study_block_holds_nothing_else() -> None:
    (block,) = blocks("```bash study\nrm -rf runs\n```\n")
    with pytest.raises(AssertionError, match="cem_lightning alone"):
        dry_run(block)
