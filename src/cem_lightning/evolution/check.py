"""action=check: reads everything that a run would read, trains nothing, and says what it found.

Counts are taken in `measuring`, the forecast is made in `forecast`; here is what deserves a look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cem_lightning.evolution.calibration import measure, training_batch
from cem_lightning.evolution.config import Config
from cem_lightning.evolution.forecast import (
    forecast,
    free_bytes,
    machine_bytes,
    recipe_findings,
    stored_stages,
)
from cem_lightning.evolution.measuring import (
    AskedTokens,
    asked_tokens,
    corpus_findings,
    document_tokens,
    pool_findings,
)
from cem_lightning.evolution.prepare import Prepared, prepare
from cem_lightning.evolution.runner import Runner
from cem_lightning.progress import Progress
from cem_lightning.questions.config import JsonlData
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import Wording
from cem_lightning.reporting.figures import amount, memory, percent
from cem_lightning.reporting.findings import (
    CorpusFindings,
    Findings,
    Forecast,
    PoolFindings,
    Problem,
)
from cem_lightning.storage.store import Store

_ENOUGH = 20  # questions among whose answers the first choice ought to be


def check(config: Config) -> None:
    """Print what a run with this configuration would read, learn from and take.

    Raises:
        UserError: if something the user gave cannot be used, as in a run.
    """
    from cem_lightning.reporting.check import print_findings
    from cem_lightning.reporting.progress import make_progress

    prepared = prepare(config)
    with make_progress() as progress:
        findings = examine(prepared, progress)
    print_findings(findings)


def examine(prepared: Prepared, progress: Progress) -> Findings:
    """Everything that can be told before a run; of the store only the model may be written.

    Raises:
        UserError: if the model cannot be loaded, or an adapter does not fit it.
    """
    from cem_lightning.models.loading import load_encoder

    config, pools = prepared.config, prepared.pools
    model = prepared.model(Runner(Store(config.store_dir), progress))
    encoder, context = load_encoder(model.path, config.model)
    encoder = encoder.with_shots(Wording(config.answering.method).solved(pools.shots))
    tokens: dict[str, list[AskedTokens]] = {}
    total = sum(len(pool) for _, pool in pools.items())
    with progress.stage("check · questions", total=total, unit="questions") as task:
        for name, pool in pools.items():
            tokens[name] = []
            for question in pool:
                tokens[name].append(asked_tokens(question, encoder, config.answering))
                task.advance()
        found = tuple(
            pool_findings(name, pools, tokens[name], context, config.answering)
            for name, pool in pools.items()
            if pool
        )
    corpus, passage = _corpus(prepared, encoder.tokenizer, progress)
    exchanges = [each.exchange for each in tokens["source"]]
    recipe, mix = recipe_findings(config, encoder, sum(exchanges) / len(exchanges), passage)
    mined = _mined(prepared)
    by_id = {
        question.id: each
        for name, pool in pools.items()
        for question, each in zip(pool, tokens[name], strict=True)
    }
    batch = training_batch(prepared, encoder, mix, context)
    with progress.stage("check · time", unit="questions") as task:
        longest = min(context, max(*exchanges, config.knowledge.passage_tokens))
        step = config.trainer.batch_tokens or config.trainer.batch * longest
        largest_pack = min(config.trainer.pack_tokens, max(step, longest))
        measured = measure(prepared, model, by_id, batch, largest_pack, task)
        stored = stored_stages(prepared)
        expected = forecast(prepared, measured, tokens, len(mined), recipe.steps, stored)
    return Findings(
        name=config.name,
        model=config.model.path,
        context=context,
        pools=found,
        left_out=pools.reasons,
        mined=mined,
        rounds=config.rounds,
        corpus=corpus,
        source=config.knowledge.source,
        recipe=recipe,
        forecast=expected,
        problems=(
            *_pool_problems(prepared, found, tokens, context),
            *_corpus_problems(prepared, corpus, context),
            *_cost_problems(prepared, expected),
            *_guard_problems(prepared, mined, recipe.steps),
            *_machine_problems(prepared, expected, longest if config.rounds else 0),
        ),
    )


def _corpus(
    prepared: Prepared, tokenizer: object, progress: Progress
) -> tuple[CorpusFindings | None, float | None]:
    """What is known of the documents, and the mean tokens of a passage."""
    documents = prepared.corpus.documents
    if not documents:
        return None, None
    with progress.stage("check · corpus", total=len(documents), unit="documents") as counted:
        tokens = document_tokens(documents, tokenizer, counted.advance)
    with progress.stage("check · leaks", total=len(documents), unit="documents") as searched:
        found = corpus_findings(
            documents, tokens, prepared.pools, prepared.config.knowledge, searched.advance
        )
    longest = prepared.config.knowledge.passage_tokens
    return found, sum(min(each + 1, longest) for each in tokens) / len(tokens)


def _mined(prepared: Prepared) -> tuple[int, ...]:
    """Questions that each round mines, as far as there are any."""
    config = prepared.config
    sizes = (
        len(prepared.pools.slice_for_round(number, config.data, config.seed))
        for number in range(1, config.rounds + 1)
    )
    return tuple(size for size in sizes if size)


def _pool_problems(
    prepared: Prepared,
    pools: Sequence[PoolFindings],
    tokens: Mapping[str, Sequence[AskedTokens]],
    context: int,
) -> Iterator[Problem]:
    config = prepared.config
    left_out = prepared.pools.left_out
    if left_out:
        reasons = ", ".join(f"{why} ({n})" for why, n in prepared.pools.reasons.items())
        yield Problem(
            "data",
            f"{amount(len(left_out), 'rows')} cannot be used: {reasons}; first {left_out[0]}",
            "they are left out; see that the rest is what you mean to ask",
        )
    names = [pool.name for pool in pools]
    by_name: dict[str, tuple[Question, ...]] = dict(prepared.pools.items())
    if "heldout" not in names:
        yield Problem(
            "data.heldout",
            "there are no held-out questions, so a gain may be questions learned by heart",
            "give a file of its own, or set a share of the source to hold out",
        )
    fed = len(_mined(prepared))
    if fed < config.rounds:
        size = len(prepared.pools.source)
        fitting = max(1, size // config.rounds)
        yield Problem(
            "data.slice",
            f"the {size} source questions feed {fed} of {config.rounds} rounds",
            f"set data.slice={fitting} or data.mine=same, or lower rounds",
        )
    for pool in pools:
        key = f"data.{pool.name}" if isinstance(config.data, JsonlData) else "data"
        if pool.repeated:
            yield Problem(
                key,
                f"{amount(pool.repeated)} of {pool.questions} questions of {pool.name} repeat "
                "another one there and count twice",
                "remove them",
            )
        listed = [question for question in by_name[pool.name] if not question.short]
        if len(listed) >= _ENOUGH and all(question.answer for question in listed):
            yield Problem(
                key,
                f"none of the {amount(len(listed))} answers of {pool.name} is the first of its "
                "choices: numbers that count from 1 would be read one choice too far",
                "write positions from 0, letters from A, or texts",
            )
        if pool.too_long:
            yield Problem(
                key,
                f"{amount(pool.too_long)} of {pool.questions} questions of {pool.name} exceed the "
                f"model's context of {context} tokens and will count as not answered",
                "shorten them, or take a model with a longer context",
            )
        limit = config.answering.response_tokens
        unwritable = sum(
            question.short and each.response > limit
            for question, each in zip(by_name[pool.name], tokens[pool.name], strict=True)
        )
        if unwritable:
            yield Problem(
                "answering.response_tokens",
                f"{amount(unwritable)} accepted answers of {pool.name} are longer than the {limit} "
                "tokens that may be written",
                f"set it to {max(each.response for each in tokens[pool.name])}",
            )
        for cue in pool.cues:
            if cue.tells and pool.chance is not None:
                name = cue.name.replace("_", " ")
                yield Problem(
                    key,
                    f"{pool.name}: the strategy '{name}' scores {percent(cue.accuracy)} where "
                    f"guessing scores {percent(pool.chance)}: answers show on the surface",
                    "write wrong choices that look like right ones",
                )


def _corpus_problems(
    prepared: Prepared, corpus: CorpusFindings | None, context: int
) -> Iterator[Problem]:
    knowledge = prepared.config.knowledge
    if knowledge.passage_tokens >= context:
        yield Problem(
            "knowledge.passage_tokens",
            f"a passage of {knowledge.passage_tokens} tokens does not fit into the model's context "
            f"of {context}",
            f"set it below {context}",
        )
    if corpus is not None and corpus.unread:
        kinds = ", ".join(f"{count} {ending}" for ending, count in corpus.unread.items())
        yield Problem(
            "knowledge.corpus",
            f"{amount(sum(corpus.unread.values()), 'files')} are not read: {kinds}",
            "save what matters of them as text, Markdown or HTML",
        )
    if corpus is not None and corpus.leaks:
        yield Problem(
            "knowledge.corpus",
            f"{amount(len(corpus.leaks))} of {amount(corpus.documents, 'documents')} hold "
            f"questions of heldout or ood, first {corpus.leaks[0]}",
            "remove them: passages with such questions are left out, and if they are more than "
            f"knowledge.leak_threshold={knowledge.leak_threshold:g} of all, the run refuses",
        )


def _cost_problems(prepared: Prepared, expected: Forecast) -> Iterator[Problem]:
    most = prepared.config.endpoint.most_dollars
    for writing in expected.writing:
        dollars = writing.a_round.dollars
        if most is not None and dollars is not None and dollars > most:
            yield Problem(
                "endpoint.most_dollars",
                f"is {most:g}, and the {writing.what} of a round may cost {dollars:,.2f} US "
                "dollars if every question is a mistake: with that many a round would stop",
                "raise it, lower endpoint.max_tokens, or ask for less",
            )


def _guard_problems(prepared: Prepared, mined: Sequence[int], steps: int) -> Iterator[Problem]:
    config = prepared.config
    late = [each for each in config.trainer.evaluate_at if each > steps]
    if late and mined:
        yield Problem(
            "trainer.evaluate_at",
            f"a round has about {steps} steps, so nothing is asked at {late}",
            "lower them",
        )
    gate, slice_ = config.trainer.interpolation.gate, config.data.slice
    if gate and config.data.mine == "fresh" and mined and min(mined) < slice_:
        left = len(prepared.pools.source)
        yield Problem(
            "trainer.interpolation.gate",
            f"takes {gate} of the {left + gate} source questions, and the {left} left do not feed "
            f"every round with data.slice={slice_}",
            "lower one of the three, or give more questions",
        )


def _machine_problems(prepared: Prepared, expected: Forecast, longest: int) -> Iterator[Problem]:
    config = prepared.config
    if longest > config.trainer.pack_tokens:
        yield Problem(
            "trainer.pack_tokens",
            f"is {config.trainer.pack_tokens}, and the longest training example may have {longest}",
            f"set trainer.pack_tokens={longest}",
        )
    there = machine_bytes(prepared.device)
    if expected.memory > there:
        yield Problem(
            "trainer",
            f"about {memory(expected.memory)} are needed and the {prepared.device} has "
            f"{memory(there)}",
            "lower trainer.pack_tokens and answering.batch_tokens, train an adapter (trainer=lora) "
            "or take a smaller model",
        )
    free = free_bytes(config.store_dir)
    if expected.disk > free:
        yield Problem(
            "store_dir",
            f"the weights of all rounds take {memory(expected.disk)} and {memory(free)} are free",
            "set store_dir to a larger disk, or free the store with action=prune",
        )
