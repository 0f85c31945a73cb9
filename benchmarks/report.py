"""The results as a Markdown table: `python benchmarks/report.py` writes it into docs/benchmarks.md.

Computes nothing: every figure comes from the JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
SCRIPTS = ("answering", "training", "knowledge")
_OWN = ("python", "tokenizers", "ours")  # versions not named after the library, or not of interest


def results_of(script: str) -> Path:
    """The JSON that a script writes."""
    return ROOT / "benchmarks" / "results" / f"{script}.json"


def marks(script: str) -> tuple[str, str]:
    """Between what the page has the table of a script."""
    return f"<!-- {script}.json -->", f"<!-- end of {script}.json -->"


def table(results: dict[str, Any]) -> str:
    """Machine, versions and one line a row."""
    machine, versions = results["machine"], results["versions"]
    memory = machine["memory_bytes"] / 2**30
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {memory:.0f} GiB, "
        f"{machine['threads']} thread(s)"
        + (f", {machine['gpu']}" if machine["gpu"] else "")
        + f"; Python {versions['python']}, "
        + ", ".join(
            f"{name.replace('_', '-')} {version}"
            for name, version in versions.items()
            if name not in _OWN
        )
        + f"; {results['date']}.",
        "",
        "| measure | unit | ours | peer | ratio (lowest to highest) | target | holds |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        cells = [
            row["measure"],
            row["unit"],
            _figure(row["ours"]),
            _figure(row["peer"]),
            _figure(row["ratio"]) + _spread(row["spread"]),
            row["target"],
            "yes" if row["holds"] else "**no**",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"\nNot run: {each}." for each in results["not_run"]]
    return "\n".join(lines)


def with_table(page: str, script: str, results: dict[str, Any]) -> str:
    """The page with the table of these results in place of the one it has."""
    begin, end = marks(script)
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{table(results)}\n{end}{after}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _spread(spread: list[float] | None) -> str:
    return f" ({_figure(spread[0])} to {_figure(spread[1])})" if spread else ""


def main() -> None:
    """Every table of which there are results."""
    page = PAGE.read_text(encoding="utf-8")
    for script in SCRIPTS:
        if results_of(script).exists():
            found = json.loads(results_of(script).read_text(encoding="utf-8"))
            page = with_table(page, script, found)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
