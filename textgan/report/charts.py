"""The plots: curves, marks in a plane, histograms and dots on lines; numbers in, one `<svg>` out.

Drawn small (380 or 440 units wide), so that text stays legible when the page scales a plot to a phone. Every plot has a
`<title>` and a `<desc>`. The ways of drawing are few on purpose: a figure that needs another one should ask why.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from textgan.readable import number
from textgan.report.markup import Markup, join
from textgan.report.svg import (
    FONT,
    PLAIN,
    Axis,
    Box,
    Point,
    Scale,
    Size,
    canvas,
    extent,
    frame,
    mark,
    path,
    scales,
    segment,
    shorten,
    spread,
    tick_text,
    width_of,
    words,
)
from textgan.report.svg import block as rectangle

ENOUGH = 240  # points of one stroke; more are binned into a mean and its range
ROW = 26.0  # height of a dot plot's row
FROM_ZERO = Axis(low=0.0)


class Line(NamedTuple):
    """A curve, x ascending; `low` and `high` a shaded range; a new stroke begins at each index in `breaks`."""

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


class Bars(NamedTuple):
    """A histogram's heights, one a bin."""

    name: str
    heights: Sequence[float]
    style: str = "c0"


class DotRow(NamedTuple):
    """One line of a dot plot: its name and its marks, placed by their x."""

    name: str
    dots: Sequence[Point]


def thin(line: Line, most: int = ENOUGH) -> Line:
    """The line in about `most` points: the mean of each bin, shaded from its least to its greatest value."""
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


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    desc: str,
    x: Axis = PLAIN,
    y: Axis = PLAIN,
    bands: Sequence[Band] = (),
    marks: Sequence[Point] = (),
    guides: Sequence[tuple[float, str]] = (),
    labels: bool = False,
    size: Size = (380, 220),
) -> Markup:
    """Curves over a common x; bands are shaded, guides are level lines (value, text), `labels` names the curves."""
    drawn = [thin(line) for line in lines if line.x]
    levels = [v for line in drawn for v in (*line.y, *line.low, *line.high)] + [value for value, _ in guides]
    levels += [point.y for point in marks]
    if marks:  # room for their names below them
        levels.append(min(levels) - 0.12 * (max(levels) - min(levels)))
    places = [value for line in drawn for value in line.x] + [point.x for point in marks]
    xs = extent(places, x, 0.0 if x.log else 0.015)
    names = [shorten(line.name, 150) for line in drawn]
    right = 12 + max((width_of(name, 13.5) for name in names), default=0) if labels else 12
    x_scale, y_scale = scales(xs, extent(levels, y), x, y, size, right, 34 if y.label else 20)
    parts = [_phase(band, x_scale, y_scale, place) for place, band in enumerate(bands)]
    parts.append(frame(x_scale, y_scale, x, y))
    for value, text in guides:
        parts.append(segment(x_scale.start, y_scale(value), x_scale.stop, y_scale(value), "guide"))
        parts.append(words(text, x_scale.stop - 3, y_scale(value) - 4, "note", "end"))
    parts += [_strokes(line, x_scale, y_scale) for line in drawn]
    if labels:
        places = spread([y_scale(line.y[-1]) + 4 for line in drawn], FONT * 1.15, y_scale.stop + 4, y_scale.start)
        for line, name, level in zip(drawn, names, places, strict=True):
            parts.append(words(name, x_scale.stop + 6, level, f"name {line.style}"))
    parts += [_noted(point, x_scale, y_scale) for point in marks]
    return canvas(size, title, desc, *parts)


def _phase(band: Band, x: Scale, y: Scale, place: int) -> Markup:
    start, end = max(x(band.start), x.start), min(x(band.end), x.stop)
    shade = rectangle(band.name, start, y.stop - 14, end, y.start, f"band{place % 3}")
    fits = width_of(band.name, 11.5) + 6 < end - start
    return join([shade, words(band.name, start + 4, y.stop - 3, "phase") if fits else None])


def _noted(point: Point, x: Scale, y: Scale) -> Markup:
    """A mark on a curve with its name below it, or above where there is no room."""
    place, level, half = x(point.x), y(point.y), width_of(point.name) / 2
    middle = min(max(place, x.start + half), x.stop - half)
    below = level + 18 if level + 20 < y.start else level - 11
    return join([mark(point, place, level, 4.5), words(point.name, middle, below, "value", "middle")])


def _strokes(line: Line, x: Scale, y: Scale) -> Markup:
    edges = [0, *(place for place in line.breaks if 0 < place < len(line.x)), len(line.x)]
    parts = []
    for a, b in zip(edges, edges[1:], strict=False):
        if line.low and line.high:
            upper = [(x(line.x[i]), y(line.high[i])) for i in range(a, b)]
            lower = [(x(line.x[i]), y(line.low[i])) for i in reversed(range(a, b))]
            parts.append(path(upper + lower, f"area {line.style}", closed=True))
        points = [(x(line.x[i]), y(line.y[i])) for i in range(a, b)]
        alone = Point(line.name, 0, style=line.style)
        parts.append(path(points, f"stroke {line.style}") if b - a > 1 else mark(alone, *points[0], 2.5))
    return join(parts)


def scatter(
    points: Sequence[Point], *, title: str, desc: str, x: Axis = PLAIN, y: Axis = PLAIN, size: Size = (440, 360)
) -> Markup:
    """Named marks in a plane; each name stands beside its mark where it covers least."""
    xs, ys = extent([p.x for p in points], x, 0.16), extent([p.y for p in points], y, 0.16)
    x_scale, y_scale = scales(xs, ys, x, y, size, 14, 36 if y.label else 14)
    places = [(x_scale(p.x), y_scale(p.y)) for p in points]
    taken = [(a - 8, b - 8, a + 8, b + 8) for a, b in places]
    parts = [frame(x_scale, y_scale, x, y)]
    for point, (a, b) in zip(points, places, strict=True):
        name = shorten(point.name, 165)
        box, anchor = _beside(name, a, b, taken, (x_scale.start, y_scale.stop, x_scale.stop, y_scale.start))
        taken.append(box)
        left = box[0] if anchor == "start" else box[2]
        parts += [mark(point, a, b, 6), words(name, left, box[3] - 3, f"name {point.style}", anchor)]
    return canvas(size, title, desc, *parts)


def _beside(name: str, a: float, b: float, taken: Sequence[Box], inside: Box) -> tuple[Box, str]:
    """Of ten places around (a, b) the first that overlaps the least of what is there already."""
    wide, high = width_of(name, 13), 15.0
    tries: list[tuple[float, Box, str]] = []
    for dy in (4.0, -11.0, 19.0, -24.0, 32.0):
        for anchor, left in (("start", a + 11), ("end", a - 11 - wide)):
            box = (left, b + dy - high + 3, left + wide, b + dy + 3)
            tries.append((sum(_overlap(box, other) for other in taken) + 40 * _beyond(box, inside), box, anchor))
    best = min(tries, key=lambda choice: choice[0])
    return best[1], best[2]


def _overlap(one: Box, other: Box) -> float:
    wide, high = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, high)


def _beyond(box: Box, inside: Box) -> float:
    over = (inside[0] - box[0], inside[1] - box[1], box[2] - inside[2], box[3] - inside[3])
    return sum(max(0.0, side) for side in over)


def histogram(
    edges: Sequence[float],
    bars: Sequence[Bars],
    *,
    title: str,
    desc: str,
    x: Axis = PLAIN,
    y: Axis = FROM_ZERO,
    size: Size = (440, 260),
) -> Markup:
    """Heights over common bins (n+1 ascending edges): the first filled, the others outlined, so that both are seen."""
    top = max((height for bar in bars for height in bar.heights), default=1.0) or 1.0
    x_scale, y_scale = scales((edges[0], edges[-1]), extent([0.0, top], y), x, y, size, 12, 20)
    parts = [frame(x_scale, y_scale, x, y)]
    for place, bar in enumerate(bars):
        outline = [(x_scale(edges[0]), y_scale.start)]
        for a, b, height in zip(edges, edges[1:], bar.heights, strict=False):
            left, right, level = x_scale(a), x_scale(b), y_scale(height)
            outline += [(left, level), (right, level)]
            if place == 0 and height > 0:
                tip = f"{bar.name}, {a:g} to {b:g}: {number(height)}"
                parts.append(rectangle(tip, left + 0.5, level, right - 0.5, y_scale.start, f"bar {bar.style}"))
        if place:
            parts.append(path([*outline, (x_scale(edges[-1]), y_scale.start)], f"stroke {bar.style}"))
    return canvas(size, title, desc, *parts)


def dots(rows: Sequence[DotRow], *, title: str, desc: str, x: Axis = PLAIN, wide: float = 440.0) -> Markup:
    """One line a row: its marks on a common x, joined from the least to the greatest, with intervals where known."""
    values = [v for row in rows for p in row.dots for v in (p.x, p.low, p.high) if v is not None]
    names = [shorten(row.name, 150) for row in rows]
    left = 16 + max(map(width_of, names), default=0)
    size = (wide, ROW * len(rows) + 52)
    x_scale = Scale(*extent(values, x, 0.08), left, wide - 18, x.log)
    foot, ticks, parts = size[1] - 42, x_scale.ticks(5), list[Markup]()
    for value in ticks:
        parts.append(segment(x_scale(value), 6, x_scale(value), foot, "grid"))
        parts.append(words(tick_text(value, ticks, x.log), x_scale(value), foot + 16, "tick", "middle"))
    parts.append(words(x.label, x_scale.stop, foot + 34, "label", "end"))
    for place, (row, name) in enumerate(zip(rows, names, strict=True)):
        level = 20.0 + ROW * place
        parts.append(words(name, left - 12, level + 4, "rowname", "end"))
        ends = [x_scale(point.x) for point in row.dots]
        if len(ends) > 1:
            parts.append(segment(min(ends), level, max(ends), level, "joint"))
        for point in row.dots:
            if point.low is not None and point.high is not None:
                parts.append(segment(x_scale(point.low), level, x_scale(point.high), level, f"interval {point.style}"))
        parts += [mark(point, x_scale(point.x), level, 5.5) for point in row.dots]
    return canvas(size, title, desc, *parts)
