"""Facts about the chemical elements as short answer phrases, derived by rule from `mendeleev`.

Nothing here words a question or a text, and no fact is written down in this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from cem_lightning.errors import UserError

KINDS = ("discoverer", "place", "year", "use", "further use", "source")
MAX_WORDS = 6

_COLUMNS = [
    "atomic_number",
    "name",
    "symbol",
    "discoverers",
    "discovery_location",
    "discovery_year",
    "uses",
    "sources",
    "description",
]
# The columns of the table that may name further right answers of a kind.
_BEARING = {
    "discoverer": "discoverers description",
    "place": "discovery_location",
    "year": "discovery_year description",
    "use": "uses description",
    "further use": "uses description",
    "source": "sources description",
}
_BRACKETED = re.compile(r"\s*(\[[^\]]*\]|\([^()]*(\([^()]*\)[^()]*)*\))")
_SENTENCE_END = re.compile(r"(?<=[a-z0-9])[.;](?:\s+|$)")
_USE = re.compile(
    r"\b(?:used|useful|also|for|primarily|made|mixed)\b(?P<between>(?:\s+\w+){0,3}?)\s+"
    r"(?P<preposition>in|for|as|to|into|by)\s+(?P<rest>.+)",
    re.IGNORECASE,
)
_SOURCE = re.compile(
    r"\b(?:found|obtain|obtained|occurs?|also|made|produced|recovered|formed|from|ores? are)\b"
    r"(?:(?:\s+[\w%-]+){0,4}?\s+(?:in|from|of|by|with)\b|(?<=are))\s+(?P<rest>.+)",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"\b(?:never|not|no|few|once)\b", re.IGNORECASE)
_ORES = re.compile(
    r"^.*\brare earths? in\s+|^.*\b(?:minerals?|ores?)\s+(?:such as|like|called)\s+"
    r"|^(?:an? |the |certain |various )?(?:silicate )?(?:minerals?|ores?)\s+(?!of\b|from\b)",
    re.IGNORECASE,
)
_METHOD = re.compile(r"^(?:electrolysis|refining) from ", re.IGNORECASE)
_CLAUSE_END = re.compile(
    r",?\s+(?:which|that|because|since|when|where|while|who|but|however|so|as|such|like|by|from"
    r"|due|is|are|was|usually|sometimes|typically)\b|:|,\s*(?:etc|a kind|in|to)\b|\s+etc\b"
)
_LIST = re.compile(r",\s*(?:and|or)\s+|,\s+|\s+(?:and|or)\s+")
_LEAD = re.compile(
    r"^(?:(?:the|an?|some|certain|several|many|various|small|modest|only|such|other|in|with|as|for)"
    r"|its|melted|(?:kinds|quantities|amounts|production|manufacture|compounds?|deposits|product"
    r"|electrolysis|(?:fractional )?distillation)\s+(?:of|in|with)|minerals?)\s+(?=\w)",
    re.IGNORECASE,
)
_DANGLING = re.compile(r"\s+(?:and|or|of)\s*$")
_UNFIT_USE = re.compile(r"\d|%|\bhigh-\w+$")
_UNFIT_SOURCE = re.compile(r"\d|%|\bin\b")
_SEVERAL = re.compile(r"/|Great Britain")  # more than one of the other answers
_TITLES = re.compile(r"\b(?:Sir|Baron|Lord|Dr\.?)\s+")
_INITIAL = re.compile(r"\b([A-Z])\.\s*")
# A phrase of nothing but these says too little to be an answer.
_VAGUE = re.compile(
    r"(?:(?:agents?|alloys?|amounts|and|applications|chemical|compounds?|crust|elemental|elements?"
    r"|experimental|experiments|for|form|high|industry|its?|many|metals?|metallurgical|minerals?"
    r"|native|nature|of|ores?|others?|production|products|pure|purposes|random|salts|same|samples"
    r"|temp|the|these|things|this|uses|used|ways)\b\W*)+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Element:
    """An element with the answers to what may be asked about it.

    Attributes:
        name: English name, capitalised as in `mendeleev`.
        symbol: chemical symbol.
        number: atomic number.
        facts: answer phrase by kind, in the order of `KINDS`; kinds without one are absent.
        described: by kind, everything `mendeleev` says in words that bears on it; an answer of
            another element that occurs there might be right too.
    """

    name: str
    symbol: str
    number: int
    facts: dict[str, str]
    described: dict[str, str]


@cache
def elements() -> tuple[Element, ...]:
    """All elements about which at least three facts can be asked, by atomic number.

    Raises:
        UserError: if the package `mendeleev` is not installed.
    """
    try:
        from mendeleev.fetch import fetch_table
    except ImportError as error:
        raise UserError(
            "The questions about the chemical elements are built from the package 'mendeleev', "
            "which is not installed. Install it with: pip install mendeleev==1.3.0"
        ) from error
    rows = [
        {key: "" if value != value or value is None else value for key, value in row.items()}
        for row in fetch_table("elements")[_COLUMNS].to_dict("records")
    ]
    found = [_element({key: str(value).strip() for key, value in row.items()}) for row in rows]
    return tuple(element for element in found if len(element.facts) >= 3)


def shares_stem(name: str, phrase: str, length: int = 4) -> bool:
    """Whether a word of `phrase` contains `length` consecutive letters of `name`."""
    name = name.lower()
    pieces = [name[i : i + length] for i in range(len(name) - length + 1)] or [name]
    return any(piece in word for word in re.findall(r"\w+", phrase.lower()) for piece in pieces)


def _element(row: dict[str, str]) -> Element:
    name = row["name"]
    uses = list(_phrases(row["uses"], _USE, name))
    sources = list(_phrases(row["sources"], _SOURCE, name))
    found = {
        "discoverer": _discoverer(row["discoverers"]),
        "place": "" if _SEVERAL.search(row["discovery_location"]) else row["discovery_location"],
        "year": str(int(float(row["discovery_year"]))) if row["discovery_year"] else "",
        "use": uses[0] if uses else "",
        "further use": uses[1] if len(uses) > 1 else "",
        "source": sources[0] if sources else "",
    }
    facts = {
        kind: found[kind] for kind in KINDS if found[kind] and not shares_stem(name, found[kind])
    }
    described = {kind: " ".join(row[column] for column in _BEARING[kind].split()) for kind in KINDS}
    return Element(name, row["symbol"], int(row["atomic_number"]), facts, described)


def _discoverer(text: str) -> str:
    """The first person named, without titles; "" where nobody is."""
    if not text or "ancients" in text:
        return ""
    first = _INITIAL.sub(r"\1. ", _TITLES.sub("", re.split(r"[,;]", text)[0])).strip()
    return first if len(first.split()) > 1 else ""


def _sentences(text: str) -> list[str]:
    text = _BRACKETED.sub("", text).replace("&", "and")
    return [part.strip(" .") for part in _SENTENCE_END.split(text) if part.strip(" .")]


def _phrases(text: str, pattern: re.Pattern[str], name: str) -> Iterator[str]:
    """Short phrases for what `pattern` captures: one of each sentence, then further list items."""
    later = []
    for sentence in _sentences(text):
        match = None if _NEGATED.search(sentence) else pattern.search(sentence)
        if match is None:
            continue
        rest = _CLAUSE_END.split(_METHOD.sub("", _ORES.sub("", match["rest"])))[0]
        if match.groupdict().get("preposition") == "to":
            phrase = f"to {_DANGLING.sub('', rest.split(',')[0]).strip()}"
            if len(phrase.split()) <= MAX_WORDS and not shares_stem(name, phrase):
                yield phrase
            continue
        listed = [cleaned for part in _LIST.split(rest) if (cleaned := _clean(part))] or [""]
        if len(listed[0].split()) > MAX_WORDS - 1:  # no list of names but a description
            continue
        kept = [item for item in listed if _useful(item, name, pattern)]
        phrases = []
        while kept:
            pair = " and ".join(kept[:2])
            phrases.append(pair if len(pair.split()) <= 4 else kept[0])
            kept = kept[2 if phrases[-1] == pair else 1 :]
        yield from phrases[:1]
        later += phrases[1:] if len(listed) > 2 else []
    yield from later


def _clean(item: str) -> str:
    item = _DANGLING.sub("", item).strip(" .,")
    while (shorter := _LEAD.sub("", item)) != item:
        item = shorter
    return item


def _useful(item: str, name: str, pattern: re.Pattern[str]) -> bool:
    return (
        len(item) >= 4
        and len(item.split()) < MAX_WORDS
        and not _VAGUE.fullmatch(item)
        and not (_UNFIT_SOURCE if pattern is _SOURCE else _UNFIT_USE).search(item)
        and not shares_stem(name, item)
    )
