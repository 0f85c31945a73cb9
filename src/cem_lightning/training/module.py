"""The LightningModule with the mixed CPT/CIT objective.

Normalises by itself: Lightning's accumulation weighs micro-batches, not tokens, and scales the
last partial window wrongly (Lightning-AI/pytorch-lightning issues 20350 and 19987).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from cem_lightning.corpus.batches import Pack
from cem_lightning.corpus.config import KINDS
from cem_lightning.errors import UserError
from cem_lightning.models.documents import over_whole_rows
from cem_lightning.training.config import ObjectiveConfig, TrainerConfig
from cem_lightning.training.guards import Anchor
from cem_lightning.training.metrics import TokensByKind
from cem_lightning.training.objective import sum_by_kind, token_losses, tokens_by_kind
from cem_lightning.training.optimizer import adamw, rate_factor
from cem_lightning.training.ranks import TrainingRanks
from cem_lightning.training.sharding import clip_gradients, own_part, shard

_NAMED = 8  # examples named in an error


class MixedObjective(pl.LightningModule):
    """Trains a causal language model on whole texts and on responses at once.

    The loss of an optimizer step is ``(sum_k w_k * L_k + b * D) / N``: L_k the summed cross-entropy
    of the supervised tokens of kind k, w_k its weight, D the summed divergence from the start where
    that is held near, b its weight, N the supervised tokens of the whole step. So the
    result does not depend on how a step is cut into packs, nor on how many processes
    share them: each knows the whole step and so N, and their gradients are summed.

    Args:
        network: a transformers causal language model, or one wrapped by peft.
        steps: optimizer steps of the whole run, which the learning rate follows.
        seed: decides what is dropped out.
        start: steps that were done before, when a run is continued.
        named: tells the examples of a step (counted from 0) as an error names them.
        anchor: the model that predictions are held near to, if `objective.kl` is not 0.
        evaluate: called after the steps of `config.evaluate_at`; its values join the curves.
    """

    weights: Tensor

    def __init__(
        self,
        network: Any,
        objective: ObjectiveConfig,
        config: TrainerConfig,
        *,
        steps: int,
        seed: int = 0,
        start: int = 0,
        named: Callable[[int], Sequence[str]] | None = None,
        anchor: Anchor | None = None,
        evaluate: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.save_hyperparameters(
            {"objective": objective.model_dump(), "trainer": config.model_dump(), "steps": steps},
            logger=False,
        )
        self.network = network
        self.config = config
        self.steps = steps
        self.seed = seed
        self.start = start
        self.named = named
        self.anchor = anchor
        self.evaluate = evaluate
        self.kl = objective.kl
        self.asking = 0.0  # seconds of the last step in which the model was asked
        self.totals = TokensByKind()
        self.ranks = TrainingRanks.here()
        weights = torch.tensor([objective.weight(kind) for kind in KINDS], dtype=torch.double)
        self.register_buffer("weights", weights, persistent=False)

    def configure_model(self) -> None:
        """Share out the weights where Lightning has made a mesh of several devices."""
        if self.device_mesh is not None:
            shard(self.network, self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = adamw(self.network, self.config)
        factor = rate_factor(self.config, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": LambdaLR(optimizer, factor)}

    def training_step(self, step: list[Pack], index: int) -> dict[str, Any]:
        """One optimizer step.

        Returns:
            The row of the curves: loss, learning rate, and loss, perplexity and tokens by kind;
            with an anchor ``kl``, the divergence from the start in nats a supervised token.

        Raises:
            UserError: if nothing is supervised, or the loss or the gradient is not finite; no
                weight has been changed then.
        """
        number = self.start + index
        _seed_dropout(self.seed, number, self.ranks.number)
        supervised = tokens_by_kind(step, supervised=True)
        total = int(supervised.sum())
        if total == 0:
            raise UserError(f"step {number + 1}: no supervised tokens ({_counts(step)}).")
        optimizer = self.optimizers()
        scheduler = self.lr_schedulers()
        assert isinstance(scheduler, LambdaLR) and not isinstance(optimizer, list)
        optimizer.zero_grad()
        losses = torch.zeros_like(self.weights)
        divergence = losses.new_zeros(())
        each: list[tuple[Pack, Tensor]] = []
        factors = self.weights / total
        for pack, counts in self._turns(step):
            anchor = self.anchor
            scale = counts * self.kl / total
            reference = None if anchor is None else anchor.reference(pack, scale)
            found = token_losses(self.network, pack, factors * counts, reference)
            self.manual_backward(found.total)
            if not counts:
                continue
            losses += sum_by_kind(found.losses, found.kinds)
            divergence += found.divergences.sum()
            each.append((pack, found.losses))
        divergence = self.ranks.sum(divergence) / total
        loss = (self.weights * self.ranks.sum(losses)).sum() / total + self.kl * divergence
        if not math.isfinite(loss):
            self._refuse("loss", float(loss), number, step, self._broken(step, each))
        self.ranks.sum_gradients(self.network.parameters())
        parameters = [each for each in self.network.parameters() if each.grad is not None]
        norm = clip_gradients(parameters, self.config.max_gradient_norm)
        if not math.isfinite(norm):
            self._refuse("gradient norm", float(norm), number, step)
        rate = float(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
        seen = self.totals(losses, supervised, tokens_by_kind(step, supervised=False))
        told = {"loss": loss, "learning_rate": rate, **_columns(seen)}
        if self.anchor is not None:
            told["kl"] = divergence
        began = time.monotonic()
        if self.evaluate is not None and number + 1 in self.config.evaluate_at:
            with (  # as the trained model will be asked
                over_whole_rows(self.network),
                torch.compiler.set_stance("force_eager"),
                torch.autocast(self.device.type, enabled=False),
            ):
                self.network.eval()
                told |= self.evaluate()
                self.network.train()
        self.asking = time.monotonic() - began
        return told

    def _turns(self, step: Sequence[Pack]) -> Iterator[tuple[Pack, bool]]:
        """The packs of this process, and whether each counts.

        Where weights are shared out, no process can go through the layers alone: one that has less
        to do goes through the shortest pack once more, for nothing.
        """
        if self.device_mesh is None:
            yield from ((pack, True) for pack in self.ranks.own(step) if pack.supervised.any())
            return
        own = self.ranks.own(step)
        yield from ((pack, True) for pack in own)
        shortest = min(step, key=lambda pack: len(pack.input_ids))
        for _ in range(-(-len(step) // self.ranks.world) - len(own)):
            yield shortest, False

    def _broken(self, step: Sequence[Pack], each: Sequence[tuple[Pack, Tensor]]) -> list[int]:
        """Places in the step of the examples whose own loss is not finite, here or elsewhere."""
        found = torch.zeros(sum(len(pack.lengths) for pack in step), dtype=torch.long)
        for pack, losses in each:
            places = torch.tensor(pack.places).repeat_interleave(torch.tensor(pack.lengths))
            found[places[pack.supervised.cpu()][~losses.isfinite().cpu()]] = 1
        return self.ranks.sum(found).nonzero()[:, 0].tolist()

    def _refuse(
        self,
        what: str,
        value: float,
        number: int,
        step: Sequence[Pack],
        broken: Sequence[int] | None = None,
    ) -> NoReturn:
        """An error that names the step and its examples.

        Args:
            broken: places in the step of those that it comes from; None if nobody knows.
        """
        places = sorted(place for pack in step for place in pack.places)
        names = list(map(str, places)) if self.named is None else self.named(number)
        named = [names[place] for place in broken or places]
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        raise UserError(
            f"training: the {what} is {value} at step {number + 1} of {self.steps}, "
            f"{'by' if broken else 'in one of'} training "
            f"example{'s' * (len(named) > 1)} {', '.join(named[:_NAMED])}{more}, so training "
            f"stopped and no weights were written. Lower trainer.learning_rate "
            f"({self.config.learning_rate:g}), raise trainer.warmup_fraction "
            f"({self.config.warmup_fraction:g}), or use model.dtype=float32."
        )

    def refuse_wrecked(self, step: int) -> None:
        """A step may spoil weights that no loss has seen any more.

        Args:
            step: that was the last.

        Raises:
            UserError: if a weight is not finite.
        """
        for name, weight in self.network.named_parameters():
            if weight.requires_grad and not torch.isfinite(own_part(weight)).all():
                raise UserError(
                    f"training: the weights {name} are not finite after the last step, "
                    f"{step} of {self.steps}, so none were written. Lower trainer.learning_rate "
                    f"({self.config.learning_rate:g})."
                )


def _seed_dropout(seed: int, step: int, rank: int) -> None:
    """A run that is continued at any step, by any process, draws what an uninterrupted one does."""
    torch.manual_seed(random.Random(f"{seed}:dropout:{step}:{rank}").getrandbits(63))


def _columns(seen: dict[str, Tensor]) -> dict[str, float]:
    """Metrics by kind as columns such as ``loss/passage``, of the kinds that the step read."""
    return {
        f"{name}/{kind}": values[at].item()
        for name, values in seen.items()
        for at, kind in enumerate(KINDS)
        if seen["tokens"][at] > 0
    }


def _counts(step: list[Pack]) -> str:
    tokens = tokens_by_kind(step, supervised=False)
    supervised = tokens_by_kind(step, supervised=True)
    return "; ".join(
        f"{kind}: {int(supervised[at])} of {int(tokens[at])} tokens"
        for at, kind in enumerate(KINDS)
        if tokens[at] > 0
    )
