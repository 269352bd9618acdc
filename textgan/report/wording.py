"""How long the sentences of a run are and which words they use, beside real text at the same number of sentences."""

import itertools
import math
import random
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from textgan.readable import number
from textgan.report.charts import Bars, Line, histogram, line_chart
from textgan.report.markup import Markup, figure, join, legend, tag
from textgan.report.results import RunData, dig
from textgan.report.svg import Axis

SEED = 0
TELLING = 10.83  # log-likelihood ratio above which one word's rates differ at p < .001
SHOWN = 8  # words on either side
SIZE = (440.0, 260.0)
Side = Sequence[Sequence[str]]  # sentences in units


def unit_of(run: RunData) -> str:
    """What a sentence is counted in: words between spaces, or characters where the text has no spaces."""
    lines = run.heldout or (run.generated.lines if run.generated else [])
    spaced = statistics.median(len(line.split()) for line in lines) if lines else 0
    return "characters" if dig(run.recipe, "tokens", "level") == "characters" or spaced < 2 else "words"


def draws(run: RunData) -> tuple[Side, Side]:
    """The generated and the real sentences in units, the larger side cut to the smaller's size by a seeded draw."""
    generated = run.generated.lines if run.generated else []
    n, unit = min(len(generated), len(run.heldout)), unit_of(run)
    sides = [random.Random(SEED).sample(lines, n) if len(lines) > n else lines for lines in (generated, run.heldout)]
    fake, real = ([_cut(line, unit) for line in lines] for lines in sides)
    return fake, real


def _cut(line: str, unit: str) -> list[str]:
    return line.split() if unit == "words" else [letter for letter in line if not letter.isspace()]


def text_statistics(run: RunData, style: str) -> Markup | None:
    """Sentence lengths and word frequencies of the run's text over those of real text, at equal n."""
    fake, real = draws(run)
    if not fake or run.generated is None:
        return None
    unit = unit_of(run)
    key = legend([("square", style, f"generated ({run.generated.file})"), ("line", "real", "real held-out text")])
    drawn = f", drawn with seed {SEED} from the larger side" if len(run.generated.lines) != len(run.heldout) else ""
    plots = [lengths(run.name, fake, real, unit, style), frequencies(run.name, fake, real, unit, style)]
    note = tag("p", f"n = {number(len(fake))} each{drawn}.", class_="note")
    return join([key, tag("div", *plots, class_="grid two"), note, usage(fake, real, unit)])


def lengths(name: str, fake: Side, real: Side, unit: str, style: str) -> Markup:
    """Both histograms of sentence lengths; the longest half percent is left out of the plot."""
    sizes = [sorted(map(len, side)) for side in (fake, real)]
    most = max(side[min(len(side) - 1, int(len(side) * 0.995))] for side in sizes)
    wide = math.ceil((most + 1) / 45)
    bins = range(max(0, min(side[0] for side in sizes) // wide - 1), most // wide + 1)
    edges = [i * wide for i in (*bins, bins.stop)]
    counts = [Counter(size // wide for size in side) for side in sizes]
    heights = [[100 * count[i] / len(fake) for i in bins] for count in counts]
    means = [statistics.fmean(side) for side in sizes]
    about = f"% of sentences; mean {number(means[0])} generated, {number(means[1])} real"
    plot = histogram(
        edges,
        [Bars("generated", heights[0], style), Bars("real", heights[1], "real")],
        title=f"Sentence lengths, {name}",
        desc=f"Mean length in {unit}: {number(means[0])} generated, {number(means[1])} real.",
        x=Axis(f"{unit} a sentence"),
        size=SIZE,
    )
    return figure("Sentence length", about, plot)


def ranked(side: Side, name: str, style: str) -> tuple[Line, int]:
    """Percent of all units that the r-th most frequent one is, at ranks that are even on a log axis; and the types."""
    counts = sorted(Counter(itertools.chain.from_iterable(side)).values(), reverse=True)
    total, types = sum(counts), len(counts)
    steps = int(16 * math.log10(types)) + 2 if types else 0
    ranks = sorted({min(types, round(10 ** (i / 16))) for i in range(steps)} | ({types} - {0}))
    return Line(name, [float(rank) for rank in ranks], [100 * counts[rank - 1] / total for rank in ranks], style), types


def frequencies(name: str, fake: Side, real: Side, unit: str, style: str) -> Markup | None:
    """Rank against frequency, both logarithmic."""
    (own, types), (other, real_types) = ranked(fake, "generated", style), ranked(real, "real", "real")
    if not (types and real_types):
        return None
    about = f"% of all {unit}; {number(types)} different ones generated, {number(real_types)} real"
    plot = line_chart(
        [other, own],
        title=f"Frequencies of {unit} by rank, {name}",
        desc=f"{number(types)} different {unit} generated, {number(real_types)} in real text; both axes logarithmic.",
        x=Axis("rank", log=True),
        y=Axis(log=True),
        size=SIZE,
    )
    return figure(f"Frequency of {unit} by rank", about, plot)


def telling(a: int, b: int, total_a: int, total_b: int) -> float:
    """Dunning 1993's log-likelihood ratio of one word's counts in two texts, negative where the first uses it less."""
    share = (a + b) / (total_a + total_b)
    parts = [count * math.log(count / (share * total)) for count, total in ((a, total_a), (b, total_b)) if count]
    return math.copysign(2 * math.fsum(parts), a / total_a - b / total_b)


def usage(fake: Side, real: Side, unit: str) -> Markup | None:
    """The words whose use differs most from real text's, beyond chance."""
    counts = [Counter(itertools.chain.from_iterable(side)) for side in (fake, real)]
    totals = [sum(count.values()) for count in counts]
    if not all(totals):
        return None
    ratio = {word: telling(counts[0][word], counts[1][word], *totals) for word in counts[0] | counts[1]}
    order = sorted((word for word in ratio if abs(ratio[word]) > TELLING), key=lambda word: (-ratio[word], word))
    more, less = ([w for w in side if ratio[w] * sign > 0] for side, sign in ((order, 1), (order[::-1], -1)))
    if not order:
        return tag(
            "p", f"No {unit[:-1]} is used more or less than by people beyond chance (p < .001 each).", class_="note"
        )
    said = [
        tag("p", tag("span", start), *(_rate(word, counts, totals) for word in side[:SHOWN]), class_="usage")
        for start, side in (("Used more than by people: ", more), ("Used less: ", less))
        if side
    ]
    differ = f"{number(len(order))} differ by Dunning\u2019s ratio (p < .001)"
    how = f"Uses in a thousand {unit}, generated : real; {differ}."
    return join([*said, tag("p", how, class_="note")])


def _rate(word: str, counts: Sequence[Mapping[str, int]], totals: Iterable[int]) -> Markup:
    rates = [1000 * count[word] / total for count, total in zip(counts, totals, strict=True)]
    shown = word if len(word) <= 40 else word[:40] + "\u2026"
    return tag("span", tag("bdi", shown), tag("small", f" {rates[0]:.1f} : {rates[1]:.1f}"), " ", class_="rate")
