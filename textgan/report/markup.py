"""HTML and SVG from Python values: text is escaped unless it was made by `tag`, so no sentence can become markup.

Reports are inert (nothing runs, nothing is fetched): `tag` and `join` are the only makers of `Markup`, a plain `str` is
always escaped, and characters that act on a page instead of being read on it (controls, direction overrides, lone
surrogates) are shown, not obeyed.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape

# Controls, line separators, direction overrides and isolates, byte order mark, annotations, noncharacters, surrogates.
ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]")
VOID = frozenset({"meta", "circle", "line", "path", "polygon", "rect"})
CUT = 1200  # characters of one text that a page shows; the rest is counted, not shown


class Markup(str):
    """A string that is HTML already. Only `tag` and `join` make it (and the style sheet's one place)."""


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return "\ufffd" if 0xD800 <= code <= 0xDFFF or code >= 0xFFFE else f"\u27e8U+{code:04X}\u27e9"


def clean(text: str) -> str:
    """The text as a reader may safely see it: acting characters made visible, and no longer than CUT characters."""
    left_out = len(text) - CUT
    shown = ACTING.sub(_shown, text[:CUT])
    return shown if left_out <= 0 else f"{shown}\u2026 (+{left_out:,} characters)"


def join(parts: Iterable[str | None], between: str = "") -> Markup:
    """The parts in a row; plain strings among them are escaped, None is dropped."""
    kept = [part if isinstance(part, Markup) else escape(clean(part)) for part in parts if part is not None]
    return Markup(escape(between).join(kept))


def tag(name: str, /, *children: str | None, **attributes: object) -> Markup:
    """One element. `class_` is class, `a_b` is a-b; None, False and "" leave an attribute out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(ACTING.sub(_shown, str(value)))}"'
        for key, value in attributes.items()
        if value is not None and value is not False and value != ""
    )
    if name in VOID and not children:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, text_columns: Iterable[int] = (0,)
) -> Markup:
    """A data table in a scrolling box; a row's first cell is its header; columns not in `text_columns` align right."""
    words = set(text_columns)
    style = ["" if column in words else "num" for column in range(len(head))]
    top = tag("tr", *(tag("th", cell, scope="col", class_=style[i]) for i, cell in enumerate(head)))
    body = [
        tag(
            "tr", tag("th", row[0], scope="row"), *(tag("td", cell, class_=style[i]) for i, cell in enumerate(row) if i)
        )
        for row in rows
    ]
    inner = tag("table", tag("caption", tag("span", caption)), tag("thead", top), tag("tbody", *body))
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def figure(title: str, about: str, plot: Markup) -> Markup:
    """A plot under its title and the line that says what is drawn."""
    return tag("figure", tag("figcaption", tag("strong", title), tag("span", about) if about else None), plot)


def legend(keys: Iterable[tuple[str, str, str]]) -> Markup:
    """What the marks of a plot mean: (shape, colour class, meaning); the shape is line or a mark's."""
    return tag(
        "ul",
        *(tag("li", _swatch(shape, style), tag("span", meaning)) for shape, style, meaning in keys),
        class_="legend",
    )


def _swatch(shape: str, style: str) -> Markup:
    circle = tag("circle", cx=11, cy=7, r=5, class_=f"mark {style}" + (" ring" if shape == "ring" else ""))
    inner = {
        "line": tag("line", x1=1, y1=7, x2=21, y2=7, class_=f"stroke {style}"),
        "diamond": tag("polygon", points="11,1 17,7 11,13 5,7", class_=f"mark {style}"),
        "square": tag("rect", x=6, y=2, width=10, height=10, class_=f"mark {style}"),
    }.get(shape, circle)
    return tag("svg", inner, viewBox="0 0 22 14", width=22, height=14, aria_hidden="true", class_="swatch")
