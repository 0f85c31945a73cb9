"""Small SVG charts for the pages: inline, without script, coloured by the page's own variables.

They draw what they are given; texts are escaped here, since labels may come from anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Interval = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line: values by position, with intervals where they are known.

    Attributes:
        colour: a CSS colour, such as "var(--heldout)".
        dashed: drawn lightly, as something to hold the others against.
        titles: what is shown when the pointer rests on a point.
    """

    name: str
    values: Sequence[float]
    intervals: Sequence[Interval | None]
    colour: str
    dashed: bool
    titles: Sequence[str]


@dataclass(frozen=True)
class Mark:
    """One line of a forest plot: a value with its interval, beside its name."""

    name: str
    value: float
    interval: Interval | None
    text: str
    colour: str
    strong: bool = False


def accuracy_chart(
    label: str, series: Sequence[Series], ceiling: tuple[float, str] | None = None
) -> Markup:
    """Shares by round from 0 to 100%, with bars for their intervals.

    Args:
        label: what the chart shows, for those who cannot see it.
        ceiling: a share to be drawn as a line across, with its title.
    """
    width, height, left, right, top, bottom = 320, 230, 38, 40, 12, 28
    count = max(len(each.values) for each in series)

    def x(position: float) -> float:
        inner = width - left - right
        return left + (inner * (position + 0.5) / count if count > 1 else inner / 2)

    def y(share: float) -> float:
        return top + (1 - share) * (height - top - bottom)

    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_line(left, y(share), width - right, y(share), "grid"))
        parts.append(_text(left - 7, y(share) + 3.5, f"{share:.0%}", "axis", "end"))
    for position in range(count):
        parts.append(_text(x(position), height - 8, f"round {position}", "axis", "middle"))
    if ceiling is not None:
        share, title = ceiling
        line = _line(left, y(share), width - right, y(share), "ceiling")
        parts.append(_titled(line, title))
    for each, shift in zip(series, _shifts(len(series)), strict=True):
        style = f"--c:{escape(each.colour)}"
        points = [(x(i) + shift, y(value)) for i, value in enumerate(each.values)]
        path = "M" + " L".join(f"{a:.1f},{b:.1f}" for a, b in points)
        kind = "series dashed" if each.dashed else "series"
        drawn = [f'<path class="path" d="{path}"/>']
        for (a, b), interval, title in zip(points, each.intervals, each.titles, strict=True):
            bar = "" if interval is None else _line(a, y(interval[0]), a, y(interval[1]), "bar")
            dot = f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{3 if each.dashed else 4.5}"/>'
            drawn.append(_titled(bar + dot, title))
        a, b = points[-1]
        drawn.append(_text(a + 9, b + 4, f"{each.values[-1]:.0%}", "end", "start"))
        parts.append(f'<g class="{kind}" style="{style}">{"".join(drawn)}</g>')
    return _svg(width, height, label, parts)


def loss_chart(
    label: str, curves: Sequence[tuple[str, str, Sequence[tuple[float, float]]]], axis: str
) -> Markup:
    """Curves of (name, colour, points); long ones are thinned by averaging neighbours."""
    width, height, left, right, top, bottom = 1000, 260, 44, 96, 12, 30
    thin = [(name, colour, _thinned(points)) for name, colour, points in curves]
    xs = [a for _, _, points in thin for a, _ in points]
    ys = [b for _, _, points in thin for _, b in points]
    low_x, span_x = min(xs), (max(xs) - min(xs)) or 1.0
    low_y, high_y = min(0.0, *ys), max(ys) * 1.04 or 1.0

    def x(value: float) -> float:
        return left + (value - low_x) / span_x * (width - left - right)

    def y(value: float) -> float:
        return top + (high_y - value) / ((high_y - low_y) or 1.0) * (height - top - bottom)

    parts = []
    for tick in _ticks(low_y, high_y):
        parts.append(_line(left, y(tick), width - right, y(tick), "grid"))
        parts.append(_text(left - 7, y(tick) + 3.5, f"{tick:g}", "axis", "end"))
    for tick in _ticks(low_x, low_x + span_x):
        parts.append(_text(x(tick), height - 8, f"{tick:,.0f}", "axis", "middle"))
    parts.append(_text(width - right, height - 8, axis, "axis", "start"))
    taken: list[float] = []
    for name, colour, points in thin:
        path = "M" + " L".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
        line = f'<path class="path" d="{path}"/>'
        at = y(points[-1][1]) + 4
        while any(abs(at - other) < 13 for other in taken):
            at -= 13
        taken.append(at)
        name_text = _text(x(points[-1][0]) + 7, at, name, "end", "start")
        style = f"--c:{escape(colour)}"
        parts.append(f'<g class="series" style="{style}">{line}{name_text}</g>')
    return _svg(width, height, label, parts)


def forest_plot(label: str, marks: Sequence[Mark], *, shares: bool = False) -> Markup:
    """Values with intervals below each other, against zero or, for shares, from 0 to 100%."""
    width, row, top, left, right = 1000, 30, 26, 290, 240
    height = top + row * len(marks) + 6
    ends = [end for mark in marks for end in (mark.interval or ()) + (mark.value,)]
    low, high = (0.0, 1.0) if shares else (min(0.0, *ends), max(0.0, *ends))
    margin = 0.0 if shares else ((high - low) or 0.1) * 0.05
    low, high = low - margin, high + margin

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (width - left - right)

    parts = []
    for tick in _ticks(low, high):
        parts.append(_line(x(tick), top - 6, x(tick), height, "zero" if tick == 0 else "grid"))
        text = f"{tick:.0%}" if shares else f"{tick * 100:+.0f}".replace("+0", "0")
        parts.append(_text(x(tick), top - 12, text.replace("-", "−"), "axis", "middle"))
    for position, mark in enumerate(marks):
        at = top + row * position + row / 2
        strong = " strong" if mark.strong else ""
        drawn = [_text(left - 14, at + 4.5, mark.name, "name" + strong, "end")]
        if mark.interval is not None:
            drawn.append(_line(x(mark.interval[0]), at, x(mark.interval[1]), at, "bar"))
        drawn.append(f'<circle cx="{x(mark.value):.1f}" cy="{at:.1f}" r="5"/>')
        drawn.append(_text(width - right + 14, at + 4.5, mark.text, "name" + strong, "start"))
        parts.append(f'<g class="series" style="--c:{escape(mark.colour)}">{"".join(drawn)}</g>')
    return _svg(width, height, label, parts)


def _svg(width: float, height: float, label: str, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _titled(drawn: str, title: str) -> str:
    return f"<g>{drawn}<title>{escape(title)}</title></g>"


def _shifts(count: int) -> list[float]:
    """Sideways steps that keep the intervals of several series apart."""
    return [(each - (count - 1) / 2) * 9 for each in range(count)]


def _thinned(points: Sequence[tuple[float, float]], most: int = 240) -> list[tuple[float, float]]:
    size = -(-len(points) // most)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (sum(a for a, _ in group) / len(group), sum(b for _, b in group) / len(group))
        for group in groups
    ]


def _ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within a range."""
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= span / about)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(each * step, 10) for each in range(first, last + 1)]
