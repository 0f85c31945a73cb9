"""How questions about elements are asked, and how documents tell the same facts in other words.

Holds sentences only; which facts there are is the business of `elements_facts`.
"""

from __future__ import annotations

from collections.abc import Mapping

SUBJECT = "{subject}"

STEMS: dict[str, str] = {
    "discoverer": "Which scientist is named as the first to discover {subject}?",
    "place": "In which country did the discovery of {subject} take place?",
    "year": "In which year did scientists find {subject} for the first time?",
    "use": "What do people mainly use {subject} for?",
    "further use": "What other job does {subject} do, apart from its main use?",
    "source": "What do we get {subject} from?",
}
BLIND = "this element"

# One row is one way of telling: sentences in the order of the row, {name} the element. The kinds
# come in different orders, and the name before the answer, as a question has it.
TELLINGS: tuple[dict[str, str], ...] = (
    {
        "discoverer": "the element {name} was discovered by {answer}",
        "place": "{name} was first isolated in {answer}",
        "year": "the discovery of {name} dates from {answer}",
        "use": "{name} is used for {answer}",
        "further use": "{name} also serves for {answer}",
        "source": "{name} comes from {answer}",
    },
    {
        "source": "a source of {name} is {answer}",
        "use": "the chief application of {name}: {answer}",
        "further use": "another application of {name}: {answer}",
        "year": "{name} became known in {answer}",
        "place": "the country where {name} was found is {answer}",
        "discoverer": "the discoverer of {name} is {answer}",
    },
    {
        "year": "{name} was discovered in {answer}",
        "place": "place of discovery of {name}: {answer}",
        "discoverer": "credit for {name} goes to {answer}",
        "source": "{name} is obtained from {answer}",
        "use": "industry needs {name} for {answer}",
        "further use": "and {name} is good for {answer}",
    },
    {
        "use": "we need {name} for {answer}",
        "further use": "besides, {name} is employed for {answer}",
        "source": "to get {name} one starts from {answer}",
        "discoverer": "{name} was identified by {answer}",
        "place": "{name} was discovered in {answer}",
        "year": "year of discovery of {name}: {answer}",
    },
)


def stem(kind: str, subject: str) -> str:
    """The question of a kind about a subject (the element, or `BLIND`)."""
    return STEMS[kind].format(subject=subject)


def telling(way: Mapping[str, str], name: str, facts: Mapping[str, str]) -> str:
    """A short text that tells an element's facts in one way of telling."""
    told = [way[kind].format(name=name, answer=facts[kind]) for kind in way if kind in facts]
    told = [sentence.replace(" for to ", " to ") for sentence in told]
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in told)
