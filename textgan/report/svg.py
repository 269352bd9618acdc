"""What plots are made of: axes, scales, ticks and marks as inline SVG.

No library, no script, and no colour: marks carry classes that the page's theme paints. Coordinates are SVG units, y
down. Values that are not finite are the caller's to leave out.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from textgan.report.markup import Markup, clean, join, tag

FONT = 12.0
Size = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom


class Axis(NamedTuple):
    """What an axis says, and where it must begin and end (None: the data decide); `log` needs positive values."""

    label: str = ""
    log: bool = False
    low: float | None = None
    high: float | None = None


PLAIN = Axis()


class Point(NamedTuple):
    """A named mark; shape is dot, ring, diamond or square; low and high are an interval in x where one is known."""

    name: str
    x: float
    y: float = 0.0
    style: str = "c0"
    shape: str = "dot"
    low: float | None = None
    high: float | None = None


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
        """About `most` round values: multiples of 1, 2 or 5 times a power of ten, or powers of ten on a log axis."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            stride = max(1, math.ceil((last - first + 1) / most))
            decades = [10.0**power for power in range(first, last + 1, stride)]
            return decades if len(decades) > 1 else [self.low, self.high]
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        found: list[float] = []
        for step in (factor * power for factor in (10, 5, 2, 1, 0.5, 0.2)):
            if step >= rough * (1 - 1e-9) or len(found) < 3:  # a coarse step may leave one tick or two
                first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
                found = [count * step for count in range(first, last + 1)]
        return found


def extent(values: Sequence[float], axis: Axis, pad: float = 0.06) -> tuple[float, float]:
    """The stretch of an axis that shows all values with some air, never of length 0."""
    low = min(values) if axis.low is None else axis.low
    high = max(values) if axis.high is None else axis.high
    if axis.log:
        low, high = max(low, 1e-12), max(high, 1e-12)
        return (low, high) if high > low * 1.01 else (low / 2, high * 2)
    if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):
        spread = abs(high) * 0.1 or 1.0
        fixed_low, fixed_high = axis.low is not None, axis.high is not None and axis.low is None
        return low - (0.0 if fixed_low else spread), high + (0.0 if fixed_high else spread)
    air = (high - low) * pad
    return low - (air if axis.low is None else 0.0), high + (air if axis.high is None else 0.0)


def tick_text(value: float, ticks: Sequence[float], log: bool = False) -> str:
    """A tick's label with as many decimals as the step between ticks needs; thousands as k."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(value) or 1.0
    if log:
        text = f"{value:,.0f}" if value >= 1 else f"{value:.3g}" if value >= 1e-4 else f"{value:.0e}"
    elif value and step >= 1000 and value % 1000 == 0:
        text = f"{value / 1000:,.0f}k"
    elif step < 1e-6 or abs(value) >= 1e9:
        text = f"{value:.3g}"
    else:
        text = f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"
    return text.replace("-", "\u2212")


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
    floor, ceiling = low, high
    for i in order:
        moved[i] = floor = max(moved[i], floor)
        floor += gap
    for i in reversed(order):
        moved[i] = ceiling = min(moved[i], ceiling)
        ceiling -= gap
    return moved


def at(value: float) -> str:
    """A coordinate: one decimal is finer than a screen."""
    return f"{value:.1f}"


def words(text: str, x: float, y: float, style: str = "", anchor: str | None = None) -> Markup:
    """A piece of text at a place; anchor is start, middle or end."""
    return tag("text", text, x=at(x), y=at(y), class_=style, text_anchor=anchor)


def segment(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    """A straight line."""
    return tag("line", x1=at(x1), y1=at(y1), x2=at(x2), y2=at(y2), class_=style)


def path(points: Sequence[tuple[float, float]], style: str, closed: bool = False) -> Markup:
    """A line through the points, or the area that they enclose."""
    steps = "L".join(f"{at(x)} {at(y)}" for x, y in points)
    return tag("path", d=f"M{steps}" + ("Z" if closed else ""), class_=style)


def block(tip: str, left: float, top: float, right: float, bottom: float, style: str) -> Markup:
    """A rectangle with a tooltip."""
    wide, high = max(0.0, right - left), max(0.0, bottom - top)
    return tag("rect", tag("title", tip), x=at(left), y=at(top), width=at(wide), height=at(high), class_=style)


def mark(point: Point, x: float, y: float, size: float = 5.0) -> Markup:
    """A point's mark, with its name as a tooltip."""
    tip, style = tag("title", point.name), f"mark {point.style}"
    if point.shape == "diamond":
        s = size * 1.35
        corners = f"{at(x)},{at(y - s)} {at(x + s)},{at(y)} {at(x)},{at(y + s)} {at(x - s)},{at(y)}"
        return tag("polygon", tip, points=corners, class_=style)
    if point.shape == "square":
        return block(point.name, x - size, y - size, x + size, y + size, style)
    return tag("circle", tip, cx=at(x), cy=at(y), r=at(size), class_=style + " ring" * (point.shape == "ring"))


def canvas(size: Size, title: str, desc: str, *parts: str | None) -> Markup:
    """The outer element: scales with its box, and says what it shows to those who cannot see it."""
    box = f"0 0 {size[0]:g} {size[1]:g}"
    return tag("svg", tag("title", title), tag("desc", desc), *parts, viewBox=box, role="img")


def scales(
    xs: tuple[float, float], ys: tuple[float, float], x: Axis, y: Axis, size: Size, right: float, top: float
) -> tuple[Scale, Scale]:
    """The two scales of a plot whose left margin holds the y axis' widest tick label."""
    y_scale = Scale(*ys, size[1] - (40.0 if x.label else 24.0), top, y.log)
    ticks = y_scale.ticks(4)
    left = 12 + max((width_of(tick_text(value, ticks, y.log)) for value in ticks), default=20)
    return Scale(*xs, left, size[0] - right, x.log), y_scale


def frame(x: Scale, y: Scale, x_axis: Axis, y_axis: Axis) -> Markup:
    """Grid lines, ticks and the axes' names."""
    parts: list[Markup] = []
    x_ticks, y_ticks = x.ticks(5), y.ticks(4)
    for value in y_ticks:
        level = y(value)
        parts.append(segment(x.start, level, x.stop, level, "grid"))
        parts.append(words(tick_text(value, y_ticks, y.log), x.start - 6, level + 4, "tick", "end"))
    for value in x_ticks:
        parts.append(words(tick_text(value, x_ticks, x.log), x(value), y.start + 16, "tick", "middle"))
        parts.append(segment(x(value), y.start, x(value), y.start + 4, "axis"))
    parts.append(segment(x.start, y.start, x.stop, y.start, "axis"))
    if x_axis.label:
        parts.append(words(x_axis.label, x.stop, y.start + 32, "label", "end"))
    if y_axis.label:
        parts.append(words(y_axis.label, 2, y.stop - 14, "label"))
    return join(parts)
