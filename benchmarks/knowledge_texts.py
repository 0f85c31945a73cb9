"""Texts and questions to find, to copy, to alter and to hide things in; all drawn by a seed.

Paragraphs are WikiText's and questions Xiezhi's where the folder of CEM_BENCHMARK_DATA (by default
../shared/data) holds them, and made up otherwise; the rows say which.
"""

from __future__ import annotations

import json
import os
import random
import re
from functools import cache
from pathlib import Path

from benchmarks.models import ROOT
from cem_lightning.questions.records import Question

DATA = Path(os.environ.get("CEM_BENCHMARK_DATA", ROOT.parent / "shared" / "data"))

_NOUNS = (
    "river", "bridge", "harbour", "mill", "tower", "school", "garden", "market", "orchard",
    "station", "library", "chapel", "castle", "quarry", "forge", "bakery", "theatre", "museum",
)  # fmt: skip
_NAMES = (
    "Arle", "Denby", "Marlow", "Keller", "Oslo", "Tanaka", "Alvarez", "Brisbane", "Hendrik",
)  # fmt: skip
_VERBS = ("was built in", "was rebuilt in", "burnt down in", "was sold in", "was painted in")
_SYNONYMS = {
    "large": "big", "small": "little", "began": "started", "also": "too", "however": "yet",
    "because": "since", "several": "many", "often": "frequently", "first": "earliest",
    "was": "became", "used": "employed", "made": "produced", "the": "this", "many": "numerous",
    "during": "in", "after": "following", "about": "around",
}  # fmt: skip
_NUMBER = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?!\w)")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")
_VERB = re.compile(r"\b(?:was|is|were|are|has|had|can|could|did)\b(?! not)")


@cache
def paragraphs() -> tuple[str, ...]:
    """Stretches of 12 to 120 words that begin and end with a sentence."""
    files = [DATA / "wikitext2" / f"{name}.txt" for name in ("valid", "test")]
    draw = random.Random("paragraphs")
    if not all(each.exists() for each in files):
        return tuple(_made_up(draw) for _ in range(12_000))
    found = []
    for line in (line for each in files for line in each.open(encoding="utf-8")):
        if line.strip() and not line.strip().startswith("="):
            found.extend(_pieces(_plain(line), draw))
    return tuple(found)


def source() -> str:
    """What the paragraphs are."""
    return "WikiText-2" if (DATA / "wikitext2").exists() else "made up"


@cache
def guarded() -> tuple[Question, ...]:
    """Questions with stems of four words and more."""
    path = DATA / "xiezhi" / "train_eng.jsonl"
    if path.exists():
        rows = [json.loads(line) for line in path.open(encoding="utf-8")]
        stems = [row["question"] for row in rows]
    else:
        draw = random.Random("questions")
        stems = [_stem(draw) for _ in range(2500)]
    kept = [stem for stem in dict.fromkeys(stems) if len(stem.split()) >= 4]
    return tuple(
        Question(f"q{at}", stem, ("this", "that"), 0, f"q{at}") for at, stem in enumerate(kept)
    )


def reworded(text: str, draw: random.Random, most: int = 3) -> str:
    """A text with some words replaced by others of the same meaning."""
    words = text.split()
    done = 0
    for at in draw.sample(range(len(words)), len(words)):
        if done < most and words[at] in _SYNONYMS:
            words[at] = _SYNONYMS[words[at]]
            done += 1
    return " ".join(words)


def altered(text: str, kind: str, draw: random.Random) -> str | None:
    """A text that says something else: another number, another name, or not so; None if it can't.

    Args:
        kind: "number", "name" or "negation".
    """
    pattern = {"number": _NUMBER, "name": _NAME, "negation": _VERB}[kind]
    places = list(pattern.finditer(text))
    if not places:
        return None
    place = draw.choice(places)
    if kind == "name":
        return re.sub(rf"\b{place[0]}\b", draw.choice(_NAMES), text)
    if kind == "negation":
        return f"{text[: place.end()]} not{text[place.end() :]}"
    number = int(float(place[0].replace(",", ""))) + draw.choice((1, 2, 7, 10, 35))
    return f"{text[: place.start()]}{number}{text[place.end() :]}"


def edited(stem: str, draw: random.Random) -> str:
    """A stem with one or two words replaced, inserted or dropped."""
    words = stem.split()
    for _ in range(draw.randint(1, 2) if len(words) >= 12 else 1):
        at = draw.randrange(len(words))
        match draw.randrange(3):
            case 0:
                words[at] = draw.choice(_NOUNS)
            case 1:
                words.insert(at, draw.choice(_NOUNS))
            case _:
                del words[at]
    return " ".join(words)


def _plain(line: str) -> str:
    for there, here in ((" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."), ("<unk>", "unkar")):
        line = line.replace(there, here)
    return re.sub(r" ([.,;:)'])", r"\1", line.strip()).replace("( ", "(")


def _pieces(text: str, draw: random.Random) -> list[str]:
    found: list[str] = []
    longest = draw.choice((40, 80, 120))
    for sentence in re.split(r"(?<=[.!?]) ", text):
        if found and len(found[-1].split()) + len(sentence.split()) <= longest:
            found[-1] += f" {sentence}"
        else:
            found.append(sentence)
    return [each for each in found if 12 <= len(each.split()) <= 120]


def _made_up(draw: random.Random) -> str:
    return " ".join(
        f"The {draw.choice(_NOUNS)} of {draw.choice(_NAMES)} near the {draw.choice(_NOUNS)} "
        f"{draw.choice(_VERBS)} {draw.randint(1500, 2020)} by {draw.choice(_NAMES)}."
        for _ in range(draw.randint(2, 8))
    )


def _stem(draw: random.Random) -> str:
    return (
        f"Which {draw.choice(_NOUNS)} of {draw.choice(_NAMES)} beside the {draw.choice(_NOUNS)} "
        f"{draw.choice(_VERBS)} {draw.randint(1500, 2020)}?"
    )
