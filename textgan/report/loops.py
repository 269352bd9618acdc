"""The page of a loop: held-out likelihood, entropy and diversity over generations, a curve a regime."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from textgan.readable import number
from textgan.report.charts import Line, line_chart
from textgan.report.markup import Markup, figure, join, legend, table, tag
from textgan.report.svg import Axis
from textgan.report.theme import COLOURS, document

SHOWN = {
    "nll_per_byte": ("Held-out NLL", "nats a byte of real held-out text; lower is better"),
    "entropy": ("Entropy", "nats of a sentence under the model that wrote it"),
    "distinct-2": ("Distinct 2-grams", "share of a text's 2-grams that are distinct"),
    "self-BLEU-4": ("Self-BLEU-4", "how much a sentence shares with the others; lower is more varied"),
}
READ = (
    "Generation 0 learns from real text and is the same in all regimes; each later one is a fresh model that learns "
    "from text of those before it. A curve is the mean over the seeds, its shade their range; the level line is real "
    "text."
)


def page(result: Mapping[str, Any]) -> str:
    """HTML from what `loop` gives."""
    setting, rows = result["settings"], result["generations"]
    regimes = setting["regimes"]
    head = tag(
        "header",
        tag("p", "textgan loop", class_="eyebrow"),
        tag("h1", "A model that learns from its own text"),
        tag("ul", *(tag("li", sentence) for sentence in result["findings"]), class_="lead"),
        tag("p", f"{setting['lm']}, {setting['steps']} steps a generation, {setting['n']:,} sentences each, "
                 f"T = {setting['temperature']:g}, {len(setting['seeds'])} seeds.", class_="about"),
    )  # fmt: skip
    keys = legend(("line", f"c{place % COLOURS}", regime) for place, regime in enumerate(regimes))
    plots = [_plot(rows, regimes, name, result["real"]) for name in SHOWN]
    body = [
        tag("section", tag("h2", "Generations"), tag("p", READ), keys, tag("div", *plots, class_="grid two")),
        tag("section", tag("h2", "All figures"), _figures(rows, regimes)),
    ]
    return document("textgan loop", join([head, tag("main", *body)]))


def curve(rows: Sequence[Mapping[str, Any]], regime: str, name: str) -> dict[int, list[float]]:
    """generation -> a figure, one value a seed that has it; generation 0, which all regimes share, among them."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if row["regime"] in (regime, "first") and row[name] is not None:
            found.setdefault(row["generation"], []).append(row[name])
    return dict(sorted(found.items()))


def _plot(rows: Any, regimes: list[str], name: str, real: Mapping[str, float]) -> Markup | None:
    title, about = SHOWN[name]
    lines = []
    for place, regime in enumerate(regimes):
        found = curve(rows, regime, name)
        values = list(found.values())
        if not values:
            continue
        lines.append(
            Line(regime, list(found), [statistics.fmean(v) for v in values], f"c{place % COLOURS}",
                 [min(v) for v in values], [max(v) for v in values])
        )  # fmt: skip
    if not lines:
        return None
    guides = [(real[name], "real text")] if name in real else []
    chart = line_chart(
        lines, title=f"{title} over generations", desc=f"{about}, for each regime, over generations",
        x=Axis("generation"), y=Axis(title), guides=guides, labels=True, size=(520, 300),
    )  # fmt: skip
    return figure(title, about, chart)


def _figures(rows: Any, regimes: list[str]) -> Markup:
    found = []
    for regime in regimes:
        curves = [curve(rows, regime, name) for name in SHOWN]
        for generation in curves[0]:
            means = [number(statistics.fmean(one[generation]) if generation in one else None) for one in curves]
            found.append([f"{regime}, generation {generation}", *means])
    titles = [title for title, _ in SHOWN.values()]
    return table(["regime and generation", *titles], found, caption="Means over the seeds")
