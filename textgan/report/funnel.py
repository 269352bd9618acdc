"""The page of a selection: what each stage has left of the texts, and what a second judge says of it."""

from __future__ import annotations

from collections.abc import Sequence

from textgan.readable import number
from textgan.report.charts import DotRow, dots
from textgan.report.markup import Markup, figure, join, table, tag
from textgan.report.svg import Axis, Point
from textgan.report.theme import document

Rows = Sequence[Sequence[str]]


def funnel_plot(funnel: Sequence[tuple[str, int]]) -> Markup:
    """A line a stage, from the texts that came in (ring) to those that were left (dot)."""
    before = [funnel[0][1], *(left for _, left in funnel)]
    rows = [
        DotRow(name, [Point(f"{name}: {came:,} came", came, shape="ring"), Point(f"{name}: {left:,} left", left)])
        for (name, left), came in zip(funnel, before, strict=False)
    ]
    return dots(rows, title="The funnel", desc="Texts before and after each stage", x=Axis("texts", low=0.0), wide=520)


def selection_page(
    funnel: Sequence[tuple[str, int]], *, said: Sequence[str], facts: Rows, warnings: Sequence[str], samples: Rows
) -> str:
    """HTML: the sentences of what came out, warnings, the funnel as plot and table, figures, texts with reasons."""
    first = max(1, funnel[0][1])
    stages = [
        [name, number(left), number(came - left), f"{100 * left / first:.1f} %"]
        for (name, left), came in zip(funnel, [funnel[0][1], *(left for _, left in funnel)], strict=False)
    ]
    head = tag(
        "header",
        tag("p", "textgan select", class_="eyebrow"),
        tag("h1", "What was selected, and why"),
        tag("ul", *(tag("li", line) for line in said), class_="lead"),
        *(tag("p", line, class_="flag") for line in warnings),
    )
    plot = figure("Funnel", "ring: texts that came to a stage; dot: texts that it has left", funnel_plot(funnel))
    counts = table(["stage", "left", "dropped", "of all"], stages, caption="Texts after each stage")
    body = [
        tag("section", tag("h2", "The funnel"), tag("div", plot, class_="grid two"), counts),
        tag(
            "section", tag("h2", "Figures"), table(["figure", "value"], facts, caption="Of the ratio and the selection")
        ),
    ]
    if samples:
        shown = table(["text", "ratio", "reason"], samples, caption="Some texts of each fate", text_columns=(0, 2))
        body.append(tag("section", tag("h2", "Texts"), tag("p", "Written by a model; unread."), shown))
    return document("textgan select", join([head, tag("main", *body)]))
