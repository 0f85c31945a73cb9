"""What a run will take: tokens, time, memory and space, reckoned from a few passes.

An estimate: nothing is trained for it, and what a round will find to learn from is not known yet.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cem_lightning.corpus.config import KINDS, Kind
from cem_lightning.corpus.general import general_instructions
from cem_lightning.errors import UserError
from cem_lightning.evolution.calibration import Measured
from cem_lightning.evolution.config import Config
from cem_lightning.evolution.measuring import AskedTokens
from cem_lightning.evolution.prepare import Prepared
from cem_lightning.evolution.runner import Runner
from cem_lightning.knowledge.config import WebKnowledge, WikipediaKnowledge, singles
from cem_lightning.knowledge.endpoint_messages import Message
from cem_lightning.knowledge.open_book import PHRASES
from cem_lightning.knowledge.records import Passage
from cem_lightning.knowledge.spending import TOKEN_BYTES, spending
from cem_lightning.knowledge.supply.kinds import tasks
from cem_lightning.knowledge.web import SPARE_DRAWS
from cem_lightning.knowledge.wikipedia import RANDOM_BATCH
from cem_lightning.mistakes.extracting import ATTEMPTS, LISTED, prompt
from cem_lightning.mistakes.records import Mistake
from cem_lightning.models.encoding import Encoder
from cem_lightning.progress import SilentProgress
from cem_lightning.questions.pools import Pools
from cem_lightning.reporting.findings import Cost, Forecast, RecipeFindings, Requests, Writing
from cem_lightning.storage.store import Store

# Forward passes that a step of training is worth: the backward pass takes two for the gradients of
# activations and of weights (Kaplan et al. 2020, arXiv 2001.08361, section 2.1); frozen weights
# need none of their own, and the model that predictions are held near to reads a step once.
ALL_WEIGHTS, ADAPTER, ANCHOR = 3.0, 2.0, 1.0


def recipe_findings(
    config: Config, encoder: Encoder, exchange: float, document: float | None
) -> tuple[RecipeFindings, dict[Kind, float]]:
    """Tokens of a round by kind and optimizer steps; also the examples of a step by kind.

    Args:
        exchange: mean tokens of a question with its right answer.
        document: mean tokens of a passage; None if the documents are not known.
    """
    passage = float(config.knowledge.passage_tokens) if document is None else document
    general = [len(encoder.exchange(*each).ids) for each in general_instructions()]
    lengths: dict[Kind, float] = {
        "passage": passage,
        "normative": exchange,
        "extractive": passage + exchange,
        "review": exchange,
        "general": sum(general) / len(general),
    }
    recipe = config.recipe
    tokens = {kind: recipe.tokens * recipe.share(kind) for kind in KINDS if recipe.share(kind)}
    examples = {kind: count / lengths[kind] for kind, count in tokens.items()}
    batch, whole_step = config.trainer.batch, config.trainer.batch_tokens
    read = sum(examples.values()) if whole_step is None else sum(tokens.values())
    steps = max(1, -(-round(read) // (whole_step or batch)))
    mix = {kind: count / sum(examples.values()) for kind, count in examples.items()}
    whole = {kind: round(count) for kind, count in tokens.items()}
    return RecipeFindings(recipe.name, whole, steps), mix


def forecast(
    prepared: Prepared,
    measured: Measured,
    tokens: Mapping[str, Sequence[AskedTokens]],
    rounds: int,
    steps: int,
    stored: Sequence[tuple[int, str]],
) -> Forecast:
    """Time, memory and space of the run.

    Args:
        tokens: of every question of each pool.
        rounds: that the source pool feeds, at most the configured ones.
        steps: of a round.
        stored: rounds and stages that are in the store.
    """
    import torch

    config = prepared.config
    done = set(stored)
    asked = sum(each.asked + each.blind for pool in tokens.values() for each in pool)
    asking = [number for number in range(rounds + 1) if (number, "answer") not in done]
    costs = [
        Cost(
            "asking",
            len(asking),
            asked,
            len(asking) * asked / measured.asking_rate,
            rounds + 1 - len(asking),
        )
    ]
    shown = config.answering.open_book_passages
    if shown and tokens["heldout"]:
        read = sum(
            each.asked + shown * config.knowledge.passage_tokens for each in tokens["heldout"]
        )
        opened = int((0, "open_book") in done)
        costs.append(
            Cost("open book", 1 - opened, read, (1 - opened) * read / measured.asking_rate, opened)
        )
    if config.answering.noise_floor and tokens["heldout"]:
        ways = 1 if config.answering.method == "cloze" else 2
        again = sum(each.asked for each in tokens["heldout"]) * ways
        measured_already = int((0, "noise") in done)
        todo = 1 - measured_already
        rate = measured.asking_rate
        costs.append(Cost("noise floor", todo, again, todo * again / rate, measured_already))
    worth = ALL_WEIGHTS if config.trainer.lora is None else ADAPTER
    worth += ANCHOR if config.objective.kl else 0
    devices = config.trainer.devices if prepared.device == "cuda" else 1
    training_rate = measured.forward_rate / worth * devices
    if rounds:
        anew = config.trainer.start == "base"
        left = [each for each in range(1, rounds + 1) if (each, "train") not in done]
        total = sum(config.recipe.tokens * (number if anew else 1) for number in left)
        costs.append(
            Cost(
                "training",
                len(left),
                total / len(left) if left else config.recipe.tokens,
                total / training_rate,
                rounds - len(left),
            )
        )
        if meanwhile := _asked_meanwhile(config, tokens, steps):
            seconds = len(left) * meanwhile / measured.asking_rate
            costs.append(
                Cost("asking meanwhile", len(left), meanwhile, seconds, rounds - len(left))
            )
    return Forecast(
        device=prepared.device,
        threads=torch.get_num_threads(),
        parameters=measured.parameters,
        trained=measured.trained,
        asking_rate=measured.asking_rate,
        training_rate=training_rate,
        costs=tuple(costs),
        memory=max(measured.peak, _training_bytes(prepared, measured) if rounds else 0),
        disk=rounds * measured.kept_bytes,
        requests=_requests(prepared, rounds),
        writing=tuple(_writing(prepared, rounds)) if rounds else (),
    )


def _asked_meanwhile(
    config: Config, tokens: Mapping[str, Sequence[AskedTokens]], steps: int
) -> float:
    """Tokens of the questions that a training asks: the guarded pool, and in the end the gate."""
    guarded, trainer = config.verdict.guarded, config.trainer
    pool = tokens[guarded] if guarded else ()
    times = sum(each <= steps for each in trainer.evaluate_at)
    asked = float(times * sum(each.asked for each in pool))
    if trainer.interpolation.gate and tokens["source"]:
        mean = sum(each.asked for each in tokens["source"]) / len(tokens["source"])
        asked += (len(trainer.interpolation.parts) + 1) * trainer.interpolation.gate * mean
    return asked


def _training_bytes(prepared: Prepared, measured: Measured) -> int:
    """Memory of a training, with the copies of the start that guards keep."""
    if measured.training is None:
        return 0
    config = prepared.config
    copies = 0
    if config.trainer.lora is None:  # an adapter is taken off instead
        copies += measured.model_bytes if config.objective.kl else 0
        asks = config.trainer.interpolation.gate and prepared.device == "cpu"  # it is kept there
        copies += measured.kept_bytes if asks else 0
    return round(measured.resident + measured.training.total + copies)


def stored_stages(prepared: Prepared) -> list[tuple[int, str]]:
    """Rounds and names of the stages that the run will find in the store, up to the first gap.

    Writes nothing into a store that has not seen these questions.
    """
    store = Store(prepared.config.store_dir)
    if not (store.root / "pools" / store.key("pools", {"digest": prepared.pools.digest})).is_dir():
        return []
    noted: list[tuple[int, str]] = []

    def note(number: int | None, stage: str, _: str) -> None:
        if number is not None:
            noted.append((number, stage))

    runner = Runner(store, SilentProgress(), compute=False, note=note)
    try:
        prepared.loop(runner).run()
    except UserError:  # the last one noted is not there
        return noted[:-1]
    return noted


def _requests(prepared: Prepared, rounds: int) -> tuple[Requests, ...]:
    """The most requests that each source on a network would get.

    Of Wikipedia a mistake takes a search for each number of its knowledge points, down to one, and
    the articles found; the control as many random articles as there may be passages. Of the web it
    takes a search and the pages found; the control at most as much again.
    """
    config, knowledge = prepared.config, prepared.config.knowledge
    mistakes = _most_mined(prepared.pools, config)
    asked = len(prepared.pools.heldout) if config.answering.open_book_passages else 0
    found = []
    for each in singles(knowledge):
        if isinstance(each, WikipediaKnowledge):
            drawn = mistakes * each.passages + RANDOM_BATCH
            a_round = mistakes * (config.mistakes.points + each.articles)
            a_round += drawn + drawn // RANDOM_BATCH + 1
            a_book, source = PHRASES + each.articles, "Wikipedia"
        elif isinstance(each, WebKnowledge):
            a_book, source = 1 + each.results, "the web"
            a_round = (2 * mistakes + SPARE_DRAWS) * a_book
        else:
            continue
        pace = each.requests_per_second
        found.append(Requests(source, a_round, asked * a_book, rounds, pace))
    return tuple(found)


def _writing(prepared: Prepared, rounds: int) -> Iterator[Writing]:
    """What a model would be asked if every mined question were a mistake and had all passages."""
    config, endpoint = prepared.config, prepared.config.endpoint
    mined = prepared.pools.slice_for_round(1, config.data, config.seed)
    if config.mistakes.asks:
        prompts = [(Message("user", prompt(each, config.mistakes)),) for each in mined]
        if config.mistakes.points_by == "endpoint":
            asked = spending(prompts, endpoint.max_tokens, endpoint.dollars)
        else:
            asked = spending(prompts, LISTED)
        yield Writing("knowledge points", asked * ATTEMPTS, rounds)
    if config.supply.asks:
        text = "a" * TOKEN_BYTES * config.knowledge.passage_tokens
        passage = Passage("", text, "", "", "", "", 0.0, (mined[0].id,))
        found = tasks([passage], [Mistake(mined[0], "wrong", None, 0.0)], config.supply)
        messages = [task.messages for task in found]
        if config.supply.by == "endpoint":
            asked = spending(messages, endpoint.max_tokens, endpoint.dollars)
        else:
            asked = spending(messages, config.supply.response_tokens)
        yield Writing("synthetic texts", asked * len(mined) * config.knowledge.passages, rounds)


def _most_mined(pools: Pools, config: Config) -> int:
    return len(pools.slice_for_round(1, config.data, config.seed))


def free_bytes(folder: Path) -> int:
    """Free space where a folder is or will be."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(there).free


def machine_bytes(device: str) -> int:
    """Memory of the GPU, or of the machine."""
    import torch

    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory)
    return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))
