"""Peak memory of a trainer: each trains in a process of its own.

As a script it is that process: `python benchmarks/training_memory.py ours`.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # in place of this script's folder

from benchmarks.rows import Row, Target  # noqa: E402

VOCABULARY, HIDDEN, LAYERS = 152_064, 256, 4
TOKENS, EXAMPLES = 1024, 8  # of a step; all of the same length, so that nobody pads
STEPS = 2  # from the second on the optimizer has its moments while the logits are there


def memory(repeats: int) -> Row:
    """What training adds, at its peak, to a process that has loaded the model.

    So neither the libraries nor the weights count, which both have alike, but gradients and the
    optimizer do. The ratio of whole processes stands in the details.
    """
    found: dict[str, list[dict[str, int]]] = {"ours": [], "peer": []}
    for _ in range(repeats):
        for side, measured in found.items():
            measured.append(_alone(side))
    added = {
        side: [(each["peak"] - each["loaded"]) / 2**30 for each in measured]
        for side, measured in found.items()
    }
    whole = {
        side: statistics.median(each["peak"] for each in measured) / 2**30
        for side, measured in found.items()
    }
    own, theirs = (statistics.median(added[side]) for side in ("ours", "peer"))
    ratios = [one / two for one, two in zip(added["ours"], added["peer"], strict=True)]
    return Row(
        "vocabulary 152k, hidden 256, steps of 1,024 tokens: peak memory above that of the loaded "
        "model; HF Trainer",
        "GiB",
        own,
        Target("at most", 0.5),
        theirs,
        own / theirs,
        repeats,
        (min(ratios), max(ratios)),
        {
            "whole_process_gib": whole,
            "ratio_of_whole_processes": whole["ours"] / whole["peer"],
            "gradients_and_optimizer_gib": 3 * found["ours"][0]["weights"] / 2**30,
        },
    )


def _alone(side: str) -> dict[str, int]:
    told = subprocess.run(
        [sys.executable, __file__, side], check=True, capture_output=True, text=True
    )
    measured: dict[str, int] = json.loads(told.stdout.splitlines()[-1])
    return measured


def _train(side: str) -> dict[str, int]:
    """Some steps: the bytes that are resident before and at their peak, and of the weights."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    from benchmarks import trainers
    from benchmarks.models import random_network
    from benchmarks.training_sets import TrainingSet, recipe
    from cem_lightning.corpus.examples import Example

    torch.set_num_threads(1)
    length = TOKENS // EXAMPLES
    examples = tuple(
        Example("passage", tuple(range(at, at + length)), (True,) * length)
        for at in range(STEPS * EXAMPLES)
    )
    data = TrainingSet(examples, recipe("memory", STEPS * TOKENS, "passage"), EXAMPLES, 1)
    network: Any = random_network(HIDDEN, LAYERS, VOCABULARY)
    loaded = _resident("VmRSS")
    with tempfile.TemporaryDirectory() as folder:
        work = trainers.Work(network, data, Path(folder) / "examples", None, keep=False)
        (trainers.ours(work) if side == "ours" else trainers.hf_trainer(work))()
    weights = sum(each.nbytes for each in network.parameters())
    return {"loaded": loaded, "peak": _resident("VmHWM"), "weights": weights}


def _resident(name: str) -> int:
    """Bytes by /proc, whose peak is this program's own; getrusage's may be its parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {name}: memory is measured on Linux only")
    return 1024 * int(found[1])


if __name__ == "__main__":
    print(json.dumps(_train(sys.argv[1])))
