"""The report's figures: which numbers of a run go into which plot, and the words beside it."""

import itertools
import math
import random
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from textgan.report.findings import ORDERS, Trial, best, label, quality_and_diversity
from textgan.metrics.score import Score, why_incomparable
from textgan.report.markup import Markup, figure, join, legend, number, tag
from textgan.report.results import Arm, Evaluated, Row, RunData, dig
from textgan.report.svg import Axis, Band, Bars, DotRow, Line, Point, dots, histogram, line_chart, scatter
from textgan.report.theme import COLOURS

SHAPES = ("ring", "dot", "square", "diamond")
MANY_BANDS = 12
SPEAKING = (
    "BLEU",
    "self",
    "distinct",
    "novel",
    "novelty",
    "duplicates",
)  # of what a tuned model writes; the rest is in the table
PANELS: tuple[tuple[str, str, str, Axis, tuple[tuple[float, str], ...]], ...] = (
    ("valid_nll", "Held-out NLL", "nats a token; lower is better", Axis(), ()),
    ("g_loss", "Generator loss", "a quantity of its own in each phase", Axis(), ()),
    ("d_loss", "Discriminator loss", "lower where it tells real from generated", Axis(), ()),
    ("d_accuracy", "Discriminator accuracy", "share told rightly real or generated", Axis(high=1.0), ((0.5, "chance"),)),
    ("reward", "Reward", "mean of the batch, one standard deviation shaded", Axis(), ()),
    ("sample_unique", "Unique sentences", "share of a sample; a fall is a collapse", Axis(high=1.0), ()),
    ("sample_entropy", "Entropy of the samples", "mean \u2212log p a token, nats; a fall is a collapse", Axis(), ()),
    ("sample_length", "Length of the samples", "tokens a sentence", Axis(), ()),
    ("temperature", "Temperature", "of the sampling in training", Axis(), ()),
)  # fmt: skip


def style_of(place: int) -> str:
    """The colour class of the run at this place of the page."""
    return f"c{place % COLOURS}"


def bands_of(log: Sequence[Row]) -> list[Band]:
    """Stretches of one phase each; none where the phases take turns too often to be shaded."""
    groups = [(phase, list(rows)) for phase, rows in itertools.groupby(log, key=lambda row: row.phase)]
    ends = [rows[0].step for _, rows in groups[1:]] + [log[-1].step if log else 0.0]
    bands = [Band(phase, rows[0].step, end) for (phase, rows), end in zip(groups, ends, strict=True)]
    return bands if len(bands) <= MANY_BANDS and any(band.name for band in bands) else []


def _line(log: Sequence[Row], key: str, name: str, style: str) -> Line:
    rows = [row for row in log if key in row.values]
    y = [row.values[key] for row in rows]
    breaks = (
        [i for i, (a, b) in enumerate(itertools.pairwise(rows), 1) if a.phase != b.phase] if key == "g_loss" else []
    )
    if key == "reward" and rows and all("reward_sd" in row.values for row in rows):
        spread = [row.values["reward_sd"] for row in rows]
        low, high = ([a + sign * b for a, b in zip(y, spread, strict=True)] for sign in (-1, 1))
        return Line(name, [row.step for row in rows], y, style, low, high, breaks)
    return Line(name, [row.step for row in rows], y, style, breaks=breaks if len(breaks) <= MANY_BANDS else ())


def told(line: Line) -> str:
    """A curve in words, for those who cannot see it."""
    return (f"{line.name}: from {number(line.y[0])} at step {number(line.x[0])} to {number(line.y[-1])} at step {number(line.x[-1])}, "
            f"between {number(min(line.y))} and {number(max(line.y))}.")  # fmt: skip


def curves(run: RunData, style: str) -> Markup | None:
    """Small multiples of everything that the log holds, phases shaded, the best held-out NLL marked."""
    found, bands, panels, absent = best(run), bands_of(run.log), [], []
    steps = Axis("step", low=run.log[0].step, high=run.log[-1].step) if run.log else Axis("step")
    for key, title, about, axis, guides in PANELS:
        line = _line(run.log, key, title, style)
        if not line.x:
            absent.append(title.lower())
            continue
        if key == "temperature" and min(line.y) == max(line.y):
            continue
        marks = []
        if key == "valid_nll" and found is not None:
            marks = [
                Point(
                    f"best {number(found.value)} at {number(found.row.step)}",
                    found.row.step,
                    found.value,
                    style,
                    "ring",
                )
            ]
        plot = line_chart(
            [line],
            title=f"{title}, {run.name}",
            desc=told(line),
            x=steps,
            y=axis,
            bands=bands,
            marks=marks,
            guides=guides,
        )
        panels.append(figure(title, about, plot))
    panels += _logged_scores(run, style, bands, steps)
    if not panels:
        return None
    note = tag("p", "Not logged: " + ", ".join(absent) + ".", class_="note") if absent else None
    return join([tag("div", *panels, class_="grid three"), note])


def _logged_scores(run: RunData, style: str, bands: Sequence[Band], steps: Axis) -> list[Markup]:
    """A panel for each BLEU-n or self-BLEU-n that was logged while training."""
    keys = sorted({key for row in run.log for key in row.values if re.fullmatch(r"(self-)?BLEU-\d", key)})
    lines = [_line(run.log, key, key, style) for key in keys]
    return [figure(line.name, "of the samples, while training", line_chart([line], title=f"{line.name}, {run.name}", desc=told(line),
            x=steps, bands=bands)) for line in lines]  # fmt: skip


def overlay(runs: Sequence[RunData]) -> Markup | None:
    """The held-out NLL of all runs in one plot, if several have one."""
    lines = [_line(run.log, "valid_nll", run.name, style_of(place)) for place, run in enumerate(runs)]
    lines = [line for line in lines if line.x]
    if len(lines) < 2:
        return None
    plot = line_chart(lines, title="Held-out NLL of all runs", desc=" ".join(told(line) for line in lines), x=Axis("step"),
                      labels=True, size=(440, 270))  # fmt: skip
    return figure("Held-out NLL of all runs", "nats a token; lower is better", plot)


Judged = tuple[RunData, Evaluated, str]  # with the colour of its run


def unlike(one: Score, other: Score) -> str | None:
    """Why two scores must not stand in one plot, or None."""
    try:
        return why_incomparable(one, other)
    except ValueError:
        return (
            None if (one.n, one.signature) == (other.n, other.signature) else f"{one.name} has another n or signature"
        )


def front(judged: Sequence[Judged], order: int) -> Markup | None:
    """Quality against diversity at one n-gram order: only what was measured alike, and real text always there."""
    known = [(item, pair) for item in judged if (pair := quality_and_diversity(item[1].scores, order))]
    if not known:
        return None
    groups = [[other for other in known if not any(map(unlike, base[1], other[1]))] for base in known]
    shown = max(groups, key=lambda group: (len(group), group[0][1][0].n))
    points, reals = [], {}
    for (run, result, style), (quality, diversity) in shown:
        points.append(Point(label(run, result), diversity.value, quality.value, style))
        if real := quality_and_diversity(result.real, order):
            reals.setdefault((round(real[0].value, 9), round(real[1].value, 9)), f"real text ({run.name})")
    if len(reals) == 1:
        reals = dict.fromkeys(reals, "real text")
    points += [Point(name, x, y, "real", "diamond") for (y, x), name in reals.items()]
    quality, diversity = shown[0][1]
    desc = " ".join(f"{p.name}: BLEU-{order} {number(p.y)}, self-BLEU-{order} {number(p.x)}." for p in points)
    plot = scatter(points, title=f"BLEU-{order} against self-BLEU-{order}", desc=desc,
                   x=Axis(f"self-BLEU-{order}: more alike \u2192"), y=Axis(f"\u2191 BLEU-{order}: nearer to real sentences"))  # fmt: skip
    refused = [(item, pair) for item, pair in known if all(item is not other[0] for other in shown)]
    notes = [
        f"{label(item[0], item[1])} is not in the plot: {next(filter(None, map(unlike, shown[0][1], pair)))}."
        for item, pair in refused
    ]
    if not reals:
        notes.append("Real text\u2019s own point was not measured; without it the plot has no yardstick.")
    signatures = [tag("code", score.signature) for score in (quality, diversity) if score.signature]
    return join([
        figure(f"BLEU-{order} and self-BLEU-{order}", f"n = {number(quality.n)} sentences each", plot),
        *(tag("p", note, class_="flag") for note in notes),
        tag("p", "Signatures: ", join(signatures, " \u00b7 "), class_="signature") if signatures else None,
    ])  # fmt: skip


def fronts(judged: Sequence[Judged]) -> tuple[Markup | None, list[Markup]]:
    """The plot at the order that speaks for a text, and those at the other orders."""
    plots = [plot for order in ORDERS if (plot := front(judged, order)) is not None]
    return (plots[0], plots[1:]) if plots else (None, [])


def unit_of(run: RunData) -> str:
    """What a sentence is counted in: words between spaces, or characters where the text has no spaces."""
    lines = run.heldout or (run.generated.lines if run.generated else [])
    spaced = statistics.median(len(line.split()) for line in lines) if lines else 0
    return "characters" if dig(run.recipe, "tokens", "level") == "characters" or spaced < 2 else "words"


def _cut(line: str, unit: str) -> list[str]:
    return line.split() if unit == "words" else [letter for letter in line if not letter.isspace()]


def equal_draws(run: RunData) -> tuple[list[list[str]], list[list[str]]]:
    """The generated and the real sentences in units, the larger side cut to the smaller's size by a seeded draw."""
    unit, generated = unit_of(run), run.generated.lines if run.generated else []
    n = min(len(generated), len(run.heldout))
    fake, real = (random.Random(0).sample(lines, n) if len(lines) > n else lines for lines in (generated, run.heldout))
    return [_cut(line, unit) for line in fake], [_cut(line, unit) for line in real]


def text_statistics(run: RunData, style: str) -> Markup | None:
    """Sentence lengths and word frequencies of the run's text over those of real text, at equal n."""
    fake, real = equal_draws(run)
    if not fake or run.generated is None:
        return None
    unit, n = unit_of(run), len(fake)
    key = legend([("dot", style, f"generated ({run.generated.file})"), ("line", "real", "real held-out text")])
    draw = f"n = {number(n)} sentences each" + (
        ", drawn with seed 0 from the larger side" if len(run.generated.lines) != len(run.heldout) else ""
    )
    return join([key, tag("div", _lengths(run.name, fake, real, unit, style), _frequencies(run.name, fake, real, unit, style),
                          class_="grid two"), tag("p", draw + ".", class_="note"), _usage(fake, real, unit)])  # fmt: skip


def _lengths(name: str, fake: Sequence[Sequence[str]], real: Sequence[Sequence[str]], unit: str, style: str) -> Markup:
    sizes = [sorted(map(len, side)) for side in (fake, real)]
    most = max(side[min(len(side) - 1, int(len(side) * 0.995))] for side in sizes)
    wide = max(1, math.ceil((most + 1) / 45))
    edges = list(range(0, most + wide + 1, wide))
    heights = [
        [100 * sum(a <= size < b for size in side) / len(side) for a, b in itertools.pairwise(edges)] for side in sizes
    ]
    means = [statistics.fmean(side) for side in sizes]
    desc = f"Mean length {number(means[0])} {unit} generated, {number(means[1])} real."
    start = next((i for i, pair in enumerate(zip(*heights, strict=True)) if any(pair)), 0)
    plot = histogram(edges[start:], [Bars("generated", heights[0][start:], style), Bars("real", heights[1][start:], "real")],
                     title=f"Sentence lengths, {name}", desc=desc, x=Axis(f"{unit} a sentence"), y=Axis(low=0.0), size=(440, 260))  # fmt: skip
    return figure(
        "Sentence length", f"% of sentences; mean {number(means[0])} generated, {number(means[1])} real", plot
    )


def _ranked(side: Iterable[Sequence[str]]) -> tuple[list[float], list[float], int]:
    counts = sorted(Counter(itertools.chain.from_iterable(side)).values(), reverse=True)
    total, types = sum(counts), len(counts)
    ranks = (
        sorted({min(types, round(10 ** (i / 16))) for i in range(int(16 * math.log10(types)) + 2)} | {types})
        if types
        else []
    )
    return [float(rank) for rank in ranks], [100 * counts[rank - 1] / total for rank in ranks], types


def _frequencies(
    name: str, fake: Sequence[Sequence[str]], real: Sequence[Sequence[str]], unit: str, style: str
) -> Markup | None:
    sides = [_ranked(fake), _ranked(real)]
    if not (sides[0][2] and sides[1][2]):
        return None
    lines = [Line("real", *sides[1][:2], "real"), Line("generated", *sides[0][:2], style)]
    desc = f"{number(sides[0][2])} different {unit} generated, {number(sides[1][2])} in real text."
    plot = line_chart(
        lines,
        title=f"Frequencies of {unit}, {name}",
        desc=desc,
        x=Axis("rank", log=True),
        y=Axis(log=True),
        size=(440, 260),
    )
    return figure(f"Frequency of {unit} by rank", f"% of all {unit}, both axes logarithmic; {desc.rstrip('.')}", plot)


def _usage(fake: Iterable[Sequence[str]], real: Iterable[Sequence[str]], unit: str) -> Markup | None:
    """The words that the run uses most above and below real text, in occurrences a thousand."""
    counts = [Counter(itertools.chain.from_iterable(side)) for side in (fake, real)]
    totals = [sum(count.values()) for count in counts]
    if not all(totals):
        return None
    change = {
        word: 1000 * (counts[0][word] / totals[0] - counts[1][word] / totals[1]) for word in counts[0] | counts[1]
    }
    ranked = sorted(change, key=lambda word: (-change[word], word))
    more, less = ([word for word in side if abs(change[word]) >= 0.5] for side in (ranked[:8], ranked[:-9:-1]))
    sides = (("Used more than by people: ", more), ("Used less: ", less))
    said = [tag("p", tag("span", start), *(_rate(word, counts, totals) for word in picked), class_="usage")
            for start, picked in sides if picked]  # fmt: skip
    per = tag("p", f"Rates a thousand {unit}, generated : real.", class_="note")
    return join([*said, per]) if said else None


def _rate(word: str, counts: Sequence[Mapping[str, int]], totals: Sequence[int]) -> Markup:
    rates = [1000 * count[word] / total for count, total in zip(counts, totals, strict=True)]
    shown = word if len(word) <= 40 else word[:40] + "\u2026"
    return tag("span", tag("bdi", shown), tag("small", f" {rates[0]:.1f} : {rates[1]:.1f}"), " ", class_="rate")


def perplexities(trial: Trial, style: str) -> Markup | None:
    """Held-out perplexity of each arm: a mark a seed."""
    rows = []
    for place, arm in enumerate(trial.repeats[0].arms):
        found = [
            (result.seed, result.arms[place].values["perplexity"])
            for result in trial.repeats
            if "perplexity" in result.arms[place].values
        ]
        marks = [
            Point(f"{arm.name}, seed {number(seed)}: {number(value)}", value, 0, style, SHAPES[min(place, 3)])
            for seed, value in found
        ]
        rows.append(DotRow(arm.name, marks))
    return _perplexity_plot(rows, trial.run)


def tuned_perplexities(arms: Sequence[Arm], run: str, style: str) -> Markup | None:
    """Held-out perplexity of models that were fine-tuned one by one."""
    return _perplexity_plot([DotRow(arm.name, [Point(f"{arm.name}: {number(arm.values['perplexity'])}", arm.values["perplexity"], 0, style)])
                             for arm in arms if "perplexity" in arm.values], run)  # fmt: skip


def _perplexity_plot(rows: Sequence[DotRow], run: str) -> Markup | None:
    if not any(row.dots for row in rows):
        return None
    desc = " ".join(f"{point.name}." for row in rows for point in row.dots)
    plot = dots(rows, title=f"Held-out perplexity, {run}", desc=desc, x=Axis("perplexity; better to the left"))
    return figure("Held-out perplexity", "one mark a seed; the axis does not begin at 0", plot)


def written_scores(trial: Trial, style: str) -> Markup | None:
    """The scores of what each arm's model writes, with real text's own: those that live between 0 and 1."""
    result = trial.repeats[0]
    names = [name for name in result.arms[0].scores if name.split("-")[0] in SPEAKING
             and all(name in arm.scores and 0 <= arm.scores[name].value <= 1 for arm in result.arms)]  # fmt: skip
    if not names:
        return None
    rows = []
    for name in names:
        marks = [Point(f"{arm.name}: {number(arm.scores[name].value)}", arm.scores[name].value, 0, style, SHAPES[min(place, 3)],
                       arm.scores[name].low, arm.scores[name].high) for place, arm in enumerate(result.arms)]  # fmt: skip
        if name in result.real:
            marks.append(
                Point(f"real text: {number(result.real[name].value)}", result.real[name].value, 0, "real", "diamond")
            )
        rows.append(DotRow(name, marks))
    key = legend(
        [
            *((SHAPES[min(place, 3)], style, arm.name) for place, arm in enumerate(result.arms)),
            ("diamond", "real", "real held-out text"),
        ]
    )
    desc = " ".join(f"{row.name}: " + ", ".join(point.name for point in row.dots) + "." for row in rows)
    plot = dots(rows, title=f"What the tuned models write, {trial.run}", desc=desc, x=Axis("score", low=0.0, high=1.0))
    return join(
        [figure("The text that each tuned model writes", "nearer to the diamond is nearer to real text", plot), key]
    )
