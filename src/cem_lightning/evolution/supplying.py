"""The stage that supplies synthetic texts about the passages that a round is to read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cem_lightning.corpus.assemble import to_be_read
from cem_lightning.evolution.job import Job
from cem_lightning.evolution.stored import (
    read_mistakes,
    read_passages,
    read_stored_pools,
    read_triaged,
)
from cem_lightning.knowledge.leaks import Leaks
from cem_lightning.knowledge.supply.config import SupplyConfig
from cem_lightning.knowledge.supply.generating import read, synthesize
from cem_lightning.knowledge.supply.kinds import tasks
from cem_lightning.knowledge.supply.records import Supplied
from cem_lightning.storage.atomic import write_jsonl


def supply(job: Job) -> dict[str, Any]:
    """Passages in other words and items about them, by a model or by rules, and what was rejected.

    Raises:
        UserError: if an endpoint would cost too much, or cannot be asked.
    """
    from cem_lightning.evolution.writers import writer_of

    config = SupplyConfig(**job.config["supply"])
    passages = to_be_read(
        read_passages(job.inputs["passages"]), read_triaged(job.inputs["triaged"])
    )
    asked = tuple(tasks(passages, read_mistakes(job.inputs["mistakes"]), config))
    made = Supplied((), (), ())
    with job.progress.stage(job.title, total=len(asked), unit="texts") as task:
        if asked:
            leaks = Leaks(read_stored_pools(job.inputs["pools"]))
            made = synthesize(
                asked, writer_of(job, config.response_tokens), leaks.find, task.advance
            )
        if "reading" in config.kinds:
            made = replace(made, items=(*made.items, *read(passages, job.config["seed"])))
        kept = len(made.passages) + len(made.items)
        task.advance(0, f"{kept} kept, {len(made.rejected)} rejected")
    write_jsonl(job.folder / "synthetic.jsonl", (each.as_dict() for each in made.passages))
    write_jsonl(job.folder / "items.jsonl", (each.as_dict() for each in made.items))
    write_jsonl(job.folder / "rejected.jsonl", (each.as_dict() for each in made.rejected))
    return made.counts
