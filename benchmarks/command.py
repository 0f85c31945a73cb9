"""What the scripts of this folder share: arguments, the run of their measurements, the JSON.

Measures nothing itself.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from benchmarks.report import ROOT, results_of, table
from benchmarks.rows import Row

SEED = 1


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    quick: bool
    repeats: int


Measurement = Callable[[Plan], Iterator[Row]]


def run(
    script: str,
    description: str,
    measurements: Mapping[str, Measurement],
    peers: Mapping[str, str],
) -> None:
    """Measure as the command line says, write the JSON, print the table.

    Args:
        script: names the results: SCRIPT.json, with -quick, or -partial for a part of them.
        measurements: by name; one called "gpu" needs a CUDA device.
        peers: the libraries compared with, by what the JSON calls each of their distributions.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="less of everything, two repeats")
    parser.add_argument("--only", choices=measurements, action="append", help="may be repeated")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch, for both sides")
    options = parser.parse_args()
    versions = machine.versions(peers)
    if missing := [peers[name] for name in peers if versions[name] is None]:
        sys.exit(
            f"{', '.join(missing)} is not installed: run `make bench`, or pip install "
            "--constraint constraints.txt --requirement benchmarks/requirements.txt"
        )
    torch.set_num_threads(options.threads)
    plan = Plan(options.quick, 2 if options.quick else 5)
    results: dict[str, Any] = {
        "machine": machine.machine(options.threads),
        "versions": versions,
        "seeds": [SEED],
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "quick": plan.quick,
        "rows": [],
        "not_run": [],
    }
    started = time.perf_counter()
    for name in options.only or measurements:
        if name == "gpu" and not torch.cuda.is_available():
            results["not_run"].append("the rows of a GPU, since there is none on this machine")
            continue
        for row in measurements[name](plan):
            results["rows"].append(row.record())
            _write(script, results, started, "-partial")  # survives an interruption
            _say(
                started,
                f"{name}: {row.measure}: {row.ours:.4g}"
                + (f" against {row.peer:.4g}" if row.peer is not None else "")
                + (f", ratio {row.ratio:.4g}" if row.ratio is not None else "")
                + f"; {row.target}: {'holds' if row.holds else 'MISSED'}",
            )
    kind = "-partial" if options.only else "-quick" if options.quick else ""
    path = _write(script, results, started, kind)
    print(table(results))
    _say(started, f"written: {path.relative_to(ROOT)}")


def _write(script: str, results: dict[str, Any], started: float, kind: str) -> Path:
    results["seconds"] = round(time.perf_counter() - started)
    path = results_of(f"{script}{kind}")
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return path


def _say(started: float, text: str) -> None:
    print(f"[{time.perf_counter() - started:5.0f} s] {text}", file=sys.stderr, flush=True)
