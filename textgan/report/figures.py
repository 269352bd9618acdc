"""Training curves, fronts and fine-tunings as figures: which numbers go into which plot, and the words beside it."""

import itertools
import re
import statistics
from collections.abc import Sequence

from textgan.metrics.score import Score, why_incomparable
from textgan.readable import number
from textgan.report.charts import Band, DotRow, Line, dots, line_chart, scatter
from textgan.report.findings import ORDERS, Trial, best, label, quality_and_diversity
from textgan.report.markup import Markup, figure, join, legend, tag
from textgan.report.results import Arm, Evaluated, Row, RunData
from textgan.report.svg import PLAIN, Axis, Point
from textgan.report.theme import COLOURS

SHAPES = ("ring", "dot", "square", "diamond")  # of a trial's arms; real text is an ink diamond
MANY = 12  # phases that take turns more often than this are not shaded
SHARE = Axis(high=1.0)
STEEP = (
    "valid_nll",
    "joint",
    "sample_entropy",
)  # begin at the log of the vocabulary's size, far above all that follows
FAR, FEW = (
    6.0,
    6,
)  # the start is left out while it is FAR times the median's height above the least, of FEW points or more
#: Metrics that training logs.
MEASURED = r"(self-|backward-)?BLEU-\d|MS-Jaccard-\d|(reverse-)?LM-score|Frechet"
Guides = tuple[tuple[float, str], ...]
PANELS: tuple[tuple[str, str, str, Axis, Guides], ...] = (
    ("valid_nll", "Held-out NLL", "nats a token, lower is better", PLAIN, ()),
    ("joint", "Joint score", "held-out NLL and divergence of the samples, nats a token, lower is better", PLAIN, ()),
    ("g_loss", "Generator loss", "a quantity of its own in each phase", PLAIN, ()),
    ("d_loss", "Discriminator loss", "lower where it tells real from generated", PLAIN, ()),
    ("d_accuracy", "Discriminator accuracy", "share told rightly", SHARE, ((0.5, "chance"),)),
    ("reward", "Reward", "mean of the batch, one standard deviation shaded", PLAIN, ()),
    ("sample_unique", "Unique sentences", "share of a sample; a fall is a collapse", SHARE, ()),
    ("sample_entropy", "Entropy of the samples", "nats a token; a fall is a collapse", PLAIN, ()),
    ("sample_length", "Length of the samples", "tokens a sentence", PLAIN, ()),
    ("temperature", "Temperature", "of the sampling in training", PLAIN, ()),
)
#: What is plotted of a tuned model's text: families whose values lie between 0 and 1. The table has them all.
SPEAKING = ("BLEU-", "self-BLEU-", "distinct-", "novel", "duplicates")
Judged = tuple[RunData, Evaluated, str]  # with the colour class of its run


def style_of(place: int) -> str:
    """The colour class of the run at this place of the page."""
    return f"c{place % COLOURS}"


def bands_of(log: Sequence[Row]) -> list[Band]:
    """Stretches of one phase each; none where the phases take turns too often to be shaded."""
    if not log:
        return []
    groups = [(phase, list(rows)) for phase, rows in itertools.groupby(log, key=lambda row: row.phase)]
    ends = [rows[0].step for _, rows in groups[1:]] + [log[-1].step]
    bands = [Band(phase, rows[0].step, end) for (phase, rows), end in zip(groups, ends, strict=True)]
    return bands if len(bands) <= MANY and any(band.name for band in bands) else []


def curve(log: Sequence[Row], key: str, name: str, style: str) -> Line:
    """One logged quantity over the steps; the generator's loss breaks where a phase ends: it is another loss there."""
    rows = [row for row in log if key in row.values]
    x, y = [row.step for row in rows], [row.values[key] for row in rows]
    breaks = (
        [i for i, (a, b) in enumerate(itertools.pairwise(rows), 1) if a.phase != b.phase] if key == "g_loss" else []
    )
    breaks = breaks if len(breaks) <= MANY else []
    if key == "reward" and all("reward_sd" in row.values for row in rows):
        spread = [row.values["reward_sd"] for row in rows]
        low, high = ([a + sign * b for a, b in zip(y, spread, strict=True)] for sign in (-1, 1))
        return Line(name, x, y, style, low, high, breaks)
    return Line(name, x, y, style, breaks=breaks)


def without_start(line: Line) -> tuple[Line, str]:
    """The curve from where it has come near its later self, which its steep start would flatten; and where it began."""
    low, middle = min(line.y), statistics.median(line.y)
    first = next(i for i, value in enumerate(line.y) if value <= low + FAR * (middle - low) or value <= middle)
    if len(line.y) < FEW or first == 0:
        return line, ""
    return line._replace(x=line.x[first:], y=line.y[first:]), f"; start ({number(line.y[0])}) cut"


def told(line: Line) -> str:
    """A curve in words, for those who cannot see it."""
    first, last = (f"{number(line.y[i])} at step {number(line.x[i])}" for i in (0, -1))
    return f"{line.name}: from {first} to {last}, between {number(min(line.y))} and {number(max(line.y))}."


def curves(run: RunData, style: str) -> Markup | None:
    """Small multiples of everything that the log holds, phases shaded, the best held-out NLL marked."""
    if not run.log:
        return None
    steps, bands, found = Axis("step", low=run.log[0].step, high=run.log[-1].step), bands_of(run.log), best(run)
    logged = sorted({key for row in run.log for key in row.values if re.fullmatch(MEASURED, key)})
    more = [(key, key, "of the samples, while training", PLAIN, ()) for key in logged]
    panels, absent = [], []
    for key, title, about, axis, guides in (*PANELS, *more):
        line = curve(run.log, key, title, style)
        if not line.x:
            absent.append(title.lower())
        if not line.x or (key == "temperature" and min(line.y) == max(line.y)):
            continue
        shown, begun = without_start(line) if key in STEEP else (line, "")
        marks = []
        if key == "valid_nll" and found is not None:
            name = f"best {number(found.value)} at {number(found.row.step)}"
            marks = [Point(name, found.row.step, found.value, style, "ring")]
        plot = line_chart(
            [shown],
            title=f"{title}, {run.name}",
            desc=told(line),
            x=steps,
            y=axis,
            bands=bands,
            marks=marks,
            guides=guides,
        )
        panels.append(figure(title, about + begun, plot))
    if not panels:
        return None
    note = tag("p", f"Not logged: {', '.join(absent)}.", class_="note") if absent else None
    return join([tag("div", *panels, class_="grid three"), note])


def overlay(runs: Sequence[RunData]) -> Markup | None:
    """Held-out NLL and diversity of all runs, each in one plot, where two runs or more have them."""
    panels = []
    for key, title, about, axis, _ in PANELS:
        lines = [curve(run.log, key, run.name, style_of(place)) for place, run in enumerate(runs)]
        lines = [line for line in lines if line.x]
        if key in STEEP and len(lines) > 1:
            cut = "; steep start cut" if any(without_start(line)[1] for line in lines) else ""
            plot = line_chart(
                [without_start(line)[0] for line in lines],
                title=f"{title} of all runs",
                desc=" ".join(map(told, lines)),
                x=Axis("step"),
                y=axis,
                labels=True,
                size=(440, 270),
            )
            panels.append(figure(f"{title}, all runs", about + cut, plot))
    return tag("div", *panels, class_="grid two") if panels else None


def unlike(one: Score, other: Score) -> str | None:
    """Why two scores must not stand in one plot, or None."""
    try:
        return why_incomparable(one, other)
    except ValueError:  # a signature that none of ours wrote
        same = (one.n, one.signature) == (other.n, other.signature)
        return None if same else f"{one.name} has another n or signature"


def front(judged: Sequence[Judged], order: int) -> Markup | None:
    """Quality against diversity at one n-gram order: only what was measured alike, and real text always there."""
    known = [(item, pair) for item in judged if (pair := quality_and_diversity(item[1].scores, order))]
    if not known:
        return None
    groups = [[other for other in known if not any(map(unlike, base[1], other[1]))] for base in known]
    shown = max(groups, key=lambda group: (len(group), group[0][1][0].n))
    points, real = [], _real_points([item for item, _ in shown], order)
    for (run, result, style), (quality, diversity) in shown:
        points.append(Point(label(run, result), diversity.value, quality.value, style))
    desc = " ".join(f"{p.name}: BLEU-{order} {number(p.y)}, self-BLEU-{order} {number(p.x)}." for p in points + real)
    plot = scatter(
        points + real,
        title=f"BLEU-{order} against self-BLEU-{order}",
        desc=desc,
        x=Axis(f"self-BLEU-{order}: more alike \u2192"),
        y=Axis(f"\u2191 BLEU-{order}: nearer to real sentences"),
    )
    notes = []
    for item, pair in known:
        if not any(item is other for other, _ in shown):
            why = next(reason for reason in map(unlike, shown[0][1], pair) if reason)
            notes.append(f"{label(item[0], item[1])} is not in the plot: {why}.")
    if not real:
        notes.append("Real text\u2019s own point was not measured; without it the plot has no yardstick.")
    signatures = [tag("code", score.signature) for score in shown[0][1] if score.signature]
    about = f"n = {number(shown[0][1][0].n or None)} sentences each"
    flags = [tag("p", note, class_="flag") for note in notes]
    signed_ = tag("p", "Signatures: ", join(signatures, " \u00b7 "), class_="signature") if signatures else None
    return join([figure(f"BLEU-{order} and self-BLEU-{order}", about, plot), *flags, signed_])


def _real_points(judged: Sequence[Judged], order: int) -> list[Point]:
    """Real text's own point, or one for each reference where they differ."""
    found: dict[tuple[float, float], str] = {}
    for run, result, _ in judged:
        if real := quality_and_diversity(result.real, order):
            found.setdefault((round(real[1].value, 9), round(real[0].value, 9)), f"real text ({label(run, result)})")
    names = ["real text"] if len(found) == 1 else list(found.values())
    return [Point(name, x, y, "real", "diamond") for (x, y), name in zip(found, names, strict=True)]


def fronts(judged: Sequence[Judged]) -> list[Markup]:
    """The plots at all n-gram orders, the one that speaks for a text first."""
    return [plot for order in ORDERS if (plot := front(judged, order)) is not None]


def perplexities(trial: Trial, style: str) -> Markup | None:
    """Held-out perplexity of each arm: a mark a seed."""
    rows = []
    for place, arm in enumerate(trial.repeats[0].arms):
        marks = []
        for result in trial.repeats:
            if (value := result.arms[place].values.get("perplexity")) is not None:
                name = f"{arm.name}, seed {number(result.seed)}: {number(value)}"
                marks.append(Point(name, value, style=style, shape=SHAPES[min(place, 3)]))
        rows.append(DotRow(arm.name, marks))
    return _perplexity_plot(rows, trial.run)


def tuned_perplexities(arms: Sequence[Arm], run: str, style: str) -> Markup | None:
    """Held-out perplexity of models that were fine-tuned one by one."""
    known = [(arm.name, arm.values["perplexity"]) for arm in arms if "perplexity" in arm.values]
    return _perplexity_plot([DotRow(n, [Point(f"{n}: {number(v)}", v, style=style)]) for n, v in known], run)


def _perplexity_plot(rows: Sequence[DotRow], run: str) -> Markup | None:
    if not any(row.dots for row in rows):
        return None
    desc = " ".join(f"{point.name}." for row in rows for point in row.dots)
    axis = Axis("perplexity; better to the left")
    plot = dots(rows, title=f"Held-out perplexity, {run}", desc=desc, x=axis)
    return figure("Held-out perplexity", "one mark a seed; the axis does not begin at 0", plot)


def written_scores(trial: Trial, style: str) -> Markup | None:
    """The scores of what each arm's model writes, with real text's own."""
    result = trial.repeats[0]
    rows = []
    for name in result.arms[0].scores:
        scores = [arm.scores.get(name) for arm in result.arms]
        if not name.startswith(SPEAKING) or any(score is None or not 0 <= score.value <= 1 for score in scores):
            continue
        marks = [
            Point(f"{arm.name}: {number(s.value)}", s.value, 0.0, style, SHAPES[min(place, 3)], s.low, s.high)
            for place, arm in enumerate(result.arms)
            if (s := arm.scores[name])
        ]
        if name in result.real:
            value = result.real[name].value
            marks.append(Point(f"real text: {number(value)}", value, 0.0, "real", "diamond"))
        rows.append(DotRow(name, marks))
    if not rows:
        return None
    arms = [(SHAPES[min(place, 3)], style, arm.name) for place, arm in enumerate(result.arms)]
    desc = " ".join(f"{row.name}: {', '.join(point.name for point in row.dots)}." for row in rows)
    title = f"What the tuned models write, {trial.run}"
    plot = dots(rows, title=title, desc=desc, x=Axis("score", low=0.0, high=1.0))
    about = "nearer to the diamond is nearer to real text" + (f"; {result.file}" if len(trial.repeats) > 1 else "")
    key = legend([*arms, ("diamond", "real", "real held-out text")])
    return join([figure("The text that each tuned model writes", about, plot), key])
