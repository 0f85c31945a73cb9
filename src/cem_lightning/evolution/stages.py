"""The stages of an evolution: each reads the inputs it is handed and writes into its own folder.

Which stage follows which is the business of `loop`; when one is run at all, of `runner`. Raise a
stage's version whenever the same inputs would give another result than before: stored results of
the old version are then no longer found.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.answering.records import Answer
from cem_lightning.corpus.assemble import Routed, by_route
from cem_lightning.corpus.assemble import assemble as assemble_examples
from cem_lightning.corpus.config import RecipeConfig
from cem_lightning.evolution.job import Job, Stage
from cem_lightning.evolution.stored import (
    read_answers,
    read_items,
    read_mistakes,
    read_passages,
    read_stored_pools,
    read_triaged,
)
from cem_lightning.evolution.supplying import supply
from cem_lightning.evolution.training import train
from cem_lightning.knowledge.corpora import Corpus
from cem_lightning.knowledge.usefulness import Reading
from cem_lightning.mistakes.config import MistakesConfig, TriageConfig
from cem_lightning.mistakes.extracting import Write
from cem_lightning.mistakes.records import LABELS
from cem_lightning.mistakes.triage import Triaged
from cem_lightning.questions.wording import Wording
from cem_lightning.storage.atomic import write_jsonl


def convert(job: Job) -> dict[str, Any]:
    """A plain safetensors copy of a GGUF."""
    from cem_lightning.models.source import convert_gguf

    with job.progress.stage(job.title):
        convert_gguf(job.inputs["file"], job.folder / "model")
    return {}


def random_model(job: Job) -> dict[str, Any]:
    """A tiny random model, to try a configuration with."""
    from cem_lightning.models.random_models import write_random_model

    with job.progress.stage(job.title):
        write_random_model(job.folder / "model", job.config["architecture"])
    return {}


def answer(job: Job) -> dict[str, Any]:
    """Every answer of every pool, and of its name-blind form."""
    from cem_lightning.answering.asking import ask_stream
    from cem_lightning.answering.scoring import SCORER_VERSION
    from cem_lightning.models.fingerprint import tokenizer_version
    from cem_lightning.models.loading import load_model

    config = AnsweringConfig(**job.config["answering"])
    pools = read_stored_pools(job.inputs["pools"])
    forms = (False, True) if config.blind else (False,)
    asked = [each for _, pool in pools.items() for each in pool]
    total = len(asked) + (sum(each.blind is not None for each in asked) if config.blind else 0)
    with job.progress.stage(job.title, total=total, unit="questions") as task:
        model = load_model(job.inputs["model"], job.model_config(), job.inputs.get("weights"))
        tokenizer = tokenizer_version(model.encoder)
        model = model.with_shots(Wording(config.method).solved(pools.shots))
        for blind in forms:
            for name, questions in pools.items():
                answers = ask_stream(model, questions, config, blind=blind, advance=task.advance)
                folder = job.folder / ("blind" if blind else "answers")
                _write_first(folder / f"{name}.jsonl", answers)
    return {
        "wording": Wording(config.method).version,
        "tokenizer": tokenizer,
        "scorer": SCORER_VERSION,
        "shots": len(pools.shots),
    }


def open_book(job: Job) -> dict[str, Any]:
    """The answers to heldout with retrieved passages in the prompt: what retrieval could give."""
    from cem_lightning.answering.asking import ask_stream
    from cem_lightning.answering.sharding import Shares
    from cem_lightning.knowledge.open_book import open_book as find_passages
    from cem_lightning.knowledge.open_book import stem_queries
    from cem_lightning.knowledge.retrievers import retriever_of
    from cem_lightning.models.loading import load_model

    config = AnsweringConfig(**job.config["answering"])
    knowledge = job.knowledge_config()
    pools = read_stored_pools(job.inputs["pools"])
    questions = pools.heldout
    with job.progress.stage(job.title, total=len(questions), unit="questions") as task:
        model = load_model(job.inputs["model"], job.model_config())
        model = model.with_shots(Wording(config.method).solved(pools.shots))
        found = Shares.here().from_first(  # no source is asked the same by every process
            lambda: find_passages(
                questions,
                retriever_of(knowledge).gather(
                    stem_queries(questions),
                    model.encoder.count,
                    lambda _, note: task.advance(0, note),
                    unit="held-out questions",
                    control=False,
                ),
                knowledge,
                config.open_book_passages,
                model.encoder.count,
            )
        )
        answers = ask_stream(model, questions, config, passages=found, advance=task.advance)
        _write_first(job.folder / "answers.jsonl", answers)
    return {}


def noise(job: Job) -> dict[str, Any]:
    """The answers to heldout asked in other ways, which no training tells apart."""
    from cem_lightning.answering.asking import ask_stream
    from cem_lightning.answering.noise import in_own_order, other_batching, reversed_choices
    from cem_lightning.models.loading import load_model

    config = AnsweringConfig(**job.config["answering"])
    pools = read_stored_pools(job.inputs["pools"])
    listed = {} if config.method == "cloze" else {e.id: e for e in pools.heldout if not e.short}
    total = len(pools.heldout) + len(listed)
    with job.progress.stage(job.title, total=total, unit="questions") as task:
        model = load_model(job.inputs["model"], job.model_config())
        model = model.with_shots(Wording(config.method).solved(pools.shots))
        found = ask_stream(model, pools.heldout, other_batching(config), advance=task.advance)
        _write_first(job.folder / "batching.jsonl", found)
        turned = map(reversed_choices, listed.values())
        found = ask_stream(model, turned, config, advance=task.advance)
        own = (in_own_order(each, listed[each.question]) for each in found)
        _write_first(job.folder / "order.jsonl", own)
    return {}


def collect(job: Job) -> dict[str, Any]:
    """The mistakes among the answers to this round's questions, with their knowledge points."""
    from cem_lightning.mistakes.collecting import collect as collect_mistakes

    mined = set(job.config["mined"])
    source = read_stored_pools(job.inputs["pools"]).source
    questions = [question for question in source if question.id in mined]
    answers = read_answers(job.inputs["answers"] / "source.jsonl")
    config = MistakesConfig(**job.config["mistakes"])
    with job.progress.stage(job.title, total=len(questions), unit="questions") as task:
        write = _writer(job) if config.asks else None
        found = collect_mistakes(questions, answers, config, write)
        task.advance(len(questions))
    write_jsonl(job.folder / "mistakes.jsonl", (each.as_dict() for each in found.mistakes))
    labels = [each.label for each in found.mistakes]
    outcomes = [each.outcome for each in answers if each.question in mined]
    return {
        **{label: labels.count(label) for label in LABELS},
        **{outcome: outcomes.count(outcome) for outcome in ("unparsable", "too_long")},
        "points_by_keyphrase": found.fallbacks,
    }


def acquire(job: Job) -> dict[str, Any]:
    """Passages about the mistakes, as many random ones for control, and what was left out."""
    from cem_lightning.knowledge.acquire import acquire as acquire_passages
    from cem_lightning.knowledge.retrievers import retriever_of
    from cem_lightning.models.loading import load_encoder

    collected = read_mistakes(job.inputs["mistakes"])
    mistakes = [each for each in collected if each.label != "format"]  # these lack no knowledge
    config = job.knowledge_config()
    encoder, _ = load_encoder(job.inputs["model"], job.model_config())
    with job.progress.stage(job.title, total=len(mistakes), unit="mistakes") as task:
        corpus, told = Corpus(()), ""

        def served(amount: int, note: str) -> None:
            nonlocal told
            told = note or told
            task.advance(amount, note)

        if mistakes:
            points = [each.points for each in mistakes]
            corpus = retriever_of(config).gather(points, encoder.count, served)
            if not corpus.sought:  # a source that is asked has told of its requests
                served(0, f"{len(corpus.documents):,} documents to search")
        acquired = acquire_passages(
            mistakes,
            corpus,
            read_stored_pools(job.inputs["pools"]),
            config,
            job.config["seed"],
            encoder.count,
        )
        helped = {question for each in acquired.passages for question in each.serves}
        why = ", ".join(f"{count} {reason}" for reason, count in acquired.counts.items())
        notes = (told, f"{len(helped)} with passages", f"left out: {why}" if why else "")
        task.advance(0, ", ".join(filter(None, notes)))
    if mistakes and not acquired.passages:
        job.progress.say(
            f"{job.title}: no passage was let in, so there is no text to train on; "
            "action=trace question=ID tells why for each question"
        )
    write_jsonl(job.folder / "passages.jsonl", (each.as_dict() for each in acquired.passages))
    write_jsonl(job.folder / "control.jsonl", (each.as_dict() for each in acquired.control))
    write_jsonl(job.folder / "dropped.jsonl", (each.as_dict() for each in acquired.dropped))
    return {"passages": len(acquired.passages), "dropped": acquired.counts}


def triage(job: Job) -> dict[str, Any]:
    """The class of every mistake and its route, by how passages in the prompt change the answers.

    The model that made the mistakes is asked again, unless the configuration says not to.
    """
    from cem_lightning.evolution.open_books import ask_with_passages
    from cem_lightning.knowledge.usefulness import helping, probe, usefulness
    from cem_lightning.mistakes.triage import triage as triage_mistakes
    from cem_lightning.models.loading import load_model

    mistakes = read_mistakes(job.inputs["mistakes"])
    passages = read_passages(job.inputs["passages"])
    config = TriageConfig(**job.config["triage"])
    most = config.open_book_passages
    pairs = sum(len(each.serves) for each in passages) if config.min_bits is not None else 0
    opened: tuple[Answer, ...] = ()
    readings: tuple[Reading, ...] = ()
    served = {question for each in passages for question in each.serves}
    asked = [each for each in mistakes if each.question.id in served]
    total = pairs + (len(asked) if most else 0)
    with job.progress.stage(job.title, total=total, unit="questions") as task:
        if total:
            settings = AnsweringConfig(**job.config["answering"])
            shots = Wording(settings.method).solved(read_stored_pools(job.inputs["pools"]).shots)
            model = load_model(job.inputs["model"], job.model_config(), job.inputs.get("weights"))
            model = model.with_shots(shots)
            if config.min_bits is not None:
                readings = probe(model, asked, passages, settings, config.min_bits, task.advance)
                passages = helping(passages, readings)
                served = {question for each in passages for question in each.serves}
                left = [each for each in asked if each.question.id in served]
                task.advance(len(asked) - len(left) if most else 0)
                asked = left
            if most:
                opened = ask_with_passages(model, asked, passages, most, settings, task.advance)
    triaged = triage_mistakes(
        mistakes, read_answers(job.inputs["answers"] / "source.jsonl"), passages, opened, config
    )
    _write_first(job.folder / "open_book.jsonl", opened)
    _write_first(job.folder / "readings.jsonl", readings)
    _write_first(job.folder / "triaged.jsonl", triaged)
    return {
        "trained": sum(each.trained for each in triaged),
        "routes": dict(Counter(each.route for each in triaged)),
        "usefulness": usefulness(readings) if readings else None,
    }


def assemble(job: Job) -> dict[str, Any]:
    """The training examples of this round, as an Arrow folder.

    A round that starts from the base model is handed the mistakes of all rounds so far. What was
    forgotten shows in the answers of earlier rounds, which a first round has none of. A question
    that any round has put into quarantine is not reviewed either.
    """
    from cem_lightning.corpus.arrow import save_examples
    from cem_lightning.knowledge.decontamination import LeakIndex
    from cem_lightning.models.loading import load_encoder

    rounds = [name.removeprefix("triaged_") for name in job.inputs if name.startswith("triaged_")]
    pools = read_stored_pools(job.inputs["pools"])
    asked = set(job.config["asked"])
    encoder, context = load_encoder(job.inputs["model"], job.model_config())
    routed = [_routed(job, number, encoder.count) for number in rounds]
    made = [name for name in job.inputs if name.startswith("synthetic_")]
    items = [name for name in job.inputs if name.startswith("items_")]
    mistakes = [mistake for each in routed for mistake in each.mistakes]
    withheld = {question for each in routed for question in each.withheld}
    before = [path for name, path in job.inputs.items() if name.startswith("before_")]
    withheld |= {e.question for path in before for e in read_triaged(path) if e.quarantined}
    right = _right(job, "answers") - withheld
    collected = withheld | {each.question.id for each in mistakes}
    earlier = [name for name in job.inputs if name.startswith("earlier_")]
    once = {question for name in earlier for question in _right(job, name)}
    mined = [each for each in pools.source if each.id in asked]
    index = LeakIndex(pools)
    with job.progress.stage(job.title):
        assembly = assemble_examples(
            mistakes,
            [passage for each in routed for passage in each.passages]
            + [passage for name in made for passage in read_passages(job.inputs[name])],
            [passage for each in routed for passage in each.control],
            [each for each in mined if each.id in right],
            wording=Wording(job.config["method"]),
            encoder=encoder,
            context=context,
            recipe=RecipeConfig(**job.config["recipe"]),
            items=[item for name in items for item in read_items(job.inputs[name])],
            leaks=lambda text: bool(index.find(text)),
            forgotten=[each for each in mined if each.id in once - right - collected],
            seed=job.config["seed"],
        )
        save_examples(assembly.examples, job.folder / "examples")
    return {"examples": len(assembly.examples), "dropped": assembly.dropped}


STAGES: dict[str, Stage] = {
    "convert": Stage(convert, 1),
    "random_model": Stage(random_model, 1),
    "answer": Stage(answer, 2),
    "open_book": Stage(open_book, 2),
    "noise": Stage(noise, 1),
    "collect": Stage(collect, 4),
    "acquire": Stage(acquire, 4),
    "triage": Stage(triage, 3),
    "supply": Stage(supply, 2),
    "assemble": Stage(assemble, 5),
    "train": Stage(train, 3),
}


def _write_first(path: Path, rows: Iterable[Answer | Triaged | Reading]) -> None:
    """Write rows as they come; of several processes that ask together the first one does."""
    from cem_lightning.answering.sharding import Shares

    if Shares.here().first:
        write_jsonl(path, (each.as_dict() for each in rows))
    else:
        deque(rows, maxlen=0)


def _routed(job: Job, number: str, count_tokens: Callable[[str], int]) -> Routed:
    """What triage sends to training of what a round has collected."""
    return by_route(
        read_mistakes(job.inputs[f"mistakes_{number}"]),
        read_passages(job.inputs[f"passages_{number}"]),
        read_passages(job.inputs[f"control_{number}"]),
        read_triaged(job.inputs[f"triaged_{number}"]),
        count_tokens,
    )


def _right(job: Job, answers: str) -> set[str]:
    """The source questions that these answers got right."""
    found = read_answers(job.inputs[answers] / "source.jsonl")
    return {each.question for each in found if each.right}


def _writer(job: Job) -> Write:
    """What a model writes to prompts: the one that made the mistakes, or one behind an endpoint."""
    from cem_lightning.evolution.writers import writer_of
    from cem_lightning.knowledge.endpoint_messages import Message
    from cem_lightning.mistakes.extracting import LISTED

    writer = writer_of(job, LISTED)
    return lambda prompts: writer.complete(
        [(Message("user", each),) for each in prompts], lambda _: None
    )
