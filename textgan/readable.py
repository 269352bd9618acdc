"""Numbers, lines and columns as people read them, on a page as in a terminal."""

import unicodedata
from collections.abc import Iterable, Sequence

DASH = "\u2013"


def number(value: float | None, digits: int = 3) -> str:
    """A number as people read it: `digits` significant ones, whole ones grouped, a true minus, a dash if absent."""
    if value is None:
        return DASH
    size = abs(value)
    if value == int(value) and size < 1e15:
        written = f"{int(value):,}"
    elif size >= 1e7 or size < 10.0**-digits:
        written = f"{value:.{digits - 1}e}"
    else:
        places = digits if size < 1 else max(0, digits - len(str(int(size))))
        written = f"{value:,.{places}f}"
    return written.replace("-", "\u2212")


def signed(value: float | None, places: int = 3) -> str:
    """A difference with its sign, to fixed places; one too small for them is said to be nearly 0."""
    if value is None:
        return DASH
    if abs(value) < 0.5 * 10.0**-places:
        return f"\u00b1{0:.{places}f}" if value else f"{0:.{places}f}"
    return f"{value:+,.{places}f}".replace("-", "\u2212")


def percent(value: float) -> str:
    """A share for readers."""
    return f"{100 * value:.2f} %"


def span(low: float, high: float) -> str:
    """An interval of shares, in per cent."""
    return f"{100 * low:.2f} to {100 * high:.2f}".replace("-", "\u2212")


def printable(text: str) -> str:
    """Without control characters, so that a file's name or a reason cannot steer a terminal."""
    return "".join(char if unicodedata.category(char)[0] != "C" else "?" for char in text)


def columns(rows: Iterable[Sequence[str]], *, rule: bool = False) -> list[str]:
    """The rows as lines whose columns stand below each other, safe for a terminal; rule: a line below the first row."""
    table = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]] if rule else lines
