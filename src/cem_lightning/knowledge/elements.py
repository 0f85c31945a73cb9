"""The quickstart's corpus: short documents about the chemical elements, built from `mendeleev`.

Tells the facts that `questions.elements` asks about; shares no wording with its questions.
"""

from __future__ import annotations

from cem_lightning.knowledge.records import Document
from cem_lightning.questions import elements_wording as wording
from cem_lightning.questions.elements_facts import elements

ORIGIN = "mendeleev 1.3.0 (https://pypi.org/project/mendeleev/)"
LICENCE = "MIT"


def documents() -> tuple[Document, ...]:
    """Short documents about all elements, each fact told in several wordings.

    Raises:
        UserError: if the package `mendeleev` is not installed.
    """
    return tuple(
        Document(
            id=f"elements/{element.name.lower()}/{number}",
            text=wording.telling(way, element.name.lower(), element.facts),
            title=element.name,
            origin=ORIGIN,
            licence=LICENCE,
        )
        for element in elements()
        for number, way in enumerate(wording.TELLINGS)
    )
