"""Questions asked in several processes from a program, as the stage `answer` asks them in a run.

Keeps nothing in a store: for measurements, and for questions that belong to no evolution.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.records import Answer
from cem_lightning.evolution.processes import run_in_processes
from cem_lightning.evolution.stored import POOLS, read_answers
from cem_lightning.models.config import ModelConfig
from cem_lightning.progress import Progress, SilentProgress
from cem_lightning.questions.records import Question
from cem_lightning.storage.atomic import write_json, write_jsonl


def ask_in_processes(
    model: ModelConfig,
    questions: Iterable[Question],
    config: AnsweringConfig,
    *,
    processes: int,
    threads: int | None = None,
    weights: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Answer, ...]:
    """The answer to every question, in the order asked: those of one process, to the bit.

    Args:
        model: `path` is a folder that transformers reads.
        processes: each loads the model onto a device of its own; one is started as well, so that
            what starting costs can be compared.
        threads: of each process; None shares out those that PyTorch has here.
        weights: what a training round left behind, if not the model as it is.

    Raises:
        UserError: if there are fewer GPUs than processes, or something given cannot be used.
        RuntimeError: with the traceback of a process that failed; all have ended then.
    """
    from cem_lightning.models.loading import device_kind

    settings = model.model_dump(mode="json", exclude={"path"}) | {"device": device_kind(model)}
    answering = config.model_copy(update={"blind": False}).model_dump(mode="json")
    with TemporaryDirectory() as work:
        folder = Path(work)
        inputs = {"model": model.path, "pools": str(folder / "pools")}
        if weights is not None:
            inputs["weights"] = str(weights)
        for name in POOLS:
            rows = questions if name == "source" else ()
            write_jsonl(folder / "pools" / f"{name}.jsonl", (each.as_dict() for each in rows))
        job = {"stage": "answer", "inputs": inputs}
        write_json(
            folder / "job.json", job | {"config": {"answering": answering, "model": settings}}
        )
        run_in_processes(folder, processes, "answer", progress or SilentProgress(), threads=threads)
        return tuple(read_answers(folder / "answers" / "source.jsonl"))
