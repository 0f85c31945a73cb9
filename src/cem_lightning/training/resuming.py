"""What a training must remember to be continued to the bit, and what it may be continued from.

Random numbers are none of it: dropout is seeded anew at every step (`module`). How it lies on disk
is the business of `checkpoints`.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.errors import UserError
from cem_lightning.ranks import Ranks
from cem_lightning.storage.digests import changed_keys, digest_path
from cem_lightning.training.checkpoints import Checkpoint, CheckpointFolder
from cem_lightning.training.config import FREE_KEYS, ObjectiveConfig, TrainerConfig
from cem_lightning.training.sharding import shared_like, whole

_WEIGHT = "weight/"
_MOMENTS = 2  # of AdamW, each as large as the weights
_SEEN = 64  # numbers of each weight that tell a model from others
_SHOWN = 5  # differing keys named in an error


def made_for(
    network: Any,
    examples: Path,
    recipe: RecipeConfig,
    objective: ObjectiveConfig,
    config: TrainerConfig,
    seed: int,
) -> dict[str, Any]:
    """What a checkpoint must be of to be continued; `network` is as training begins with it."""
    seen = hashlib.sha256()
    for name, weight in network.named_parameters():
        seen.update(f"{name} {_form(weight)}\n".encode())
        some = weight.detach().reshape(-1)[:_SEEN].cpu().contiguous()
        seen.update(some.view(torch.uint8).numpy().tobytes())
    return {
        "trainer": config.model_dump(mode="json", exclude=set(FREE_KEYS)),
        "objective": objective.model_dump(mode="json"),
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "examples": digest_path(examples),
        "weights": {name: _form(weight) for name, weight in _trained(network)},
        "model": seen.hexdigest(),
    }


def environment(network: Any, processes: int) -> dict[str, Any]:
    """What may change the last digits of the weights."""
    device = torch.device(network.device)
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": processes,
    }


def continued_from(
    folder: CheckpointFolder, known: Mapping[str, Any], ranks: Ranks, say: Callable[[str], None]
) -> Checkpoint | None:
    """The state that a training continues from; every process gets that which the first finds.

    Args:
        known: what the training is for (`made_for`), and its `environment`.
        say: told what is damaged, and what differs from an uninterrupted training.

    Raises:
        UserError: if it is of another training, with the keys that differ.
    """
    found = folder.newest(say) if ranks.first else None
    step = int(ranks.sum(torch.tensor(0 if found is None else found.step)))
    if step == 0:
        return None
    found = found or folder.at(step)
    _refuse_another(found, known["made_for"], folder.path)
    if ranks.first:
        differing = changed_keys(found.values["environment"], known["environment"])
        say(
            f"continues after step {found.step}"
            + (
                f", in another environment than before ({'; '.join(differing)}): the last digits "
                "of the weights may differ from those of an uninterrupted training"
                if differing
                else ""
            )
        )
    return found


def _refuse_another(found: Checkpoint, wanted: Mapping[str, Any], folder: Path) -> None:
    differing = changed_keys(found.values["made_for"], wanted)
    if not differing:
        return
    more = f"; and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    raise UserError(
        f"the checkpoint of step {found.step} in {folder} is of another training: "
        f"{'; '.join(differing[:_SHOWN])}{more}. Set these as they were there, or delete that "
        "folder to train from the start."
    )


def state_tensors(network: Any, optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    """The trained weights, never a frozen one, and what the optimizer remembers of each.

    Where they are shared out over processes, every process goes through all of them.
    """
    for name, weight in _trained(network):
        yield _WEIGHT + name, whole(weight)
        for key, value in optimizer.state.get(weight, {}).items():
            yield f"{key}/{name}", whole(value)


def restore_weights(network: Any, found: Checkpoint) -> None:
    """Put the trained weights as they were."""
    weights = dict(_trained(network))
    with torch.no_grad():
        for name, value in found.tensors(_WEIGHT):
            weights[name].copy_(value)


def schedule_values(optimizer: Optimizer, scheduler: LambdaLR) -> dict[str, Any]:
    """Where the learning rate stands, as plain values."""
    return {
        "rates": [group["lr"] for group in optimizer.param_groups],
        "scheduler": scheduler.state_dict(),
    }


def restore_optimizer(
    network: Any, optimizer: Optimizer, scheduler: LambdaLR, found: Checkpoint
) -> None:
    """Put what the optimizer and the schedule remember as it was."""
    state: dict[str, dict[str, Tensor]] = {}
    for name, value in found.tensors(""):
        key, _, weight = name.partition("/")
        if key + "/" != _WEIGHT:
            state.setdefault(weight, {})[key] = value
    names = {weight: name for name, weight in _trained(network)}
    for each, name in names.items():
        state[name] = {k: shared_like(v, each) for k, v in state.get(name, {}).items()}
    order = [weight for group in optimizer.param_groups for weight in group["params"]]
    packed = optimizer.state_dict()
    packed["state"] = {
        at: state[names[weight]] for at, weight in enumerate(order) if state[names[weight]]
    }
    for group, rate in zip(packed["param_groups"], found.values["rates"], strict=True):
        group["lr"] = rate
    optimizer.load_state_dict(packed)
    scheduler.load_state_dict(dict(found.values["scheduler"]))


def refuse_too_little_disk(network: Any, folder: Path, checkpoints: Path | None) -> None:
    """Refuse to begin what would end with a full disk.

    Args:
        folder: where the weights are written in the end.
        checkpoints: where two checkpoints will lie, if any are written.

    Raises:
        UserError: with the sizes.
    """
    weights = sum(weight.nbytes for _, weight in _trained(network))
    needed, there = weights, 0
    if checkpoints is not None:
        needed += 2 * (1 + _MOMENTS) * weights
        there = sum(each.stat().st_size for each in checkpoints.glob("*"))
    free = shutil.disk_usage(folder).free
    if free + there >= needed:
        return
    purpose, remedy = "the trained weights", ""
    if checkpoints is not None:
        purpose += ", and two checkpoints of them with the optimizer's moments"
        remedy = (
            f", or trainer.checkpoint_minutes=0, which needs {_gigabytes(weights)} but starts an "
            "interrupted training anew"
        )
    raise UserError(
        f"store_dir: training needs {_gigabytes(needed)} of disk in {folder} ({purpose}), and "
        f"{_gigabytes(free + there)} are free. Make room (action=prune frees what no run needs), "
        f"set store_dir to another disk{remedy}."
    )


def _trained(network: Any) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, each) for name, each in network.named_parameters() if each.requires_grad]


def _form(weight: Tensor) -> str:
    """Type and shape, such as ``float32 [64, 32]``."""
    return f"{str(weight.dtype).removeprefix('torch.')} {list(weight.shape)}"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
