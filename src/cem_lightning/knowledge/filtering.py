"""What becomes of the hits of a search: which are let in as passages, and why the others are not.

What is searched for, and in what, is the business of `acquire`.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from cem_lightning.knowledge.cleaning import Fault, fault_of
from cem_lightning.knowledge.config import KnowledgeConfig
from cem_lightning.knowledge.corpora import Corpus, Unfetched
from cem_lightning.knowledge.cutting import cut
from cem_lightning.knowledge.disagreement import disagreements
from cem_lightning.knowledge.domains import domain_of
from cem_lightning.knowledge.duplicates import Duplicates
from cem_lightning.knowledge.leaks import Leaks
from cem_lightning.knowledge.records import Document, Passage
from cem_lightning.knowledge.retrievers import quota
from cem_lightning.questions.normalise import words
from cem_lightning.questions.pools import Pools

Reason = Literal[
    "irrelevant", "empty", Fault, "leak", "duplicate", "near_duplicate", "disagreement", "domain",
    "unfetched",
]  # fmt: skip

# in the order in which a passage meets them
PASSED = ("relevance", "cleaning", "decontamination", "agreement", "duplicates", "domains")


@dataclass(frozen=True)
class Candidate:
    """A stretch of a document that was found for a question; "" is that of the control's draw.

    Attributes:
        position: of the document in the corpus.
    """

    position: int
    document: Document
    question: str
    text: str
    score: float


@dataclass(frozen=True)
class Dropped:
    """A hit that became no passage.

    Attributes:
        document: its id; the address of what did not come.
        question: the mistake it was found for; "" for a draw of the control, or if not known.
        detail: the passage it repeats, the question it leaks, or what was measured.
    """

    document: str
    question: str
    reason: Reason
    detail: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class PassageFilters:
    """The passages kept so far, and the reasons against the others.

    Attributes:
        passages: in the order in which they were first offered.
        dropped: all others, each with the reason.
    """

    def __init__(
        self, pools: Pools, config: KnowledgeConfig, count_tokens: Callable[[str], int]
    ) -> None:
        self.passages: list[Passage] = []
        self.dropped: list[Dropped] = []
        self._leaks = Leaks(pools)
        self._config = config
        self._count_tokens = count_tokens
        self._duplicates = Duplicates(config.near_duplicate)
        self._found: set[int] = set()
        self._quarantined: dict[str, str] = {}

    @property
    def leaking(self) -> int:
        """Different texts that held guarded questions."""
        return self._leaks.texts

    def cut(self, document: Document, score: Callable[[str], float]) -> str:
        """The stretch of a document that matters most, no longer than a passage may be."""
        return self._cut(document, score, self._config.passage_tokens)

    def quarantine(self, candidates: Iterable[Candidate]) -> None:
        """Note which texts contradict each other: one of them is false, and none is let in.

        Compares all candidates at once, which also makes the search for copies fast.
        """
        titles = {each.text: each.document.title for each in candidates if each.text}
        texts = list(titles)
        self._duplicates.prepare(map(words, texts))
        for found in disagreements(texts, list(titles.values())):
            for member in found.members:
                self._quarantined[texts[member]] = f"{found.kind}, {found.detail}"

    def offer(self, candidates: Sequence[Candidate]) -> None:
        """Take in the first of a mistake's candidates that pass, or note why not."""
        served: Counter[str] = Counter()
        domains: Counter[str] = Counter()
        for each in candidates:
            if served.total() == self._config.passages:
                break
            source = each.document.source
            if served[source] == quota(self._config, source):
                continue
            served[source] += self._offer(each, domains)

    def _offer(self, candidate: Candidate, domains: Counter[str]) -> bool:
        """Whether the mistake is served by one passage more."""
        document, text = candidate.document, candidate.text
        self._found.add(candidate.position)
        if refused := self._refused(text):
            self.drop(candidate, *refused)
            return False
        domain = domain_of(document.origin)
        if domain and domains[domain] == self._config.per_domain:
            self.drop(candidate, "domain", f"{domain} has given {domains[domain]}")
            return False
        own = (candidate.question,)
        copy = self._duplicates.find(words(text))
        if copy is None:
            self._duplicates.add(words(text))
            self.passages.append(_passage(candidate, own))
            domains[domain] += 1
            return True
        kept = self.passages[copy.position]
        new = own[0] not in kept.serves
        if kept.document != document.id or not new:
            self.drop(candidate, copy.kind, kept.id)
        self.passages[copy.position] = replace(
            kept, serves=kept.serves + own * new, score=max(kept.score, candidate.score)
        )
        domains[domain] += new
        return new

    def miss(self, unfetched: Iterable[Unfetched], questions: Sequence[str]) -> None:
        """Note what was found but did not come.

        Args:
            questions: ids of the mistakes, by the number of their query.
        """
        for each in unfetched:
            told = f"{each.reason}: {each.detail}" if each.detail else each.reason
            question = "" if each.query is None else questions[each.query]
            self.dropped.append(Dropped(each.address, question, "unfetched", told, ""))

    def control(self, corpus: Corpus, tokens: int, seed: int) -> tuple[tuple[Passage, ...], int]:
        """Passages cut at random places of documents not found, up to about `tokens`."""
        draw = random.Random(f"{seed}:control")
        order = [at for at in range(corpus.sought, len(corpus.documents)) if at not in self._found]
        draw.shuffle(order)
        drawn: list[Passage] = []
        total = 0
        # A last shred of a few tokens would be no text.
        shred = min(self._config.passage_tokens / 4, tokens / 10)
        for at in order:
            if tokens - total <= shred:
                break
            document = corpus.documents[at]
            budget = min(self._config.passage_tokens, tokens - total)
            text = self._cut(document, lambda _: draw.random(), budget)
            if not text:
                continue
            candidate = Candidate(at, document, "", text, 0.0)
            if refused := self._refused(text):
                self.drop(candidate, *refused)
            elif (copy := self._duplicates.find(words(text))) is not None:
                self.drop(candidate, copy.kind, "")
            else:
                self._duplicates.add(words(text))
                drawn.append(_passage(candidate, ()))
                total += self._count_tokens(text)
        return tuple(drawn), total

    def drop(self, candidate: Candidate, reason: Reason, detail: str) -> None:
        """Note that a candidate becomes no passage."""
        row = Dropped(candidate.document.id, candidate.question, reason, detail, candidate.text)
        self.dropped.append(row)

    def _refused(self, text: str) -> tuple[Reason, str] | None:
        """What a text itself has against it."""
        if not text:
            return "empty", "no word fits into passage_tokens"
        if fault := fault_of(text, self._config):
            return fault
        if leaked := self._leaks.find(text):
            return "leak", leaked
        if text in self._quarantined:
            return "disagreement", self._quarantined[text]
        return None

    def _cut(self, document: Document, score: Callable[[str], float], budget: int) -> str:
        return cut(document.text, score, budget, self._count_tokens)


def _passage(candidate: Candidate, serves: tuple[str, ...]) -> Passage:
    document = candidate.document
    return Passage(
        id=hashlib.sha256(candidate.text.encode()).hexdigest()[:16],
        text=candidate.text,
        document=document.id,
        title=document.title,
        origin=document.origin,
        licence=document.licence,
        score=candidate.score,
        serves=serves,
        digest=hashlib.sha256(document.text.encode()).hexdigest(),
        fetched=document.fetched,
        revision=document.revision,
        source=document.source,
        passed=PASSED if serves else PASSED[1:],
    )
