"""The actions of the command line: which function carries out which.

Imports only the module of the action that is wanted.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from cem_lightning.evolution.config import Action, Config

_FUNCTIONS: dict[Action, str] = {
    "check": "check:check",
    "compare": "comparison:compare_configured",
    "dashboard": "dashboard:make_dashboard",
    "export": "export:export_model",
    "harness": "harness:write_harness",
    "inspect": "inspection:inspect_run",
    "prune": "prune:prune",
    "trace": "trace:trace",
}


def act(config: Config, sweep: str | None = None) -> Path | None:
    """Carry out the configured action and return the folder with its results, if it has one.

    Args:
        sweep: names the sweep that this is a job of, if it is one.

    Raises:
        UserError: if something the user gave cannot be used.
    """
    if config.action == "run":
        from cem_lightning.evolution.run import run

        return run(config, sweep)
    module, _, name = _FUNCTIONS[config.action].partition(":")
    function = getattr(import_module(f"cem_lightning.evolution.{module}"), name)
    folder: Path | None = function(config)
    return folder
