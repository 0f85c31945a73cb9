"""The processes that ask one model together, each on a device of its own.

Divides what passes through the model and brings together what comes of it; whoever starts the
processes and their torch.distributed group does that elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from cem_lightning.ranks import Item, Ranks


@dataclass(frozen=True)
class Shares(Ranks):
    """This process among those that ask.

    What is divided are whole passes through the model. They are planned for all questions
    together, in every process alike, so each pass gives the bits that it gives in one process.
    All processes must therefore call everything here in the same order.
    """

    @property
    def part(self) -> tuple[int, int]:
        """Number and count of the processes, as `log_likelihoods` takes its share."""
        return self.number, self.world

    def merged(self, made: Mapping[int, Item]) -> dict[int, Item]:
        """What all processes have made, by index."""
        if self.world == 1:
            return dict(made)
        each: list[Mapping[int, Item]] = [{}] * self.world
        dist.all_gather_object(each, dict(made))
        return {index: item for part in each for index, item in part.items()}

    def from_first(self, make: Callable[[], Item]) -> Item:
        """What `make` returns in the first process; the others wait for it."""
        if self.world == 1:
            return make()
        made = [make() if self.first else None]
        dist.broadcast_object_list(made)
        (item,) = made
        return item  # type: ignore[return-value]

    @contextmanager
    def counted(
        self, total: int, advance: Callable[[int], None]
    ) -> Iterator[Callable[[int], None]]:
        """An `advance` for this process, so that all processes together come to `total`.

        A question is done here or there, or half in two of them: what is missing in the end, the
        first one adds.
        """
        done = 0

        def count(number: int) -> None:
            nonlocal done
            done += number
            advance(number)

        yield count
        if self.world > 1:
            missing = total - int(self.sum(torch.tensor(done)))
            if self.first and missing:
                advance(missing)
