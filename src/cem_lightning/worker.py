"""``python -m cem_lightning.worker FOLDER [TITLE]``: runs the one stage that a folder describes.

Never the Hydra command, so that whoever starts several of these starts no sweep again. Started by
torchrun or SLURM, they share it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cem_lightning.evolution.processes import is_rank, run_as_rank
from cem_lightning.evolution.runner import run_stage
from cem_lightning.progress import SilentProgress


def main() -> None:
    """Run the stage and print its record as JSON."""
    folder = Path(sys.argv[1])
    title = sys.argv[2] if len(sys.argv) > 2 else folder.name
    if is_rank():
        run_as_rank(run_stage, folder, title)
    else:
        print(json.dumps(run_stage(folder, title, SilentProgress())))


if __name__ == "__main__":
    main()
