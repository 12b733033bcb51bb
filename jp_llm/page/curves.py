"""Curves over steps or time as inline SVG, with marks of what happened.

A long curve is drawn as one point per stretch: a line through the means, and a band from the least to the largest, so
no spike is lost.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jp_llm.page.element import Html, coordinate, element, joined

Numbers = NDArray[np.float64]

WIDTH, HEIGHT = 600.0, 234.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 10.0, 16.0, 38.0
STRETCHES = 250
"""Points of a curve."""
COLOURS = 8
_LOGARITHMIC_FROM = 40.0
"""Largest over least value, from which a linear axis would hide most of a curve."""
_LETTER_WIDTH = 13.0


@dataclass(frozen=True)
class Series:
    """One curve; y may hold NaN where there is nothing to draw."""

    name: str
    """In the legend; empty for none."""
    x: Numbers
    y: Numbers
    colour: int = 0
    faint: bool = False


@dataclass(frozen=True)
class Mark:
    """Something that happened at x."""

    x: float
    kind: str
    letter: str
    words: str
    """Shown when the mouse rests on it."""
    colour: int


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    begin: float
    end: float
    """On the picture."""
    logarithmic: bool = False

    def place(self, value: float) -> float:
        low, high = self._scaled(self.low), self._scaled(self.high)
        return self.begin + (self._scaled(value) - low) / ((high - low) or 1.0) * (self.end - self.begin)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def ticks(self) -> list[float]:
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            every = max(1, len(powers) // 6)
            steps = (1, 2, 5) if len(powers) <= 3 else (1,)
            found = [step * 10.0**power for power in powers[::every] for step in steps]
        else:
            size = 10.0 ** math.floor(math.log10((self.high - self.low) / 4))
            size *= next(step for step in (1, 2, 5, 10) if (self.high - self.low) / (size * step) <= 6)
            first = math.ceil(self.low / size - 1e-9)
            found = [number * size for number in range(first, math.floor(self.high / size + 1e-9) + 1)]
        return [value for value in found if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9) or value == 0]


def curves(
    title: str, series: Sequence[Series], *, x_label: str, marks: Sequence[Mark] = (), from_zero: bool = False
) -> Html:
    """A picture with its title and legend; words in its place if there is nothing to draw.

    Args:
        title: with the unit of y.
        series: drawn in this order.
        x_label: below.
        marks: vertical lines; those that stand at the same place become one.
        from_zero: whether the vertical axis begins at 0.
    """
    drawn = [one for one in series if np.isfinite(one.y).any()]
    if not drawn:
        return element("figure", element("figcaption", title), element("p", "nothing was recorded", class_="id"))
    x_low = min(float(one.x.min()) for one in drawn)
    x_high = max(float(one.x.max()) for one in drawn)
    marks = [mark for mark in marks if math.isfinite(mark.x)]
    x_axis = _widened(min([x_low, *(m.x for m in marks)]), max([x_high, *(m.x for m in marks)]), LEFT, WIDTH - RIGHT)
    y_axis = _y_axis(drawn, from_zero)
    parts = [*_grid(x_axis, y_axis, x_label), *_marks(marks, x_axis)]
    for one in drawn:
        parts += _drawn(one, x_axis, y_axis)
    picture = element("svg", *parts, viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}", role="img", aria_label=title)
    return element("figure", element("figcaption", title), _legend(drawn, marks), picture)


def _y_axis(series: Sequence[Series], from_zero: bool) -> _Axis:
    values = np.concatenate([one.y[np.isfinite(one.y)] for one in series])
    low, high = float(values.min()), float(values.max())
    if not from_zero and low > 0 and high / low > _LOGARITHMIC_FROM:
        return _Axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic=True)
    if from_zero and low >= 0:
        return _Axis(0.0, 1.04 * high or 1.0, HEIGHT - BOTTOM, TOP)
    margin = 0.04 * (high - low)
    return _widened(low - margin, high + margin, HEIGHT - BOTTOM, TOP)


def _widened(low: float, high: float, begin: float, end: float) -> _Axis:
    """An axis on which a single value has a place too."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        room = abs(low) * 0.1 or 1.0
        low, high = low - room, high + room
    return _Axis(low, high, begin, end)


def _grid(x_axis: _Axis, y_axis: _Axis, x_label: str) -> Iterator[Html]:
    bottom = HEIGHT - BOTTOM
    for value in y_axis.ticks():
        y = y_axis.place(value)
        yield element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=coordinate(y), y2=coordinate(y), class_="grid")
        yield element("text", short(value), x=LEFT - 5, y=coordinate(y + 3), class_="end")
    for value in x_axis.ticks():
        x = x_axis.place(value)
        yield element("line", x1=coordinate(x), x2=coordinate(x), y1=bottom, y2=bottom + 3, class_="grid")
        yield element("text", short(value), x=coordinate(x), y=bottom + 17, class_="label")
    yield element("text", x_label, x=WIDTH - RIGHT, y=HEIGHT - 5, class_="end")


def _marks(marks: Sequence[Mark], x_axis: _Axis) -> Iterator[Html]:
    places: dict[tuple[int, str], list[Mark]] = defaultdict(list)
    for mark in marks:
        places[round(x_axis.place(mark.x)), mark.kind].append(mark)
    taken = -math.inf
    for (x, _), group in sorted(places.items()):
        first = group[0]
        words = first.words if len(group) == 1 else f"{first.words} (and {len(group) - 1:,} more {first.kind})"
        tip = element("title", words)
        bottom = HEIGHT - BOTTOM
        yield element("line", tip, x1=x, x2=x, y1=TOP - 3, y2=bottom, class_=f"mark line{first.colour}")
        if x - taken >= _LETTER_WIDTH:
            taken = x
            yield element("text", first.letter, tip, x=x, y=TOP - 5, class_=f"label ink{first.colour}")


def _drawn(one: Series, x_axis: _Axis, y_axis: _Axis) -> Iterator[Html]:
    lines, bands, dots = [], [], []
    for x, y in _pieces(one.x, one.y):
        width = (x[-1] - x[0]) / (x_axis.high - x_axis.low)
        at, mean, low, high = thinned(x, y, max(2, math.ceil(STRETCHES * width)))
        if len(at) == 1:
            dots.append((x_axis.place(at[0]), y_axis.place(mean[0])))
            continue
        lines.append(_path(at, mean, x_axis, y_axis))
        if (high > low).any():
            upper = _path(at, high, x_axis, y_axis)
            lower = _path(at[::-1], low[::-1], x_axis, y_axis)
            bands.append(f"{upper}L{lower.removeprefix('M')}Z")
    faint = " faint" if one.faint else ""
    if bands and not one.faint:
        yield element("path", d="".join(bands), class_=f"band band{one.colour}")
    if lines:
        yield element("path", d="".join(lines), class_=f"line line{one.colour}{faint}")
    for x_dot, y_dot in dots:
        yield element("circle", cx=coordinate(x_dot), cy=coordinate(y_dot), r=2.5, class_=f"dot{one.colour}{faint}")


def _pieces(x: Numbers, y: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """A curve ends where nothing is recorded, and where x goes back."""
    finite = np.isfinite(y)
    gaps, back = ~finite[1:] & finite[:-1], x[1:] < x[:-1]
    # More gaps than points could not be seen, and would make a large file.
    breaks = np.flatnonzero(back if gaps.sum() > STRETCHES else gaps | back) + 1
    for xs, ys in zip(np.split(x, breaks), np.split(y, breaks), strict=True):
        kept = np.isfinite(ys)
        if kept.any():
            yield xs[kept], ys[kept]


def thinned(x: Numbers, y: Numbers, stretches: int) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """At most `stretches` points of a curve with ascending x: [n] x, mean, least and largest y of each stretch.

    A curve with no more points is left as it is.
    """
    if len(x) <= stretches:
        return x, y, y, y
    edges = np.linspace(x[0], x[-1], stretches + 1)[1:-1]
    starts = np.unique(np.concatenate([[0], np.searchsorted(x, edges)]))
    starts = starts[starts < len(x)]
    counts = np.diff([*starts, len(x)])
    mean = np.add.reduceat(y, starts) / counts
    at = np.add.reduceat(x, starts) / counts
    # The ends stay where they are.
    at[0], at[-1] = x[0], x[-1]
    return at, mean, np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)


def _path(x: Numbers, y: Numbers, x_axis: _Axis, y_axis: _Axis) -> str:
    points = (f"{coordinate(x_axis.place(a))} {coordinate(y_axis.place(b))}" for a, b in zip(x, y, strict=True))
    return "M" + "L".join(points)


def _legend(series: Sequence[Series], marks: Sequence[Mark]) -> Html:
    entries = [element("span", element("i", class_=f"key{one.colour}"), one.name) for one in series if one.name]
    kinds = {mark.kind: mark for mark in marks}
    entries += [
        element("span", element("b", mark.letter, class_=f"ink{mark.colour}"), kind) for kind, mark in kinds.items()
    ]
    return element("div", *entries, class_="legend")


def short(value: float) -> str:
    """For an axis: 20000 is `20k`, 0.00003 is `3e-05`."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.6g}{unit}"
    return f"{value:.4g}"


def grid(figures: Iterable[Html]) -> Html:
    """Pictures side by side where there is room."""
    return element("div", joined(*figures), class_="charts")
