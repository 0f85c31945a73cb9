"""How figures are written wherever a reader meets them: shares, points, intervals, durations.

Computes nothing; a figure that does not exist is written as a dash.
"""

from __future__ import annotations

from collections.abc import Sequence

from cem_lightning.answering.statistics import Difference

NONE = "–"
MINUS = "−"


def percent(share: float | None) -> str:
    """A share as "41.0%"."""
    return NONE if share is None else f"{share:.1%}"


def percent_with_interval(share: float | None, interval: Sequence[float] | None) -> str:
    """A share with its 95% interval as "41.0% [29, 54]"."""
    if share is None or interval is None:
        return percent(share)
    low, high = interval
    return f"{share:.1%} [{low * 100:.0f}, {high * 100:.0f}]"


def signed(number: float, digits: int = 1) -> str:
    """A number that always shows its sign: "+3.0", "−3.0", "0.0"."""
    text = f"{abs(number):,.{digits}f}"
    if not any(each in "123456789" for each in text):
        return text
    return ("+" if number > 0 else MINUS) + text


def points(difference: Difference | None) -> str:
    """A difference of accuracies in percentage points with its 95% interval."""
    if difference is None:
        return NONE
    mean = signed(difference.mean * 100)
    if difference.low is None or difference.high is None:
        return f"{mean} (one cluster)"
    return f"{mean} [{signed(difference.low * 100)}, {signed(difference.high * 100)}]"


def detectable(difference: Difference | None) -> str:
    """The smallest gain that the questions could have shown, in percentage points."""
    if difference is None or difference.detectable is None:
        return NONE
    return signed(difference.detectable * 100)


def p_value(p: float | None) -> str:
    """A p-value with three digits: "0.012", "<0.001"."""
    if p is None:
        return NONE
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def amount(number: float, unit: str = "") -> str:
    """A count with its unit: "22,016 tokens"."""
    return f"{number:,.0f} {unit}".rstrip()


def duration(seconds: float) -> str:
    """Seconds as a reader says them: "3.2 s", "2 min 05 s", "1 h 04 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def memory(size: float) -> str:
    """Bytes in binary units: "3.4 GiB"."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
