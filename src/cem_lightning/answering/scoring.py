"""Log-likelihoods of many responses to many prompts, each shared token computed once.

The prefix that all prompts share (system prompt, shots) is encoded once for the whole call. A
prompt and its responses form one row: the rest of the prompt, then every response as a branch
that sees the prompt and itself, not its siblings (tree attention). Only the rows that predict a
response token meet the output head.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from cem_lightning.models.encoding import common_prefix
from cem_lightning.models.loading import LanguageModel

Ids = tuple[int, ...]

_HEAD_ROWS = 512  # positions that meet the vocabulary at once, to bound memory


@dataclass(frozen=True)
class _Tree:
    """One prompt with its responses: `stem` is shared by all, `branches` part from it."""

    position: int  # in the caller's order
    stem: Ids
    branches: tuple[Ids, ...]

    def inputs_after(self, prefix: int) -> int:
        """Tokens to pass through the model when `prefix` of the stem are cached.

        The last token of a branch predicts nothing that is scored, so it is no input.
        """
        return len(self.stem) - prefix + sum(len(branch) - 1 for branch in self.branches)


def log_likelihoods(
    model: LanguageModel,
    prompts: Sequence[Ids],
    continuations: Sequence[Sequence[Ids]],
    *,
    batch_tokens: int,
    advance: Callable[[int], None] = lambda _: None,
) -> list[tuple[tuple[float, ...], tuple[int, ...]] | None]:
    """Summed log-likelihoods of responses, and how many tokens each has.

    Args:
        prompts: token ids of each prompt.
        continuations: for each prompt, the ids of prompt and response tokenised jointly; where a
            token spans the join, scoring starts at the last token they all share.
        batch_tokens: bound on the padded tokens of a forward pass.
        advance: called with the number of prompts done after every pass.

    Returns:
        For each prompt a pair (log-likelihoods in nats, token counts), one entry per response;
        None where a sequence is longer than the model's context, or than the window of its
        sliding attention, which the mask of a tree does not know.
    """
    results: list[tuple[tuple[float, ...], tuple[int, ...]] | None] = [None] * len(prompts)
    trees = []
    limit = min(model.context, _window(model))
    for position, (prompt, full) in enumerate(zip(prompts, continuations, strict=True)):
        if max(map(len, full)) <= limit:
            split = min(common_prefix(prompt, ids) for ids in full)
            split = min(split, *(len(ids) - 1 for ids in full))
            trees.append(_Tree(position, full[0][:split], tuple(ids[split:] for ids in full)))
    if not trees:
        advance(len(prompts))
        return results
    advance(len(prompts) - len(trees))
    with torch.inference_mode():
        cache, prefix = _encode_common_prefix(model, trees)
        for batch in _batches(trees, prefix, batch_tokens):
            for tree, scores in zip(batch, _score(model, batch, cache, prefix), strict=True):
                results[tree.position] = (scores, tuple(map(len, tree.branches)))
            advance(len(batch))
    return results


def _encode_common_prefix(
    model: LanguageModel, trees: Sequence[_Tree]
) -> tuple[DynamicCache | None, int]:
    """Keys and values of the tokens all stems share, and how many there are.

    At least the last token of every stem is left, since its output scores the first token.
    """
    first = trees[0].stem
    shared = min(min(common_prefix(first, tree.stem), len(tree.stem) - 1) for tree in trees)
    if len(trees) == 1 or shared < 1:
        return None, 0
    cache = DynamicCache()
    ids = torch.tensor([first[:shared]], device=model.device)
    _body(model)(input_ids=ids, past_key_values=cache, use_cache=True)
    return cache, shared


def _batches(trees: Sequence[_Tree], prefix: int, batch_tokens: int) -> Iterator[list[_Tree]]:
    """Groups whose padded size stays within the budget, longest first."""
    ordered = sorted(trees, key=lambda tree: (-tree.inputs_after(prefix), tree.position))
    batch: list[_Tree] = []
    for tree in ordered:
        if batch and (len(batch) + 1) * batch[0].inputs_after(prefix) > batch_tokens:
            yield batch
            batch = []
        batch.append(tree)
    if batch:
        yield batch


def _score(
    model: LanguageModel, batch: Sequence[_Tree], cache: DynamicCache | None, prefix: int
) -> list[tuple[float, ...]]:
    """Summed log-likelihoods of every branch of every tree in one forward pass."""
    width = max(tree.inputs_after(prefix) for tree in batch)
    dtype = model.network.dtype
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    positions = torch.zeros(len(batch), width, dtype=torch.long)
    visible = torch.zeros(len(batch), width, prefix + width, dtype=torch.bool)
    visible[:, :, :prefix] = True
    rows: list[tuple[int, int]] = []  # (row of the batch, position) whose output scores a token
    targets: list[int] = []
    spans: list[list[int]] = []  # for each tree, the number of targets of each branch
    for row, tree in enumerate(batch):
        stem = tree.stem[prefix:]
        end = len(stem)
        ids[row, :end] = torch.tensor(stem)
        positions[row, :end] = torch.arange(prefix, prefix + end)
        visible[row, :end, prefix : prefix + end] = torch.ones(end, end, dtype=torch.bool).tril()
        at = end
        for branch in tree.branches:
            inputs = branch[:-1]
            to = at + len(inputs)
            ids[row, at:to] = torch.tensor(inputs, dtype=torch.long)
            positions[row, at:to] = torch.arange(len(tree.stem), len(tree.stem) + len(inputs))
            visible[row, at:to, prefix : prefix + end] = True
            own = torch.ones(len(inputs), len(inputs), dtype=torch.bool).tril()
            visible[row, at:to, prefix + at : prefix + to] = own
            rows += [(row, end - 1), *((row, each) for each in range(at, to))]
            targets += branch
            at = to
        # padding sees itself alone, so that no softmax runs over nothing
        padding = torch.arange(at, width)
        visible[row, padding, prefix + padding] = True
        spans.append([len(branch) for branch in tree.branches])
    mask = torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)
    past = None
    if cache is not None:
        past = copy.deepcopy(cache)
        past.batch_repeat_interleave(len(batch))
    hidden = _body(model)(
        input_ids=ids.to(model.device),
        position_ids=positions.to(model.device),
        attention_mask=mask[:, None].to(model.device),
        past_key_values=past,
        use_cache=past is not None,
    ).last_hidden_state
    scores = _target_log_probabilities(model, hidden, rows, targets)
    results = []
    at = 0
    for lengths in spans:
        sums = []
        for length in lengths:
            sums.append(float(scores[at : at + length].sum()))
            at += length
        results.append(tuple(sums))
    return results


def _target_log_probabilities(
    model: LanguageModel,
    hidden: torch.Tensor,
    rows: Sequence[tuple[int, int]],
    targets: Sequence[int],
) -> torch.Tensor:
    """Log-probability of each target token at its row of `hidden`, in nats, on the CPU.

    Args:
        hidden: (batch, length, width) output of the model's body.
    """
    unique = {row: index for index, row in enumerate(dict.fromkeys(rows))}
    where = torch.tensor(list(unique), device=hidden.device)
    wanted = torch.tensor([unique[row] for row in rows])
    target = torch.tensor(targets)
    states = hidden[where[:, 0], where[:, 1]]  # (unique rows, width)
    head = model.network.get_output_embeddings()
    cap = getattr(model.network.config, "final_logit_softcapping", None)
    scores = torch.empty(len(targets), dtype=torch.float64)
    for start in range(0, len(states), _HEAD_ROWS):
        logits = head(states[start : start + _HEAD_ROWS]).float()
        if cap is not None:
            logits = torch.tanh(logits / cap) * cap
        logits = logits.log_softmax(-1).cpu()
        chosen = (wanted >= start) & (wanted < start + _HEAD_ROWS)
        scores[chosen] = logits[wanted[chosen] - start, target[chosen]].double()
    return scores


def _window(model: LanguageModel) -> int:
    """The shortest stretch of tokens that a layer of the model attends to."""
    config = model.network.config.get_text_config()
    slides = "sliding_attention" in (getattr(config, "layer_types", None) or ())
    if not slides and getattr(config, "layer_types", None) is None:  # older kinds of config
        slides = getattr(config, "use_sliding_window", True)
    window = getattr(config, "sliding_window", None) if slides else None
    return model.context if window is None else int(window)


def _body(model: LanguageModel) -> Any:
    """The decoder without its output head."""
    return model.network.get_decoder()
