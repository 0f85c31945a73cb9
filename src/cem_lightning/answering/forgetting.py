"""Transfer and forgetting over the slices of the source pool that the rounds have mined.

Pure functions of the matrix R, in which R[i][j] is the accuracy after round i, from 0 to T, on the
slice that round j mines, j from 1 to T and so in column j - 1; row 0 is the untrained model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Matrix = Sequence[Sequence[float]]

_TOO_FEW = "fewer than two rounds were trained"


@dataclass(frozen=True)
class Transfer:
    """One measure over slices.

    Attributes:
        value: in accuracy, 0.1 being ten points; None if it is not defined.
        n: questions in the slices that enter it.
        slices: how many slices enter it.
        reason: why it is not defined; else "".
    """

    value: float | None
    n: int
    slices: int
    reason: str = ""


def backward_transfer(matrix: Matrix, sizes: Sequence[int]) -> Transfer:
    """What later rounds did to earlier slices; below zero is forgetting.

    BWT = 1/(T-1) * sum over j < T of (R[T][j] - R[j][j]) (Lopez-Paz and Ranzato 2017, arXiv
    1706.08840, equation 3).

    Args:
        matrix: R, shape (T + 1, T).
        sizes: questions in each slice.

    Raises:
        ValueError: another shape.
    """
    rounds = _rounds(matrix, sizes)
    last = matrix[rounds]
    return _mean([last[j - 1] - matrix[j][j - 1] for j in range(1, rounds)], sizes[:-1])


def forward_transfer(matrix: Matrix, sizes: Sequence[int]) -> Transfer:
    """What earlier rounds did for slices that were not mined yet.

    FWT = 1/(T-1) * sum over j >= 2 of (R[j-1][j] - R[0][j]) (Lopez-Paz and Ranzato 2017, arXiv
    1706.08840, equation 4), with the untrained model in the place of a randomly initialised one.

    Args:
        matrix: R, shape (T + 1, T).
        sizes: questions in each slice.

    Raises:
        ValueError: another shape.
    """
    rounds = _rounds(matrix, sizes)
    changes = [matrix[j - 1][j - 1] - matrix[0][j - 1] for j in range(2, rounds + 1)]
    return _mean(changes, sizes[1:])


def average_forgetting(matrix: Matrix, sizes: Sequence[int]) -> Transfer:
    """What is lost of the best that was reached on a slice, on average over slices.

    F = 1/(T-1) * sum over j < T of f_j with f_j = max over 1 <= l < T of R[l][j] - R[T][j]
    (Chaudhry et al. 2018, arXiv 1801.10112, section 3.2). Never below minus the backward transfer.

    Args:
        matrix: R, shape (T + 1, T).
        sizes: questions in each slice.

    Raises:
        ValueError: another shape.
    """
    return _mean(_forgotten(matrix, sizes), sizes[:-1])


def maximal_forgetting(matrix: Matrix, sizes: Sequence[int]) -> Transfer:
    """The same of the slice that lost most: the largest f_j over j < T.

    Args:
        matrix: R, shape (T + 1, T).
        sizes: questions in each slice.

    Returns:
        With the number of questions in that slice, the first of several.

    Raises:
        ValueError: another shape.
    """
    losses = _forgotten(matrix, sizes)
    if not losses:
        return _mean(losses, ())
    worst = losses.index(max(losses))
    return Transfer(losses[worst], sizes[worst], 1)


def _forgotten(matrix: Matrix, sizes: Sequence[int]) -> list[float]:
    """f_j of every slice but the last."""
    rounds = _rounds(matrix, sizes)
    return [
        max(matrix[i][j] for i in range(1, rounds)) - matrix[rounds][j] for j in range(rounds - 1)
    ]


def _mean(changes: Sequence[float], sizes: Sequence[int]) -> Transfer:
    if not changes:
        return Transfer(None, 0, 0, _TOO_FEW)
    return Transfer(sum(changes) / len(changes), sum(sizes), len(changes))


def _rounds(matrix: Matrix, sizes: Sequence[int]) -> int:
    """T."""
    rounds = len(matrix) - 1
    if rounds < 0 or len(sizes) != rounds or any(len(row) != rounds for row in matrix):
        widths = sorted({len(row) for row in matrix})
        raise ValueError(
            f"{len(matrix)} rows of {widths} slices with {len(sizes)} sizes: after T rounds there "
            "are T + 1 rows of T slices"
        )
    return rounds
