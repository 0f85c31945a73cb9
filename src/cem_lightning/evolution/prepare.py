"""What the user gave, read and checked before any stage; and a finished course, read back.

Every action on an evolution begins here; what it does then is its own module's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cem_lightning.errors import UserError
from cem_lightning.evolution.config import Config
from cem_lightning.evolution.loop import Course, Loop
from cem_lightning.evolution.processes import refuse_no_slurm
from cem_lightning.evolution.runner import Runner
from cem_lightning.knowledge.corpora import Corpus
from cem_lightning.knowledge.endpoint import check_endpoint
from cem_lightning.knowledge.retrievers import retriever_of
from cem_lightning.progress import SilentProgress
from cem_lightning.questions.pools import Pools, read_pools
from cem_lightning.storage.digests import digest_path
from cem_lightning.storage.store import Part, Store


@dataclass(frozen=True)
class Prepared:
    """The user's questions, corpus and model, all of them usable.

    Attributes:
        source: the model's folder, the file it is to be converted from, or None for a random
            model.
        device: kind of the device, "cpu" or "cuda".
    """

    config: Config
    pools: Pools
    corpus: Corpus
    source: Path | None
    device: str

    def model(self, runner: Runner) -> Part:
        """The model's folder; a GGUF is converted, and a random model made, once and kept.

        Raises:
            UserError: if it cannot be trained as configured.
        """
        from cem_lightning.models.loading import count_layers
        from cem_lightning.training.guards import refuse_all_frozen

        part = self._folder(runner)
        if frozen := self.config.trainer.freeze_layers:
            refuse_all_frozen(frozen, count_layers(part.path))
        return part

    def _folder(self, runner: Runner) -> Part:
        from cem_lightning.models.loading import load_encoder
        from cem_lightning.models.random_models import random_architecture

        if self.source is None:
            settings = {"architecture": random_architecture(self.config.model.path)}
            return runner.run("random_model", "make random model", {}, settings).part("model")
        part = Part(self.source, digest_path(self.source, self.config.store_dir / ".digests"))
        if not self.source.is_dir():
            part = runner.run("convert", "convert model", {"file": part}, {}).part("model")
            load_encoder(part.path, self.config.model)
        return part

    def loop(self, runner: Runner) -> Loop:
        """The rounds, ready to run."""
        return Loop(
            self.config,
            self.pools,
            self.model(runner),
            self.corpus.digest,
            self.device,
            runner,
        )


def prepare(config: Config) -> Prepared:
    """Read everything that the configuration names.

    Raises:
        UserError: if something the user gave cannot be used.
    """
    from cem_lightning.models.loading import device_kind, load_encoder
    from cem_lightning.models.random_models import random_architecture
    from cem_lightning.models.source import resolve
    from cem_lightning.reporting.progress import make_progress

    if config.trainer.devices > 1 and config.trainer.launcher == "slurm":
        refuse_no_slurm()
    pools = read_pools(config.data, config.seed)
    if config.answering.shots:
        pools = pools.with_shots(config.answering.shots, config.seed)
    if config.trainer.interpolation.gate:
        pools = pools.with_gate(config.trainer.interpolation.gate, config.seed)
    _refuse_nothing_guarded(config, pools)
    if config.asks_endpoint:
        check_endpoint(config.endpoint)
    with make_progress() as progress:
        corpus = retriever_of(config.knowledge, progress).known()
    source = None if random_architecture(config.model.path) else resolve(config.model.path)
    device = device_kind(config.model)
    if source is not None and source.is_dir():
        load_encoder(source, config.model)
    return Prepared(config, pools, corpus, source, device)


def _refuse_nothing_guarded(config: Config, pools: Pools) -> None:
    guarded = config.verdict.guarded
    if config.trainer.evaluate_at and (guarded is None or not getattr(pools, guarded)):
        raise UserError(
            "trainer.evaluate_at asks the guarded pool while it trains, but "
            + (
                "verdict.guarded is null. Set it to a pool"
                if guarded is None
                else f"{guarded} has no questions. Give it some (data.{guarded}), set "
                "verdict.guarded to another pool"
            )
            + ", or leave trainer.evaluate_at empty."
        )


def stored_course(prepared: Prepared) -> tuple[Part, Course]:
    """The untouched model and the rounds of a finished evolution, all from the store.

    Raises:
        UserError: if a stage is not there, with the command that computes it.
    """
    runner = Runner(Store(prepared.config.store_dir), SilentProgress(), compute=False)
    return prepared.model(runner), prepared.loop(runner).run()
