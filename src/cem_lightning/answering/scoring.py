"""Log-likelihoods of responses: what sequences share is computed once, by tree attention.

Works on token ids alone; wording and encoding happen before, outcomes after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from cem_lightning.answering.radix import Group, Ids, Path, Row, plain, plan
from cem_lightning.errors import UserError
from cem_lightning.models.encoding import common_prefix
from cem_lightning.models.head import Head
from cem_lightning.models.loading import LanguageModel

SCORER_VERSION = 2  # raise it when the same model and prompts would give other log-likelihoods

_ROW_TOKENS = 256  # longer rows share more, and cost more attention between strangers
_HEAD_CELLS = 2**25  # logits held at once

Scores = tuple[tuple[float, ...], tuple[int, ...]]


@dataclass(frozen=True)
class _Pass:
    """Rows that go through the model together, behind the prefixes of the groups they are in."""

    groups: tuple[Group, ...]
    rows: tuple[Row, ...]

    def cost(self, body: int, head: int) -> int:
        """Multiplications, given the weights of the model's body and of its head."""
        outputs = sum(len({at for _, places in row.wanted for at in places}) for row in self.rows)
        return len(self.rows) * len(self.rows[0].ids) * body + outputs * head


def log_likelihoods(
    model: LanguageModel,
    prompts: Sequence[Ids],
    continuations: Sequence[Sequence[Ids]],
    *,
    batch_tokens: int,
    advance: Callable[[int], None] = lambda _: None,
    share: tuple[int, int] = (0, 1),
    total: Callable[[Tensor], Tensor] = lambda values: values,
) -> list[Scores | None]:
    """Summed log-likelihoods of responses, and how many tokens each has.

    Args:
        prompts: token ids of each prompt.
        continuations: for each prompt, the ids of prompt and response tokenised jointly; where a
            token spans the join, scoring starts at the last token they all share.
        batch_tokens: bound on the padded tokens of a forward pass.
        advance: called with the number of prompts done after every pass.
        share: (rank, processes): of the same call in several processes each makes its part of the
            passes. The passes are those of one process, so are the digits.
        total: sums a tensor over the processes.

    Returns:
        For each prompt a pair (log-likelihoods in nats, token counts), one entry per response;
        None where a sequence is longer than the model's context.

    Raises:
        UserError: if the model makes something of its outputs that is not known here.
    """
    paths: list[Path] = []
    owners: list[int] = []
    lengths: dict[int, tuple[int, ...]] = {}
    for at, (prompt, full) in enumerate(zip(prompts, continuations, strict=True)):
        if max(map(len, full)) <= model.context:
            split = min(common_prefix(prompt, ids) for ids in full)
            split = min(split, *(len(ids) - 1 for ids in full))
            paths += [Path(ids[:-1], split - 1) for ids in full]
            owners += [at] * len(full)
            lengths[at] = tuple(len(ids) - split for ids in full)
    advance(len(prompts) - len(lengths))
    if not paths:
        return [None] * len(prompts)
    targets = [
        ids[-n:] for at, ns in lengths.items() for ids, n in zip(continuations[at], ns, strict=True)
    ]
    sums = torch.zeros(len(paths), dtype=torch.float64)
    waiting = Counter(owners)
    with torch.inference_mode():
        engine = _Engine(model, _knows_trees(model))
        tree = plan(paths, min(_ROW_TOKENS, batch_tokens)) if engine.trees else plain(paths)
        for each in _own(list(_passes(tree, batch_tokens)), model, share):
            for index, score in engine.score(each, targets):
                sums[index] = score
                waiting[owners[index]] -= 1
            done = [at for at, left in waiting.items() if not left]
            for at in done:
                del waiting[at]
            advance(len(done))
    scores = iter(total(sums).tolist())
    return [
        (tuple(next(scores) for _ in lengths[at]), lengths[at]) if at in lengths else None
        for at in range(len(prompts))
    ]


def _passes(group: Group, batch_tokens: int, around: tuple[Group, ...] = ()) -> Iterator[_Pass]:
    """The passes of a group and of those in it; padded to its longest row each fits the budget."""
    around = (*around, group)
    rows = group.rows
    while rows:
        size = max(1, batch_tokens // len(rows[0].ids))
        yield _Pass(around, tuple(rows[:size]))
        rows = rows[size:]
    for each in group.groups:
        yield from _passes(each, batch_tokens, around)


def _own(passes: Sequence[_Pass], model: LanguageModel, share: tuple[int, int]) -> Sequence[_Pass]:
    """A process's stretch of the passes: neighbours, since they need the same prefixes."""
    rank, processes = share
    if processes == 1:
        return passes
    head = Head.of(model.network).weight.numel()
    body = sum(each.numel() for each in model.network.get_decoder().parameters()) - head
    costs = [each.cost(max(body, 1), head) for each in passes]
    own, before = [], 0
    for each, cost in zip(passes, costs, strict=True):
        if (2 * before + cost) * processes // (2 * sum(costs)) == rank:
            own.append(each)
        before += cost
    return own


class _Engine:
    """Passes rows through a model, and keeps the prefixes that the next pass needs."""

    def __init__(self, model: LanguageModel, trees: bool) -> None:
        self.trees = trees
        self._model = model
        self._body = model.network.get_decoder()
        config = model.network.config.get_text_config()
        self._windows = _windows(config, model.context)
        self._additive = getattr(config, "_attn_implementation", "eager") != "sdpa"
        self._caches: list[tuple[Group, DynamicCache]] = []

    def score(self, each: _Pass, targets: Sequence[Ids]) -> Iterator[tuple[int, float]]:
        """Index and log-likelihood of every path in the rows."""
        prefix = sum(len(group.prefix) for group in each.groups)
        hidden = self._forward(each.rows, self._cache(each.groups), prefix)
        wanted = [
            (row * hidden.shape[1] + place, token)
            for row, content in enumerate(each.rows)
            for index, places in content.wanted
            for place, token in zip(places, targets[index], strict=True)
        ]
        scores = _log_probabilities(self._model, hidden.flatten(0, 1), wanted)
        at = 0
        for row in each.rows:
            for index, places in row.wanted:
                yield index, float(scores[at : at + len(places)].sum())
                at += len(places)

    def _cache(self, groups: Sequence[Group]) -> DynamicCache | None:
        """Keys and values of the groups' prefixes one behind the other."""
        kept = 0
        while kept < min(len(groups), len(self._caches)) and self._caches[kept][0] is groups[kept]:
            kept += 1
        del self._caches[kept:]
        for group in groups[kept:]:
            cache = DynamicCache() if not self._caches else _copies(self._caches[-1][1], 1)
            if group.prefix:
                count = len(group.prefix)
                depths = list(range(group.start, group.start + count))
                row = Row(list(group.prefix), depths, [count] * count)
                self._forward([row], cache, group.start, keep=True)
            self._caches.append((group, cache))
        last = self._caches[-1][1]
        return last if last.get_seq_length() else None

    def _forward(
        self, rows: Sequence[Row], cache: DynamicCache | None, prefix: int, keep: bool = False
    ) -> Tensor:
        """Output of the model's body for rows behind a prefix: (rows, width, hidden size).

        Args:
            keep: let the cache grow by the rows.
        """
        width = max(len(row.ids) for row in rows)
        padded = torch.zeros(3, len(rows), width, dtype=torch.long)
        for at, row in enumerate(rows):
            count = len(row.ids)
            padded[:, at, :count] = torch.tensor([row.ids, row.depths, row.ends])
            # padding sees itself alone, so that no softmax runs over nothing
            padded[2, at, count:] = torch.arange(count + 1, width + 1)
        ids, depths, ends = padded.to(self._model.device)
        if not self.trees:
            real = (torch.arange(width) < torch.tensor([[len(row.ids)] for row in rows])).long()
            given: dict[str, Any] = {"attention_mask": real.to(ids.device), "use_cache": False}
        else:
            if cache is not None and not keep:
                cache = _copies(cache, len(rows))
            given = {
                "position_ids": depths,
                "attention_mask": self._mask(depths, ends, prefix),
                "past_key_values": cache,
                "use_cache": cache is not None,
            }
        hidden: Tensor = self._body(input_ids=ids, **given).last_hidden_state
        return hidden

    def _mask(self, depths: Tensor, ends: Tensor, prefix: int) -> Any:
        """What each token sees, (rows, 1, width, prefix + width); by kind of layer if two."""
        places = torch.arange(depths.shape[1], device=depths.device)
        above = (places <= places[:, None]) & (ends[:, None, :] > places[:, None])
        before = torch.arange(prefix, device=depths.device)
        reach = torch.cat([before.expand(len(depths), -1), depths], dim=1)[:, None, :]
        seen = torch.cat([above.new_ones(*depths.shape, prefix), above], dim=2)
        masks = {
            kind: self._written(seen & (depths[:, :, None] - reach < window))
            for kind, window in self._windows.items()
        }
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _written(self, seen: Tensor) -> Tensor:
        """A mask in the form that the attention implementation reads."""
        if not self._additive:
            return seen[:, None]
        dtype = self._model.network.dtype
        mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def _copies(cache: DynamicCache, count: int) -> DynamicCache:
    """The cache for `count` rows, which may grow without the original."""
    layers = [(layer.keys, layer.values) for layer in cache.layers]
    return (
        DynamicCache(
            [(k.expand(count, -1, -1, -1), v.expand(count, -1, -1, -1)) for k, v in layers]
        )
        if layers
        else DynamicCache()
    )


def _log_probabilities(
    model: LanguageModel, states: Tensor, wanted: Sequence[tuple[int, int]]
) -> Tensor:
    """Log-probability of each token at its state, in nats, float64 on the CPU.

    Args:
        states: (places, hidden size) outputs of the model's body.
        wanted: place and token; only the places named meet the vocabulary, each once.
    """
    unique = {place: at for at, place in enumerate(dict.fromkeys(place for place, _ in wanted))}
    chosen = states[torch.tensor(list(unique), device=states.device)]
    rows = torch.tensor([unique[place] for place, _ in wanted], device=states.device)
    tokens = torch.tensor([token for _, token in wanted], device=states.device)
    scores = torch.empty(len(wanted), dtype=torch.float64, device=states.device)
    head = Head.of(model.network)
    step = max(1, _HEAD_CELLS // model.network.config.get_text_config().vocab_size)
    for start in range(0, len(chosen), step):
        logits = head.logits(chosen[start : start + step])
        here = (rows >= start) & (rows < start + step)
        at = rows[here] - start
        scores[here] = (logits[at, tokens[here]] - logits.logsumexp(-1)[at]).double()
    return scores.cpu()


def _windows(config: Any, context: int) -> dict[str, int]:
    """How many tokens back each kind of layer sees, itself included."""
    kinds = dict.fromkeys(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None) or context
    if not kinds:  # a config that does not tell its layers apart
        return {"": window if getattr(config, "use_sliding_window", True) else context}
    return {kind: window if kind == "sliding_attention" else context for kind in kinds}


def _knows_trees(model: LanguageModel) -> bool:
    """Whether the model scores a tree as it scores its sequences one by one, in finite numbers.

    Asked of the model itself, on a few tokens: positions by distance in the row or a state that
    runs along it would give other numbers without a word.

    Raises:
        UserError: if even one sequence is scored otherwise than by the whole model.
    """
    head = Head.of(model.network)
    vocabulary = model.network.config.get_text_config().vocab_size
    ids = [1 + 7 * at % (vocabulary - 1) for at in range(10)]
    paths = [Path(tuple(ids[:6]), 0), Path((*ids[:3], *ids[6:]), 0)]
    expected = [
        model.network(torch.tensor([path.ids], device=model.device)).logits[0].float()
        for path in paths
    ]
    if not all(bool(each.isfinite().all()) for each in expected):
        return False  # whoever asks names the question
    near = 1e-3 if model.network.dtype == torch.float32 else 0.1

    def same(rows: Sequence[Row], trees: bool) -> bool:
        try:
            states = _Engine(model, trees)._forward(rows, None, 0)
        except (TypeError, ValueError, KeyError, RuntimeError):
            return False  # it does not take such positions or masks at all
        found = {
            index: head.logits(states[at, places])
            for at, row in enumerate(rows)
            for index, places in row.wanted
        }
        return all(bool((found[at] - each).abs().max() < near) for at, each in enumerate(expected))

    if same(plan(paths, 64).rows, True):
        return True
    if same(plain(paths).rows, False):
        return False
    raise UserError(
        f"model.path: {type(model.network).__name__} does something to its outputs that the "
        "scoring here does not know, so its log-likelihoods would be wrong. Use a model of an "
        "architecture that is shown to work (docs/models.md)."
    )
