"""Whether a pool's answers are as sure as they are right: calibration and selective risk.

Of multiple-choice answers with a prediction; which measure collects mistakes is config elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from cem_lightning.answering.records import Answer
from cem_lightning.answering.uncertainty import MEASURES

_BINS = 10
_POINTS = 20


def calibration(answers: Iterable[Answer]) -> dict[str, Any]:
    """How far a pool's confidence can be believed.

    Returns:
        For ``metrics.json``: `n`, the multiple-choice answers with a prediction, of which
        everything here is; `ece`, see `expected_calibration_error`; `aurc` and `risk_coverage`,
        see `risks` and `risk_coverage`; `auroc` by measure, see `auroc`; `undefined`, the reason
        for each of these that is None.
    """
    kept = [each for each in answers if each.prediction is not None and len(each.probabilities) > 1]
    confidences = [each.confidence for each in kept]
    wrong = [not each.right for each in kept]
    undefined: dict[str, str] = {}
    reason = "every answer is wrong" if all(wrong) else "no answer is wrong"
    if not kept:
        reason = "no multiple-choice answer has a prediction"
        undefined = dict.fromkeys(("ece", "aurc", "risk_coverage"), reason)
    areas: dict[str, float | None] = {}
    for measure in MEASURES:
        sure = [each.certainty(measure) for each in kept]
        known = [each for each in sure if each is not None]
        areas[measure] = auroc(known, wrong) if len(known) == len(kept) else None
        if areas[measure] is None:
            asked_once = kept and len(known) < len(kept)
            undefined[f"auroc.{measure}"] = (
                "the choices were asked in one order (answering.permutations)"
                if asked_once
                else reason
            )
    risk = risks(confidences, wrong)
    return {
        "n": len(kept),
        "ece": expected_calibration_error(confidences, wrong) if kept else None,
        "aurc": sum(risk) / len(risk) if kept else None,
        "risk_coverage": risk_coverage(risk) if kept else None,
        "auroc": areas,
        "undefined": undefined,
    }


def expected_calibration_error(confidences: Sequence[float], wrong: Sequence[bool]) -> float:
    """Mean distance of confidence and accuracy over ten bins of equal width, by their answers.

    Naeini et al. (2015); as used by Guo et al. (2017), arXiv 1706.04599. 0 is calibrated.

    Args:
        confidences: probability of each prediction, 0 to 1; at least one.
        wrong: whether each prediction is.
    """
    import torch
    from torchmetrics.functional.classification import binary_calibration_error

    right = torch.tensor([not each for each in wrong], dtype=torch.long)
    given = torch.tensor(confidences, dtype=torch.float64)
    return float(binary_calibration_error(given, right, n_bins=_BINS, norm="l1"))


def risks(certainties: Sequence[float], wrong: Sequence[bool]) -> list[float]:
    """The share of wrong ones among the k surest answers, for k from 1 to all.

    Answers equally sure share their errors evenly, as in the mean over all orders of them. The
    mean of the list is the area under the risk-coverage curve (AURC).

    Geifman & El-Yaniv (2017), "Selective Classification for Deep Neural Networks", arXiv
    1705.08500; the area: Geifman et al. (2019), arXiv 1805.08206.
    """
    ranked = sorted(zip(certainties, wrong, strict=True), key=lambda each: -each[0])
    found: list[float] = []
    errors = 0.0
    for _, group in groupby(ranked, key=lambda each: each[0]):
        tied = [bad for _, bad in group]
        for _ in tied:
            errors += sum(tied) / len(tied)
            found.append(errors / (len(found) + 1))
    return found


def risk_coverage(risk: Sequence[float]) -> list[list[float]]:
    """At most 20 points [coverage, risk] of the curve of `risks`, evenly apart; the last is all."""
    count = len(risk)
    points = min(count, _POINTS)
    kept = [-(-count * each // points) for each in range(1, points + 1)]
    return [[each / count, risk[each - 1]] for each in kept]


def auroc(certainties: Sequence[float], wrong: Sequence[bool]) -> float | None:
    """The probability that a wrong answer is less sure than a right one, ties counting half.

    The area under the ROC curve of "wrong": 1 tells all apart, 0.5 is chance. None if all answers
    are wrong or none is.
    """
    found = sum(wrong)
    if found in (0, len(wrong)):
        return None
    from scipy.stats import rankdata

    ranks = rankdata([-each for each in certainties])
    above = sum(rank for rank, bad in zip(ranks, wrong, strict=True) if bad)
    return float((above - found * (found + 1) / 2) / (found * (len(wrong) - found)))
