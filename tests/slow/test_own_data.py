"""Questions and texts nothing else here uses, taken through an evolution by the README alone."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cem_lightning.reporting.run_folder import RunRecord
from tests.workspace import write_rows

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
NAMES = [
    "Skarvik",
    "Ambrose",
    "Tilloch",
    "Maresund",
    "Quellen",
    "Brandwick",
    "Ostrel",
    "Pennarth",
    "Halvora",
    "Dunmere",
    "Corrigal",
    "Ferrin",
    "Ulmstad",
    "Vessely",
    "Wrackham",
    "Yarrowby",
    "Zennick",
    "Lorvane",
    "Inverpole",
    "Kestrand",
]
KEEPERS = [
    "Ada Birch",
    "Tom Ferris",
    "Ines Holt",
    "Karl Brandt",
    "Maud Lister",
    "Owen Pryce",
    "Rosa Vidal",
    "Nils Aker",
    "Edith Crane",
    "Hugo Stern",
    "Lena Frost",
    "Paul Grady",
    "Vera Lund",
    "Colin Reid",
    "Sofia Marsh",
    "Erik Dahl",
    "Anna Poole",
    "Jonas Weir",
    "Clara Finch",
    "Max Tully",
]


def facts(number: int) -> dict[str, tuple[str, list[str]]]:
    """Stem and choices (the right one first) of each fact about a lighthouse."""

    def others(values: list[str]) -> list[str]:
        return [values[(number + step) % len(values)] for step in (0, 3, 7, 11)]

    name = f"the {NAMES[number]} lighthouse"
    heights = [f"{18 + 2 * each} metres" for each in range(20)]
    years = [str(1801 + 7 * each) for each in range(20)]
    return {
        "keeper": (f"Who was the first keeper of {name}?", others(KEEPERS)),
        "height": (f"How tall is {name}?", others(heights)),
        "year": (f"In which year was {name} first lit?", others(years)),
    }


def write_world(folder: Path) -> None:
    """60 questions in two files, and a folder of Markdown that tells the facts."""
    source: list[dict[str, object]] = []
    heldout: list[dict[str, object]] = []
    (folder / "texts").mkdir()
    for number, name in enumerate(NAMES):
        asked = facts(number)
        for at, (subject, (stem, choices)) in enumerate(asked.items()):
            turned = choices[at + 1 :] + choices[: at + 1]
            row: dict[str, object] = {
                "question": stem,
                "choices": turned,
                "answer": "ABCD"[turned.index(choices[0])],
                "subject": subject,
                "cluster": name,
            }
            (heldout if (number + at) % 3 == 0 else source).append(row)
        keeper, height, year = (choices[0] for _, choices in asked.values())
        (folder / "texts" / f"{name.lower()}.md").write_text(
            f"# The {name} lighthouse\n\nIts lamp shone for the first time in {year}. The tower "
            f"rises {height} above the rock.\n\n## People\n\n{keeper} was the first to keep the "
            f"light of {name}.\n",
            encoding="utf-8",
        )
    write_rows(folder / "q.jsonl", source)
    write_rows(folder / "h.jsonl", heldout)


def documented_command() -> list[str]:
    """The README's command for one's own data."""
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^python -m (cem_lightning .*quickstart data=jsonl .*)$", readme, re.M)
    return shlex.split(line)


def test_the_readme_is_enough(tmp_path: Path) -> None:
    write_world(tmp_path)
    command = documented_command()
    short = ["rounds=1", "recipe.tokens=2500", "data.slice=20"]
    for arguments in (["action=check"], []):
        done = subprocess.run(
            [sys.executable, "-m", *command, *short, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("report: out/report.html" in done.stdout) == (not arguments)
        if arguments:
            assert "40 questions" in done.stdout and "20 questions" in done.stdout
    record = RunRecord.read(tmp_path / "out")
    _, after = record.rounds
    assert [after["pools"][name]["n"] for name in ("source", "heldout")] == [40, 20]
    assert after["mistakes"]["wrong"] > 0
    assert after["tokens"]["passage"] > 0 and after["tokens"]["normative"] > 0
    for kind in ("passage", "normative"):
        losses = [float(row[f"loss/{kind}"]) for row in record.curves if f"loss/{kind}" in row]
        third = len(losses) // 3
        assert sum(losses[-third:]) < 0.8 * sum(losses[:third]), (kind, losses)
    stories = [json.loads(line) for line in (tmp_path / "out/mistakes.jsonl").open()]
    assert any("lighthouse" in passage["text"] for each in stories for passage in each["passages"])
