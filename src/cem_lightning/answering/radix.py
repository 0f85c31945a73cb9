"""Which tokens must pass through a model, and together with which, so that none passes twice.

Sequences form a radix tree: what several begin with is one node. Token ids only; the passes
themselves are the business of `scoring`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from cem_lightning.models.encoding import common_prefix

Ids = tuple[int, ...]

_CACHED = 32  # tokens: a shorter beginning costs less to compute again than to keep


@dataclass(frozen=True)
class Path:
    """One sequence to pass through the model.

    Attributes:
        ids: its tokens but for the last, which predicts nothing that is scored.
        first: position of the first token whose output is wanted.
    """

    ids: Ids
    first: int


@dataclass
class Row:
    """A subtree written out depth first: one row of a batch.

    A token sees those whose subtree it is in: token k is an ancestor of token q, or q itself,
    where k <= q < ends[k].

    Attributes:
        ids: one token a node.
        depths: position of each token in its sequences.
        ends: for each token, the place behind the last of its subtree.
        wanted: for each path in the row, its index and the places whose output it wants.
    """

    ids: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    wanted: list[tuple[int, list[int]]] = field(default_factory=list)


@dataclass
class Group:
    """Rows that begin where the same prefix ends.

    Attributes:
        start: how much of the prefix is that of the group around it.
        prefix: the tokens before `start` left out.
        rows: longest first.
        groups: those whose prefix begins with this one's.
    """

    start: int
    prefix: Ids
    rows: list[Row]
    groups: list[Group] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Tokens to pass through the model."""
        rows = sum(len(row.ids) for row in self.rows)
        return len(self.prefix) + rows + sum(each.size for each in self.groups)


def plan(paths: Sequence[Path], row_tokens: int) -> Group:
    """The tree of `paths`, cut into rows of about `row_tokens`.

    A long beginning of what fills several rows becomes the prefix of a group, to be computed once
    and kept. What is left under a long beginning stays in one row, however long that gets; between
    rows a short one is computed again.
    """
    order = sorted(range(len(paths)), key=lambda index: paths[index].ids)
    ids = [paths[index].ids for index in order]
    shared = [0, *(common_prefix(*pair) for pair in pairwise(ids))]
    fresh = list(accumulate((len(e) - s for e, s in zip(ids, shared, strict=True)), initial=0))

    def group(low: int, high: int, start: int, end: int) -> Group:
        """Paths low to high of the order, whose first `end` tokens are all the same."""
        alone: list[int] = []
        groups = []
        for first, last in _runs(shared, low, high, end + _CACHED):
            common = min(
                [*shared[first + 1 : last], *(paths[at].first for at in order[first:last])]
            )
            size = fresh[last] - fresh[first] + shared[first] - end
            if (
                last - first > 1
                and common - end >= _CACHED
                and size - common + end > 2 * row_tokens
            ):
                groups.append(group(first, last, end, common))
            else:
                alone += range(first, last)
        rows = _rows([(order[at], paths[order[at]]) for at in alone], end, row_tokens)
        rows.sort(key=lambda row: -len(row.ids))
        return Group(start, ids[low][start:end] if ids else (), rows, groups)

    return group(0, len(ids), 0, 0)


def plain(paths: Sequence[Path]) -> Group:
    """Every path in a row of its own, for models that know sequences only."""
    rows = [row for each in enumerate(paths) for row in _rows([each], 0, 1)]
    return Group(0, (), sorted(rows, key=lambda row: -len(row.ids)))


def _runs(shared: Sequence[int], low: int, high: int, least: int) -> Iterator[tuple[int, int]]:
    """Stretches of the order in which neighbours share `least` tokens or more."""
    first = low
    for at in range(low + 1, high):
        if shared[at] < least:
            yield first, at
            first = at
    if first < high:
        yield first, high


def _rows(paths: Sequence[tuple[int, Path]], start: int, row_tokens: int) -> list[Row]:
    """Paths in their order, each behind what it shares with the one before it in its row.

    A path that shares much stays in the row even if that gets longer than `row_tokens`.
    """
    rows: list[Row] = []
    branch: list[int] = []  # places in the row of the tokens of the path before, from `start`
    before: Ids = ()
    for index, path in paths:
        kept = common_prefix(before, path.ids) - start if rows else 0
        fresh = len(path.ids) - start - kept
        if not rows or (kept < _CACHED and len(rows[-1].ids) + fresh > row_tokens):
            rows.append(Row())
            branch, kept = [], 0
        row = rows[-1]
        del branch[kept:]
        for depth in range(start + kept, len(path.ids)):
            branch.append(len(row.ids))
            row.ids.append(path.ids[depth])
            row.depths.append(depth)
        row.wanted.append((index, branch[path.first - start :]))
        before = path.ids
    for row in rows:
        row.ends = _ends(row.depths)
    return rows


def _ends(depths: Sequence[int]) -> list[int]:
    """For each token of a depth-first order, the next place that is not below it."""
    ends = [len(depths)] * len(depths)
    above: list[int] = []
    for place, depth in enumerate(depths):
        while above and depths[above[-1]] >= depth:
            ends[above.pop()] = place
        above.append(place)
    return ends
