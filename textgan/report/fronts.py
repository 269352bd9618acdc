"""The page of a sweep: one plot for each measure of quality against self-BLEU, real text in each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textgan.readable import number
from textgan.report.charts import Line, line_chart
from textgan.report.markup import Markup, figure, join, legend, table, tag
from textgan.report.svg import Axis, Point
from textgan.report.theme import COLOURS, document

Curve = Sequence[tuple[float, Mapping[str, float]]]  # temperature, and the scores there


def fronts(
    models: Mapping[str, Curve],
    real: Mapping[str, float],
    *,
    better: Mapping[str, str],
    diversity: str,
    sentences: Sequence[str],
    notes: Sequence[str],
    about: str,
    knobs: Mapping[str, str] | None = None,
    rightwards: str = "repeats itself more",
) -> str:
    """HTML: curves of each model over its temperatures, real text as a point, what matching supports, all figures.

    knobs: what a model's points are where they are no temperatures, "T". rightwards: what text does the more, the
    greater its `diversity` is; lower is better on that axis.
    """
    names = sorted({name for curve in models.values() for _, scores in curve for name in scores if name in better})
    qualities = [name for name in names if name != diversity and not name.startswith("self-BLEU")]
    plots = [_plot(models, real, better, diversity, quality) for quality in qualities]
    keys = [("line", f"c{place % COLOURS}", name) for place, name in enumerate(models)]
    keys.append(("diamond", "real", "real text"))
    said = sentences or ["No model could be matched with another."]
    head = tag(
        "header",
        tag("p", "textgan sweep", class_="eyebrow"),
        tag("h1", "Quality against diversity"),
        tag("ul", *(tag("li", sentence) for sentence in said), class_="lead"),
        tag("p", about, class_="about"),
    )
    read = (
        f"Each point of a curve is one temperature (or one top-p, where its name says so). Further right {rightwards}; "
        "at equal diversity, better is up where the axis says higher, and down where it says lower. Real text is the "
        "mark that a model should reach, not pass."
    )
    body = [
        tag("section", tag("h2", "Fronts"), tag("p", read), legend(keys), tag("div", *plots, class_="grid two")),
        tag("section", tag("h2", "All figures"), _figures(models, real, names, knobs or {})),
    ]
    if notes:
        listed = tag("ul", *(tag("li", note) for note in notes), class_="missing")
        body.append(tag("section", tag("h2", "Notes"), listed))
    return document("textgan sweep", join([head, tag("main", *body)]))


def _plot(
    models: Mapping[str, Curve], real: Mapping[str, float], better: Mapping[str, str], diversity: str, quality: str
) -> Markup | None:
    lines = []
    for place, (name, curve) in enumerate(models.items()):
        cooled = sorted(curve, key=lambda point: -point[0])  # not by diversity, which may turn back
        points = [(s[diversity], s[quality]) for _, s in cooled if diversity in s and quality in s]
        if points:
            lines.append(Line(name, [p[0] for p in points], [p[1] for p in points], f"c{place % COLOURS}"))
    if not lines:
        return None
    marks = [Point("real text", real[diversity], real[quality], "real", "diamond")] if quality in real else []
    chart = line_chart(
        lines,
        title=f"{quality} against {diversity}",
        desc=f"{quality} ({better[quality]} is better) of each model over its temperatures, against {diversity}",
        x=Axis(diversity),
        y=Axis(f"{quality}, {better[quality]} is better"),
        marks=marks,
        labels=True,
        size=(520, 300),
    )
    return figure(quality, f"against {diversity}; {better[quality]} is better", chart)


def _figures(
    models: Mapping[str, Curve], real: Mapping[str, float], names: Sequence[str], knobs: Mapping[str, str]
) -> Markup:
    rows = [
        [f"{model}, {knobs.get(model, 'T')} = {at:g}", *(number(scores[n]) if n in scores else "-" for n in names)]
        for model, curve in models.items()
        for at, scores in curve
    ]
    rows.append(["real text", *(number(real[n]) if n in real else "-" for n in names)])
    return table(["model and temperature", *names], rows, caption="Means over the runs of a model")
