"""Whoever writes for a stage: the model under training, or one behind an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.generating import generate
from cem_lightning.evolution.job import Job
from cem_lightning.knowledge.endpoint import ChatEndpoint
from cem_lightning.knowledge.endpoint_config import EndpointConfig
from cem_lightning.knowledge.endpoint_messages import Messages
from cem_lightning.knowledge.responses import ResponseCache
from cem_lightning.knowledge.supply.generators import CallableGenerator, Generator
from cem_lightning.models.loading import load_model

_AT_ONCE = 32  # texts that are lost when the stage is killed


def writer_of(job: Job, response_tokens: int) -> Generator:
    """The endpoint that the job names, or else the model it is handed.

    Args:
        response_tokens: longest text that the model under training writes.
    """
    if "endpoint" in job.config:
        config = EndpointConfig(**job.config["endpoint"], **job.access)
        return ChatEndpoint(config, lambda told: job.progress.say(f"{job.title}: {told}"))
    model = load_model(job.inputs["model"], job.model_config(), job.inputs.get("weights"))
    answering = AnsweringConfig(**job.config["answering"])
    answering = answering.model_copy(update={"response_tokens": response_tokens})
    own = CallableGenerator(
        "the model under training",
        lambda prompts, advance: generate(model, prompts, answering, advance),
    )
    return own if job.kept is None else _Kept(own, job.kept)


class _Kept:
    """A generator whose answers outlive the process, until the stage that asks has a result."""

    def __init__(self, generator: Generator, folder: Path) -> None:
        self.name = generator.name
        self._generator = generator
        self._cache = ResponseCache(folder / "written", key="store_dir")

    def complete(self, prompts: Sequence[Messages], advance: Callable[[int], None]) -> list[str]:
        requests = [{"messages": [asdict(turn) for turn in prompt]} for prompt in prompts]
        answers = [self._cache.get(request) for request in requests]
        rest = [at for at, answer in enumerate(answers) if answer is None]
        advance(len(prompts) - len(rest))
        # of like length, so that a batch has little padding
        rest.sort(key=lambda at: len(prompts[at][-1].content))
        for start in range(0, len(rest), _AT_ONCE):
            chunk = rest[start : start + _AT_ONCE]
            texts = self._generator.complete([prompts[at] for at in chunk], advance)
            for at, text in zip(chunk, texts, strict=True):
                answers[at] = self._cache.put(requests[at], {"content": text})
        return [str(answer["content"]) for answer in answers if answer is not None]
