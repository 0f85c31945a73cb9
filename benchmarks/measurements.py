"""The measurements of asking, each giving rows of the table."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.peers import BATCH_SIZE, LmEval, Scores, ours, reference
from benchmarks.rows import Row, Target, faster, in_turn
from benchmarks.workloads import (
    Encoded,
    Method,
    awkward_items,
    encode,
    items,
    questions,
    short_items,
)
from cem_lightning.models.loading import LanguageModel

MARGIN = 1e-4  # nats: closer choices may change places


def speed(
    model: LanguageModel,
    name: str,
    method: Method,
    shots: int,
    count: int,
    repeats: int,
    least: float,
    seed: int,
    batches: tuple[int, int],
) -> Row:
    """Questions a second; both scorers get the same ids, and neither is timed while tokenising.

    Args:
        batches: tokens of one of ours, sequences of one of the peer's.
    """
    batch_tokens, batch_size = batches
    asked = questions(shots + count, seed)
    texts = items(asked[shots:], method, asked[:shots])
    tokenizer = model.encoder.tokenizer
    encoded = encode(texts, tokenizer)
    peer = LmEval(model, batch_size)
    same_ids = all(
        tuple(context) == prompt and tuple(context + scored) == ids
        for item, prompt, full in zip(texts, encoded.prompts, encoded.continuations, strict=True)
        for (context, scored), ids in zip(peer.pairs(item), full, strict=True)
    )
    if not same_ids:
        raise RuntimeError(f"{name}: the scorers tokenise the workload differently")
    warm = encode(items(questions(2, seed + 1), method), tokenizer)
    ours(model, warm)
    peer.ids(warm)
    found: dict[str, Scores] = {}

    def keep(who: str, scorer: Callable[[Encoded], Scores]) -> Callable[[], None]:
        return lambda: found.update({who: scorer(encoded)})

    own, theirs = in_turn(
        repeats, keep("ours", lambda each: ours(model, each, batch_tokens)), keep("peer", peer.ids)
    )
    details = {
        "prompt_tokens": sum(map(len, encoded.prompts)) / count,
        "difference": difference(found["ours"], found["peer"]),
        "other_choices": flips(found["peer"], found["ours"]),
        "batch": {"ours_tokens": batch_tokens, "peer_sequences": batch_size},
    }
    title = f"{name}: {shots}-shot {method} against lm-eval's HF backend"
    return faster(title, count, own, theirs, Target("at least", least), details)


def agreement(model: LanguageModel, plain: int, awkward: int, seed: int) -> list[Row]:
    """Our scores beside lm-eval's from texts, and beside the plain reference where it cannot."""
    asked = [*short_items(plain, seed), *awkward_items(awkward, seed)]
    encoded = encode(asked, model.encoder.tokenizer)
    peer = LmEval(model, batch_size=32)
    own = ours(model, encoded)
    refused = [at for at, item in enumerate(asked) if peer.refuses(item)]
    both = [
        at
        for at, item in enumerate(asked)
        if at not in set(refused)
        and all(len(context) == encoded.split(at) for context, _ in peer.pairs(item))
    ]
    same = set(both)
    elsewhere = [at for at in range(len(asked)) if at not in same]
    shared = [own[at] for at in both]
    theirs = peer.texts([asked[at] for at in both])
    odd = list(range(plain, len(asked)))
    exact = reference(model, encoded.part(odd))
    details = {
        "items": len(asked),
        "awkward": awkward,
        "compared_with_lm_eval": len(both),
        "awkward_compared_with_lm_eval": sum(at >= plain for at in both),
        "lm_eval_refuses": len(refused),
        "lm_eval_scores_other_tokens": len(elsewhere) - len(refused),
        "clear_margins": sum(margin(scores) > MARGIN for scores in theirs),
    }
    return [
        Row(
            f"{len(both)} items: largest difference from lm-eval's log-likelihoods",
            "nats",
            difference(shared, theirs),
            Target("at most", 1e-4),
            details=details,
        ),
        Row(
            f"{len(both)} items: other choices than lm-eval's beyond a margin of 1e-4",
            "choices",
            flips(theirs, shared),
            Target("at most", 0),
            details=details,
        ),
        Row(
            f"{len(odd)} awkward items, among them {len(elsewhere)} that lm-eval refuses or begins "
            "to score within the choice: largest difference from one sequence at a time in float64",
            "nats",
            difference([own[at] for at in odd], exact),
            Target("at most", 1e-4),
            details=details,
        ),
    ]


def batching(model: LanguageModel, count: int, seed: int) -> list[Row]:
    """Choices that change with the size and the order of the calls."""
    asked = items(questions(count, seed), "cloze")
    encoded = encode(asked, model.encoder.tokenizer)
    whole = ours(model, encoded)
    order = list(range(count))
    changed, drift = 0, 0.0
    for size in (1, 2, 5, 8, 32, 64):
        random.Random(f"{seed}:batches of {size}").shuffle(order)
        scores: dict[int, tuple[float, ...]] = {}
        for start in range(0, count, size):
            part = order[start : start + size]
            scores |= zip(part, ours(model, encoded.part(part)), strict=True)
        found = [scores[at] for at in range(count)]
        changed += flips(whole, found)
        drift = max(drift, difference(whole, found))
    return [
        Row(
            f"{count} questions in calls of 1, 2, 5, 8, 32, 64, shuffled: choices that change "
            "beyond a margin of 1e-4",
            "choices",
            changed,
            Target("at most", 0),
            details={
                "largest_difference": drift,
                "clear_margins": sum(margin(scores) > MARGIN for scores in whole),
            },
        )
    ]


def permutations(model: LanguageModel, count: int, repeats: int, seed: int) -> Row:
    """What the four cyclic orders of the choices cost beside one, behind 500 tokens of shots."""
    shots, asked = (lambda made: (made[:4], made[4:]))(questions(4 + count, seed))
    tokenizer = model.encoder.tokenizer
    one = encode(items(asked, "letters", shots), tokenizer)
    rotated = [each.rotated(by) for each in asked for by in range(4)]
    four = encode(items(rotated, "letters", shots), tokenizer)
    ours(model, one.part([0]))
    single, cyclic = in_turn(repeats, lambda: ours(model, one), lambda: ours(model, four))
    return faster(
        f"{count} question(s) behind 500 tokens of shots: cost of four cyclic orders to one",
        count,
        single,
        cyclic,
        Target("at most", 2),
        {"note": "ours: one order; peer: four orders, by the same scorer"},
    )


def memory(model: LanguageModel, count: int, seed: int) -> Row:
    """The largest tensor over the vocabulary, beside batch x length of the pass that made it."""
    asked = items(questions(count, seed), "cloze")
    encoded = encode(asked, model.encoder.tokenizer)
    with _Largest(model) as own:
        ours(model, encoded)
    few = range(BATCH_SIZE)  # as many as fill some of the peer's batches
    with _Largest(model) as theirs:
        LmEval(model).ids(encoded.part(few))
    vocabulary = model.network.config.vocab_size
    return Row(
        f"vocabulary {vocabulary:,}, {count} questions: the largest tensor over the vocabulary, "
        "beside batch x length x vocabulary of its pass",
        "share",
        own.share,
        Target("below", 1),
        theirs.share,
        details={
            "elements_over_vocabulary": {"ours": own.elements, "peer": theirs.elements},
            "elements_of_any_tensor": {"ours": own.any, "peer": theirs.any},
            "tokens_of_its_pass": {"ours": own.tokens, "peer": theirs.tokens},
            "questions_of_peer": len(few),
        },
    )


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches every tensor that is made while a model is asked; the weights do not count.

    Attributes:
        any: elements of the largest tensor.
        elements: of the largest with a dimension as long as the vocabulary.
        tokens: batch x length of the pass through the model that this one came of.
    """

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.any, self.elements, self.tokens = 0, 0, 1
        self._vocabulary: int = model.network.config.vocab_size
        self._weights = {each.untyped_storage().data_ptr() for each in model.network.parameters()}
        self._now = 1
        self._hook = model.network.get_decoder().register_forward_pre_hook(
            self._begin, with_kwargs=True
        )

    @property
    def share(self) -> float:
        """The largest over the vocabulary, as a share of one for every token of its pass."""
        return self.elements / (self.tokens * self._vocabulary)

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._hook.remove()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, tuple | list) else (made,):
            if isinstance(each, torch.Tensor) and self._counts(each):
                self.any = max(self.any, each.numel())
                if self._vocabulary in each.shape and each.numel() > self.elements:
                    self.elements, self.tokens = each.numel(), self._now
        return made

    def _counts(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage().data_ptr() not in self._weights

    def _begin(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._now = (args[0] if args else kwargs["input_ids"]).numel()


def difference(first: Scores, second: Scores) -> float:
    """The largest absolute difference of two scorers' log-likelihoods, in nats."""
    return max(
        (
            abs(left - right)
            for pair in zip(first, second, strict=True)
            for left, right in zip(*pair, strict=True)
        ),
        default=0.0,
    )


def margin(scores: Sequence[float]) -> float:
    """How far the best choice stands before the second, in nats."""
    best, second = sorted(scores, reverse=True)[:2]
    return best - second


def flips(expected: Scores, found: Scores) -> int:
    """How many choices differ, of those whose margin is clear."""
    return sum(
        margin(own) > MARGIN and own.index(max(own)) != other.index(max(other))
        for own, other in zip(expected, found, strict=True)
    )
