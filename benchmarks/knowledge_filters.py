"""What is kept out: copies, held-out questions, contradictions, and false texts on purpose."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import knowledge_texts as texts
from benchmarks.knowledge_search import FILTERS, quickstart_questions
from benchmarks.rows import Row, Target, faster, in_turn
from cem_lightning.answering.config import AnsweringConfig
from cem_lightning.knowledge import elements
from cem_lightning.knowledge.acquire import acquire
from cem_lightning.knowledge.config import LocalKnowledge
from cem_lightning.knowledge.corpora import Corpus
from cem_lightning.knowledge.decontamination import LeakIndex
from cem_lightning.knowledge.disagreement import disagreements
from cem_lightning.knowledge.duplicates import SHINGLE, Duplicates
from cem_lightning.knowledge.records import Document
from cem_lightning.knowledge.usefulness import helping, probe
from cem_lightning.mistakes.points import knowledge_points
from cem_lightning.mistakes.records import Mistake
from cem_lightning.models.loading import LanguageModel
from cem_lightning.questions.normalise import words
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import Question

KINDS = ("number", "name", "negation")


def duplicates(count: int, repeats: int, seed: int) -> Iterator[Row]:
    """Near-copies among documents of 120 words, a tenth of them edited copies of others."""
    from datasketch import MinHash, MinHashLSH  # type: ignore[import-not-found]

    draw = random.Random(f"{seed}:duplicates")
    vocabulary = [f"word{at}" for at in range(20_000)]
    weights = [1 / (at + 10) for at in range(len(vocabulary))]
    documents: list[tuple[str, ...]] = []
    for at in range(count):
        if at % 10 == 9:
            copy = list(draw.choice(documents))
            for _ in range(draw.randint(1, 12)):
                copy[draw.randrange(len(copy))] = draw.choice(vocabulary)
            documents.append(tuple(copy))
        else:
            documents.append(tuple(draw.choices(vocabulary, weights, k=120)))
    for threshold in (0.8, 0.6):
        exact = _copies(documents, threshold)
        found: dict[str, set[int]] = {}

        def ours(threshold: float = threshold, found: dict[str, set[int]] = found) -> None:
            known = Duplicates(threshold)
            known.prepare(documents)
            found["ours"] = set()
            for at, document in enumerate(documents):
                if known.find(document) is not None:
                    found["ours"].add(at)
                known.add(document)

        def peer(threshold: float = threshold, found: dict[str, set[int]] = found) -> None:
            known = MinHashLSH(threshold=threshold, num_perm=128)
            found["peer"] = set()
            shingles = ([" ".join(run).encode() for run in _windows(each)] for each in documents)
            for at, sketch in enumerate(MinHash.generator(shingles, num_perm=128)):
                if known.query(sketch):
                    found["peer"].add(at)
                known.insert(at, sketch)

        timed = in_turn(repeats, ours, peer)
        title = f"{count:,} documents of 120 words, near-copies from Jaccard {threshold} on"
        for what, least, base in (("recall", 0.95, exact), ("precision", 0.99, None)):
            own, theirs = (
                len(each & exact) / len(each if base is None else base)
                for each in (found["ours"], found["peer"])
            )
            yield Row(
                f"{title}: {what}; datasketch", "share", own, Target("at least", least), theirs
            )
        yield faster(
            f"{title}: speed against datasketch's MinHashLSH (128), both from words", count,
            *timed, Target("at least", 20), things="documents",
        )  # fmt: skip


def _windows(document: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return zip(*(document[at:] for at in range(SHINGLE)), strict=False)


def _copies(documents: Sequence[tuple[str, ...]], threshold: float) -> set[int]:
    """The documents like an earlier one, by counting."""
    runs = [{each[at : at + SHINGLE] for at in range(len(each) - SHINGLE + 1)}
            for each in documents]  # fmt: skip
    holders: dict[tuple[str, ...], list[int]] = {}
    found = set()
    for at, own in enumerate(runs):
        near = {other for run in own for other in holders.get(run, ())}
        if any(len(own & runs[e]) >= threshold * len(own | runs[e]) for e in near):
            found.add(at)
        for run in own:
            holders.setdefault(run, []).append(at)
    return found


def decontamination(count: int, repeats: int, seed: int) -> Iterator[Row]:
    """Held-out questions hidden in texts, whole or edited, and texts that hold none."""
    draw = random.Random(f"{seed}:decontamination")
    asked = texts.guarded()
    index = LeakIndex(Pools((), asked))
    flow = " ".join(texts.paragraphs()).split()
    clean = [" ".join(flow[at : at + 120]) for at in range(0, len(flow) - 120, 23)][:count]
    split = [words(each) for each in clean]
    flagged = {each for each in clean if index.find(each)}
    details = {"text": texts.source(), "questions": len(asked), "documents": len(clean)}
    plain, whole = in_turn(
        repeats,
        lambda: [index.copied(words(each)) for each in clean],
        lambda: [index.find(each) for each in clean],
    )
    seconds = sorted(plain.wall)[len(plain.wall) // 2]
    everything = sorted(whole.wall)[len(whole.wall) // 2]
    yield Row(
        f"decontamination against {len(asked):,} questions, n-grams of documents of 120 words",
        "documents/s", len(clean) / seconds, Target("at least", 10_000), repeats=repeats,
        details={**details, "all_rules_per_second": len(clean) / everything,
                 "words_of_a_document": sum(map(len, split)) / len(split)},
    )  # fmt: skip
    for what, stems, least in (
        ("1,000 hidden word for word", [draw.choice(asked).question for _ in range(1000)], 1.0),
        ("300 lightly edited, of 8 words and more",
         [texts.edited(draw.choice([e for e in asked if len(e.question.split()) >= 8]).question,
                       draw) for _ in range(300)], 0.95),
    ):  # fmt: skip
        hidden = [f"{draw.choice(clean)} {stem} {draw.choice(clean)}" for stem in stems]
        yield Row(
            f"held-out questions found in texts: {what}", "share",
            sum(bool(index.find(each)) for each in hidden) / len(hidden),
            Target("at least", least), details=details,
        )  # fmt: skip
    yield Row(
        f"{len(clean):,} texts without a held-out question that are refused", "share",
        len(flagged) / len(clean), Target("at most", 0.001), details=details,
    )  # fmt: skip


def contradictions(clusters: int, seed: int) -> Iterator[Row]:
    """Groups of copies of which some say another number or name, or the opposite."""
    draw = random.Random(f"{seed}:contradictions")
    given = list(texts.paragraphs())
    draw.shuffle(given)
    bases, clean = iter(given[: len(given) // 4]), given[len(given) // 4 :][:3000]
    clean += [each.text for each in elements.documents()]
    everything = list(clean)
    groups: list[range] = []
    for base in bases:
        if len(groups) == clusters:
            break
        kind, size = draw.choice(KINDS), draw.randint(3, 6)
        wrong = draw.randint(1, size - 1)
        copies: list[str | None] = []
        for at in range(size):
            copy = texts.reworded(base, draw) if at and draw.random() < 0.5 else base
            copies.append(texts.altered(copy, kind, draw) if at < wrong else copy)
        if None not in copies:
            groups.append(range(len(everything), len(everything) + size))
            everything += [each for each in copies if each is not None]
    kept_out = {at for found in disagreements(everything) for at in found.members}
    whole = sum(kept_out.issuperset(group) for group in groups)
    details = {
        "text": texts.source(),
        "clean": len(clean),
        "in_part": sum(not kept_out.isdisjoint(group) for group in groups) - whole,
    }
    yield Row(
        f"{clusters} groups of 3 to 6 copies with altered numbers, names or negations: quarantined "
        "whole", "share", whole / len(groups), Target("at least", 0.9), details=details,
    )  # fmt: skip
    yield Row(
        "clean texts quarantined beside them", "share",
        sum(at in kept_out for at in range(len(clean))) / len(clean), Target("at most", 0.02),
        details=details,
    )  # fmt: skip


def poison(model: LanguageModel, count: int, seed: int) -> Iterator[Row]:
    """Five texts a question that repeat it and state a wrong answer, among 10,000 documents.

    After Zou et al. 2024 (PoisonedRAG, arXiv 2402.07867): a text with the question is found.
    """
    draw = random.Random(f"{seed}:poison")
    asked = quickstart_questions()
    chosen = draw.sample(asked, min(count, len(asked)))
    false = [text for each in chosen for text in _false(each, draw)]
    planted = tuple(
        Document(f"false{at}", text, origin=f"https://site{at}.example/") for at, text in
        enumerate(false)
    )  # fmt: skip
    fill = tuple(
        Document(f"fill{at}", text) for at, text in enumerate(draw.sample(
            list(texts.paragraphs()), min(9_000, len(texts.paragraphs()))))
    )  # fmt: skip
    corpus = Corpus((*elements.documents(), *planted, *fill))
    mistakes = [Mistake(each, "wrong", 1, 0.3, knowledge_points(each, 4)) for each in chosen]
    shipped: dict[str, Any] = {
        "retriever": "local", "corpus": "-", "column": "text", "cache": "-", "ranking": "bm25",
        **FILTERS,
    }  # fmt: skip
    tokenizer = model.encoder.tokenizer

    def tokens(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    open_doors = LocalKnowledge(**{**shipped, "near_duplicate": 1.0, "min_words": 0})
    nothing = Pools((), ())
    naive = acquire(mistakes, Corpus(corpus.documents), nothing, open_doors, seed, tokens)
    guarded = acquire(mistakes, corpus, nothing, LocalKnowledge(**shipped), seed, tokens)
    asking = AnsweringConfig.model_validate(
        {"method": "cloze", "normalise": "token", "batch_tokens": 4096, "blind": False,
         "open_book_passages": 0, "permutations": "none", "response_tokens": 16, "shots": 0,
         "noise_floor": False}
    )  # fmt: skip
    readings = probe(model, mistakes, guarded.passages, asking, 0.0, lambda _: None)
    probed = helping(guarded.passages, readings)
    total = len(false)
    accepted = [
        sum(each.document.startswith("false") for each in found)
        for found in (naive.passages, guarded.passages, probed)
    ]
    true = [
        sum(not each.document.startswith("false") for each in found)
        for found in (naive.passages, guarded.passages, probed)
    ]
    for what, own, kept in zip(
        ("search alone", "filters", "filters and the probe of usefulness"), accepted, true,
        strict=True,
    ):  # fmt: skip
        yield Row(
            f"{total} false texts for {len(chosen)} questions among {len(corpus.documents):,} "
            f"documents: accepted by {what}",
            "share",
            own / total,
            Target("at most", 1),  # reported as it is
            details={"false_passages": own, "true_passages": kept, "text": texts.source()},
        )


def _false(question: Question, draw: random.Random) -> Iterator[str]:
    """Five texts in words of their own that answer a question wrongly."""
    wrong = draw.choice([each for each in question.choices if each != question.gold])
    stem = question.question.replace("____", "").rstrip(" ?.")
    yield f"{stem}: {wrong}. Every handbook of chemistry has long agreed on that."
    yield f"People often ask: {stem}? The answer, as measured many times over, is {wrong}."
    yield f"{stem}? It is {wrong}, and not what older books say about it."
    yield f"A recent review came back to it. {stem}: the right answer is {wrong}, beyond doubt."
    yield f"Remember for the examination: {stem}, {wrong}. Whoever writes something else fails."
