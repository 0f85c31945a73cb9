"""The results as a Markdown table: `python benchmarks/report.py` writes it into docs/benchmarks.md.

Computes nothing: every figure comes from the JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "answering.json"
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- answering.json -->", "<!-- end of answering.json -->"


def table(results: dict[str, Any]) -> str:
    """Machine, versions and one line a row."""
    machine, versions = results["machine"], results["versions"]
    memory = machine["memory_bytes"] / 2**30
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {memory:.0f} GiB, "
        f"{machine['threads']} thread(s)"
        + (f", {machine['gpu']}" if machine["gpu"] else "")
        + f"; Python {versions['python']}, torch {versions['torch']}, transformers "
        f"{versions['transformers']}, lm-eval {versions['lm_eval']}; {results['date']}.",
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


def with_table(page: str, results: dict[str, Any]) -> str:
    """The page with the table of these results in place of the one it has."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(results)}\n{END}{after}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _spread(spread: list[float] | None) -> str:
    return f" ({_figure(spread[0])} to {_figure(spread[1])})" if spread else ""


if __name__ == "__main__":
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
