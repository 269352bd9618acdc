"""Plots as inline SVG: numbers in, one `<svg>` out; no library, no script, and no colour (marks carry classes that the page's theme paints).

Drawn small (380 to 520 units wide) so that the text stays legible when the page scales a plot to a phone. Coordinates are SVG units, y down.
Every plot has a `<title>` and a `<desc>`; values that are not finite are the caller's to leave out.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from textgan.report.markup import Markup, clean, join, number, tag

FONT = 12.0
ENOUGH = 240  # points of one stroke; more are binned into a mean and its range
Size = tuple[float, float]


class Axis(NamedTuple):
    """What an axis says and where it is forced to begin and end (None: the data decide); `log` needs positive values."""

    label: str = ""
    log: bool = False
    low: float | None = None
    high: float | None = None


class Line(NamedTuple):
    """A curve: x ascending; `low`/`high` a shaded range around y; a new stroke begins at each index in `breaks`."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "c0"
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    breaks: Sequence[int] = ()


class Band(NamedTuple):
    """A stretch of the x axis with a name (a phase of training)."""

    name: str
    start: float
    end: float


class Point(NamedTuple):
    """A labelled mark; shape is dot, ring, diamond or square; low and high are an interval in x (dots) where known."""

    name: str
    x: float
    y: float = 0.0
    style: str = "c0"
    shape: str = "dot"
    low: float | None = None
    high: float | None = None


class Bars(NamedTuple):
    """A histogram's heights, one a bin; the first of several is filled, the others are outlines."""

    name: str
    heights: Sequence[float]
    style: str = "c0"


class DotRow(NamedTuple):
    """One line of a dot plot: its name and its marks, placed by their x."""

    name: str
    dots: Sequence[Point]


class Scale(NamedTuple):
    """Data to SVG units along one axis."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max(1, math.ceil((last - first + 1) / most))
            decades = [10.0**power for power in range(first, last + 1, step)]
            return decades if len(decades) > 1 else [self.low, self.high]
        step = _nice((self.high - self.low) / most)
        first = math.ceil(self.low / step - 1e-9)
        return [count * step for count in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _nice(step: float) -> float:
    """The smallest of 1, 2, 5, 10 times a power of ten that is at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def _range(values: Sequence[float], axis: Axis, pad: float = 0.06) -> tuple[float, float]:
    """The stretch of an axis that shows all values with some air, never of length 0."""
    low = min(values) if axis.low is None else axis.low
    high = max(values) if axis.high is None else axis.high
    if axis.log:
        low, high = max(low, 1e-12), max(high, 1e-12)
        return (low, high) if high > low * 1.01 else (low / 2, high * 2)
    if high - low <= 1e-9 * max(1.0, abs(high)):
        spread = abs(high) * 0.1 or 1.0
        low, high = (low if axis.low is not None else low - spread), high + spread
    air = (high - low) * pad
    return low - (air if axis.low is None else 0.0), high + (air if axis.high is None else 0.0)


def tick_text(value: float, step: float) -> str:
    """A tick's label with as many decimals as the step between ticks needs; thousands as k."""
    if value and step >= 1000 and value % 1000 == 0:
        return f"{value / 1000:,.0f}k".replace("-", "\u2212")
    places = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    return f"{value:,.{places}f}".replace("-", "\u2212")


def width_of(text: str, font: float = FONT) -> float:
    """About how wide a text is drawn: .58 em a letter, 1 em a wide (East Asian) one."""
    return sum(font * (1.0 if ord(letter) > 0x2E7F else 0.58) for letter in text)


def shorten(text: str, most: float) -> str:
    """The text if it fits in `most` units, else its beginning and an ellipsis."""
    text = clean(text)
    if width_of(text) <= most:
        return text
    while text and width_of(text) > most - FONT:
        text = text[:-1]
    return text.rstrip() + "\u2026"


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places moved as little as keeps them `gap` apart, in order, within low .. high where that is possible."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    floor = low
    for i in order:
        moved[i] = floor = max(moved[i], floor)
        floor += gap
    ceiling = high
    for i in reversed(order):
        moved[i] = ceiling = min(moved[i], ceiling)
        ceiling -= gap
    return moved


def _at(value: float) -> str:
    return f"{value:.1f}"


def words(text: str, x: float, y: float, style: str = "", anchor: str | None = None) -> Markup:
    """A piece of text at a place; anchor is start, middle or end."""
    return tag("text", text, x=_at(x), y=_at(y), class_=style, text_anchor=anchor)


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return tag("line", x1=_at(x1), y1=_at(y1), x2=_at(x2), y2=_at(y2), class_=style)


def _path(points: Sequence[tuple[float, float]], style: str, closed: bool = False) -> Markup:
    steps = "L".join(f"{_at(x)} {_at(y)}" for x, y in points)
    return tag("path", d=f"M{steps}" + ("Z" if closed else ""), class_=style)


def mark(point: Point, x: float, y: float, size: float = 5.0) -> Markup:
    """A point's mark with its name and value as a tooltip."""
    tip, style = tag("title", point.name), f"mark {point.style}"
    if point.shape == "diamond":
        s = size * 1.35
        corners = f"{_at(x)},{_at(y - s)} {_at(x + s)},{_at(y)} {_at(x)},{_at(y + s)} {_at(x - s)},{_at(y)}"
        return tag("polygon", tip, points=corners, class_=style)
    if point.shape == "square":
        return tag(
            "rect", tip, x=_at(x - size), y=_at(y - size), width=_at(2 * size), height=_at(2 * size), class_=style
        )
    return tag(
        "circle", tip, cx=_at(x), cy=_at(y), r=_at(size), class_=style + (" ring" if point.shape == "ring" else "")
    )


def canvas(size: Size, title: str, desc: str, *parts: str | None) -> Markup:
    """The outer element: scales with its box, and says what it shows to those who cannot see it."""
    box = f"0 0 {size[0]:g} {size[1]:g}"
    return tag("svg", tag("title", title), tag("desc", desc), *parts, viewBox=box, role="img", xmlns=None)


def _frame(x: Scale, y: Scale, x_axis: Axis, y_axis: Axis) -> Markup:
    """Grid lines, ticks and the axes' names."""
    parts: list[Markup] = []
    x_ticks, y_ticks = x.ticks(5), y.ticks(4)
    for value in y_ticks:
        at = y(value)
        parts += [
            _line(x.start, at, x.stop, at, "grid"),
            words(_tick(value, y_ticks, y.log), x.start - 6, at + 4, "tick", "end"),
        ]
    for value in x_ticks:
        parts.append(words(_tick(value, x_ticks, x.log), x(value), y.start + 16, "tick", "middle"))
        parts.append(_line(x(value), y.start, x(value), y.start + 4, "axis"))
    parts.append(_line(x.start, y.start, x.stop, y.start, "axis"))
    if x_axis.label:
        parts.append(words(x_axis.label, x.stop, y.start + 32, "label", "end"))
    if y_axis.label:
        parts.append(words(y_axis.label, 2, y.stop - 12, "label"))
    return join(parts)


def _tick(value: float, ticks: Sequence[float], log: bool) -> str:
    if log:
        return (
            f"{value:,.0f}"
            if value >= 1
            else f"{value:.3g}"
            if value >= 1e-4
            else f"{value:.0e}".replace("-", "\u2212")
        )
    return tick_text(value, ticks[1] - ticks[0] if len(ticks) > 1 else abs(value) or 1.0)


def _scales(
    xs: tuple[float, float], ys: tuple[float, float], x: Axis, y: Axis, size: Size, right: float, top: float
) -> tuple[Scale, Scale]:
    bottom = 40.0 if x.label else 24.0
    y_scale = Scale(*ys, size[1] - bottom, top, y.log)
    ticks = y_scale.ticks(4)
    left = 12 + max((width_of(_tick(value, ticks, y.log)) for value in ticks), default=20)
    return Scale(*xs, left, size[0] - right, x.log), y_scale


def thin(line: Line, most: int = ENOUGH) -> Line:
    """The line in at most about `most` points: the mean of each bin, shaded from its least to its greatest value."""
    if len(line.x) <= most:
        return line
    edges = sorted({0, len(line.x), *line.breaks, *(round(i * len(line.x) / most) for i in range(most))})
    bins = list(zip(edges, edges[1:], strict=False))

    def mean(values: Sequence[float]) -> list[float]:
        return [math.fsum(values[a:b]) / (b - a) for a, b in bins]

    low = [min((line.low or line.y)[a:b]) for a, b in bins]
    high = [max((line.high or line.y)[a:b]) for a, b in bins]
    breaks = [edges.index(place) for place in line.breaks if 0 < place < len(line.x)]
    return Line(line.name, mean(line.x), mean(line.y), line.style, low, high, breaks)


def _strokes(line: Line, x: Scale, y: Scale) -> Markup:
    edges = [0, *(place for place in line.breaks if 0 < place < len(line.x)), len(line.x)]
    parts = []
    for a, b in zip(edges, edges[1:], strict=False):
        if line.low and line.high:
            upper = [(x(line.x[i]), y(line.high[i])) for i in range(a, b)]
            lower = [(x(line.x[i]), y(line.low[i])) for i in reversed(range(a, b))]
            parts.append(_path(upper + lower, f"area {line.style}", closed=True))
        points = [(x(line.x[i]), y(line.y[i])) for i in range(a, b)]
        parts.append(
            _path(points, f"stroke {line.style}")
            if b - a > 1
            else mark(Point(line.name, 0, style=line.style), *points[0], 2)
        )
    return join(parts)


def line_chart(lines: Sequence[Line], *, title: str, desc: str, x: Axis = Axis(), y: Axis = Axis(), bands: Sequence[Band] = (),
               marks: Sequence[Point] = (), guides: Sequence[tuple[float, str]] = (), labels: bool = False,
               size: Size = (380, 220)) -> Markup:  # fmt: skip
    """Curves over a common x, with shaded phases, level guides (value, text) and named marks; `labels` names each curve at its end."""
    drawn = [thin(line) for line in lines if line.x]
    xs = _range([value for line in drawn for value in line.x] + [p.x for p in marks], x, 0.0 if x.log else 0.015)
    levels = [v for line in drawn for v in (*line.y, *line.low, *line.high)] + [value for value, _ in guides]
    if marks:  # room for their names below them
        levels.append(min(levels) - 0.12 * (max(levels) - min(levels)))
    ys = _range(levels, y)
    names = [shorten(line.name, 110) for line in drawn]
    right = 14 + max((width_of(name) for name in names), default=0) if labels else 12
    x_scale, y_scale = _scales(xs, ys, x, y, size, right, 18 + (14 if y.label else 0))
    parts = [_phase(band, x_scale, y_scale, place) for place, band in enumerate(bands)]
    parts.append(_frame(x_scale, y_scale, x, y))
    for value, text in guides:
        parts += [_line(x_scale.start, y_scale(value), x_scale.stop, y_scale(value), "guide"),
                  words(text, x_scale.stop - 3, y_scale(value) - 4, "note", "end")]  # fmt: skip
    parts += [_strokes(line, x_scale, y_scale) for line in drawn]
    if labels:
        places = spread([y_scale(line.y[-1]) + 4 for line in drawn], FONT * 1.15, y_scale.stop + 4, y_scale.start)
        parts += [
            words(name, x_scale.stop + 6, at, f"name {line.style}")
            for name, at, line in zip(names, places, drawn, strict=True)
        ]
    for point in marks:
        at, level, half = x_scale(point.x), y_scale(point.y), width_of(point.name) / 2
        middle = min(max(at, x_scale.start + half), x_scale.stop - half)
        below = level + 18 if level + 20 < y_scale.start else level - 11
        parts += [mark(point, at, level, 4.5), words(point.name, middle, below, "value", "middle")]
    return canvas(size, title, desc, *parts)


def _phase(band: Band, x: Scale, y: Scale, place: int) -> Markup:
    start, end = max(x(band.start), x.start), min(x(band.end), x.stop)
    shade = tag("rect", tag("title", band.name), x=_at(start), y=_at(y.stop - 14), width=_at(max(0.0, end - start)),
                height=_at(y.start - y.stop + 14), class_=f"band band{place % 3}")  # fmt: skip
    fits = width_of(band.name, 10.5) + 6 < end - start
    return join([shade, words(band.name, start + 4, y.stop - 3, "phase") if fits else None])


def scatter(
    points: Sequence[Point], *, title: str, desc: str, x: Axis = Axis(), y: Axis = Axis(), size: Size = (440, 360)
) -> Markup:
    """Named marks in a plane; each name stands beside its mark where it covers least."""
    xs, ys = _range([p.x for p in points], x, 0.16), _range([p.y for p in points], y, 0.16)
    x_scale, y_scale = _scales(xs, ys, x, y, size, 14, 34 if y.label else 14)
    places = [(x_scale(p.x), y_scale(p.y)) for p in points]
    taken = [(a - 8, b - 8, a + 8, b + 8) for a, b in places]
    parts = [_frame(x_scale, y_scale, x, y)]
    for point, (a, b) in zip(points, places, strict=True):
        parts.append(mark(point, a, b, 6))
        name = shorten(point.name, 190)
        box, anchor = _beside(name, a, b, taken, (x_scale.start, y_scale.stop, x_scale.stop, y_scale.start))
        taken.append(box)
        parts.append(words(name, box[0] if anchor == "start" else box[2], box[3] - 3, f"name {point.style}", anchor))
    return canvas(size, title, desc, *parts)


Box = tuple[float, float, float, float]


def _beside(name: str, a: float, b: float, taken: Sequence[Box], inside: Box) -> tuple[Box, str]:
    """The first of eight places around (a, b) that overlaps the least of what is there already."""
    wide, high = width_of(name, 13), 15.0
    tries: list[tuple[float, Box, str]] = []
    for dy in (4.0, -11.0, 19.0, -24.0, 32.0):
        for anchor, left in (("start", a + 11), ("end", a - 11 - wide)):
            box = (left, b + dy - high + 3, left + wide, b + dy + 3)
            covered = sum(
                max(0.0, min(box[2], t[2]) - max(box[0], t[0])) * max(0.0, min(box[3], t[3]) - max(box[1], t[1]))
                for t in taken
            )
            beyond = (
                max(0.0, inside[0] - box[0])
                + max(0.0, box[2] - inside[2])
                + max(0.0, inside[1] - box[1])
                + max(0.0, box[3] - inside[3])
            )
            tries.append((covered + 40 * beyond, box, anchor))
    best = min(tries, key=lambda choice: choice[0])
    return best[1], best[2]


def histogram(edges: Sequence[float], bars: Sequence[Bars], *, title: str, desc: str, x: Axis = Axis(), y: Axis = Axis(low=0.0),
              size: Size = (380, 220)) -> Markup:  # fmt: skip
    """Heights over common bins (n+1 ascending edges): the first filled, the others outlined, so that each is seen through the other."""
    top = max((height for bar in bars for height in bar.heights), default=1.0) or 1.0
    ys = _range([0.0, top], Axis(low=0.0))
    x_scale, y_scale = _scales((edges[0], edges[-1]), ys, x, y, size, 12, 18 + (14 if y.label else 0))
    parts = [_frame(x_scale, y_scale, x, y)]
    for place, bar in enumerate(bars):
        if place == 0:
            parts += [tag("rect", tag("title", f"{bar.name}: {number(height)}"), x=_at(x_scale(a) + 0.5), y=_at(y_scale(height)),
                          width=_at(max(0.5, x_scale(b) - x_scale(a) - 1)), height=_at(y_scale.start - y_scale(height)), class_=f"bar {bar.style}")
                      for a, b, height in zip(edges, edges[1:], bar.heights, strict=False) if height > 0]  # fmt: skip
            continue
        steps = [(x_scale(edges[0]), y_scale.start)]
        for a, b, height in zip(edges, edges[1:], bar.heights, strict=False):
            steps += [(x_scale(a), y_scale(height)), (x_scale(b), y_scale(height))]
        parts.append(_path([*steps, (x_scale(edges[-1]), y_scale.start)], f"stroke {bar.style}"))
    return canvas(size, title, desc, *parts)


def dots(rows: Sequence[DotRow], *, title: str, desc: str, x: Axis = Axis(), size_x: float = 440.0) -> Markup:
    """One line a row: its marks on a common x, joined by a thin bar from the least to the greatest; intervals where a mark has them."""
    values = [v for row in rows for p in row.dots for v in (p.x, p.low, p.high) if v is not None]
    names = [shorten(row.name, 150) for row in rows]
    left = 16 + max((width_of(name) for name in names), default=0)
    size = (size_x, 26.0 * len(rows) + 52)
    x_scale = Scale(*_range(values, x, 0.08), left, size[0] - 18, x.log)
    foot, ticks = size[1] - 42, x_scale.ticks(5)
    parts = [join([_line(x_scale(v), 6, x_scale(v), foot, "grid"), words(_tick(v, ticks, x.log), x_scale(v), foot + 16, "tick", "middle")])
             for v in ticks]  # fmt: skip
    parts.append(words(x.label, x_scale.stop, foot + 34, "label", "end"))
    for place, (row, name) in enumerate(zip(rows, names, strict=True)):
        at = 20.0 + 26 * place
        parts.append(words(name, left - 12, at + 4, "rowname", "end"))
        if row.dots:
            ends = [x_scale(p.x) for p in row.dots]
            parts.append(_line(min(ends), at, max(ends), at, "joint"))
        for point in row.dots:
            if point.low is not None and point.high is not None:
                parts.append(_line(x_scale(point.low), at, x_scale(point.high), at, f"interval {point.style}"))
            parts.append(mark(point, x_scale(point.x), at, 5.5))
    return canvas(size, title, desc, *parts)
