"""What the figures were measured on: machine and versions. Measures nothing itself."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_LIBRARIES = {
    "torch": "torch",
    "transformers": "transformers",
    "tokenizers": "tokenizers",
    "ours": "cem-lightning",
}


def machine(threads: int) -> dict[str, Any]:
    """Processor, cores this process may use, memory in bytes, threads, load and GPU."""
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "threads": threads,
        "load_before": round(os.getloadavg()[0], 2),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def versions(peers: Mapping[str, str]) -> dict[str, str | None]:
    """Of Python, of the libraries used and of the peers; None for one that is not installed.

    Args:
        peers: name of each distribution by what it is called in the results.
    """
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name, distribution in {**_LIBRARIES, **peers}.items():
        try:
            found[name] = version(distribution)
        except PackageNotFoundError:
            found[name] = None
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
