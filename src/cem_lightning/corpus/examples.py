"""One training example, and the count of what it teaches.

Nothing here knows where the ids come from.
"""

from __future__ import annotations

from dataclasses import dataclass

from cem_lightning.corpus.config import Kind


@dataclass(frozen=True)
class Example:
    """A token sequence of one kind.

    Attributes:
        ids: token ids, begin and end included.
        supervised: one flag a token: is its prediction trained?
        question_ids: the questions it was made for.
        passage_ids: the passages it contains.
    """

    kind: Kind
    ids: tuple[int, ...]
    supervised: tuple[bool, ...]
    question_ids: tuple[str, ...] = ()
    passage_ids: tuple[str, ...] = ()

    @property
    def targets(self) -> int:
        """Tokens whose prediction is trained; nothing predicts the first token."""
        return sum(self.supervised[1:])
