"""Two texts, or two models over seeds and temperatures, against the same real text: what their difference supports."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .errors import InputError
from .evaluation import Evaluation, Reference, Source, choose_metrics, draw, evaluate
from .metrics import Metric, Score, Unmeasurable, require_comparable
from .metrics.fronts import Matched, Point, matched
from .metrics.intervals import GROUPS, LEVEL, degrees_of_freedom, half_width, holm, two_sided_p
from .metrics.tables import ARROWS, number
from .readable import columns, printable
from .text import Text, read_text

COURSES = ("nearer to real text", "further from real text", "different")


class Difference(NamedTuple):
    """b minus a in one metric.

    low, high: 95 % interval. p: adjusted over all metrics (Holm). effect: difference / standard deviation a line
    (Cohen's d for means). closed: share of a's distance to real text that b closed (negative: it grew), None where
    there is none. between: standard deviation over training runs; within: standard error of one run's set.
    """

    name: str
    better: str
    a: float
    b: float
    real: float | None
    difference: float
    low: float
    high: float
    p: float
    effect: float
    closed: float | None
    between: float | None
    within: float
    signature: str


class Comparison(NamedTuple):
    """What `compare` found; `sentence` says what the data support."""

    a: str
    b: str
    reference: str
    n: int
    runs: tuple[int, int]
    differences: list[Difference]
    sentence: str
    warnings: list[str]
    absent: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {**self._asdict(), "runs": list(self.runs), "differences": [d._asdict() for d in self.differences]}

    def to_table(self) -> str:
        """Lines for a terminal; * marks what differs at 5 % over all metrics."""
        table = [("metric", self.a, self.b, "real text", "better", "difference", "95 % interval", "effect", "p")]
        for d in self.differences:
            real = "-" if d.real is None else number(d.real)
            span = f"{d.low:+.3g} to {d.high:+.3g}"
            mark = " *" if d.p <= LEVEL else ""
            cells = (d.name, number(d.a), number(d.b), real, ARROWS[d.better], f"{d.difference:+.3g}{mark}", span)
            table.append((*cells, f"{d.effect:+.2f}", f"{d.p:.2g}"))
        head = f"{self.b} against {self.a}: {self.n} lines each, reference {self.reference}"
        reasons = [f"not measured: {name}: {reason}" for name, reason in self.absent.items()]
        warnings = [f"warning: {warning}" for warning in self.warnings]
        said = [head, "", *columns(table, rule=True), "", self.sentence, *reasons, *warnings]
        return "\n".join(map(printable, said))


def compare(
    a: Source | tuple[Source, ...],
    b: Source | tuple[Source, ...],
    reference: Source | Reference,
    *,
    train: Source | None = None,
    n: int | None = None,
    seed: int = 0,
    metrics: str | Iterable[str | Metric] | None = None,
    tokenise: str = "words",
    names: tuple[str, str] | None = None,
    groups: int = GROUPS,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Score a and b at equal n against the same reference, and test b - a in each metric (Holm over the metrics).

    a, b: a text, or a TUPLE of texts, one a training run of the same model. With two or more runs on both sides the
    interval is Welch's over runs; otherwise it is of the sets of lines alone and says nothing about other seeds.
    With `train`, a difference that is smaller than that between training text and real text is warned of. tokenise: as
    in `evaluate`, where the reference is not fitted yet.
    Raises InputError as `evaluate` does.
    """
    first, second = ([read_text(text) for text in _runs(side)] for side in (a, b))
    for side in (first, second):
        if len({text.sha256 for text in side}) < len(side):
            raise InputError(f"{side[0].name}: one text stands twice among the runs of a side; give each run once")
    if not isinstance(reference, Reference):
        reference = Reference(reference, train=train, seed=seed, tokenise=tokenise)
    fitted = reference
    if n is None:
        n = min(len(fitted), *(len(text.lines) for text in [*first, *second]))
    chosen = choose_metrics(metrics)
    found = [
        [evaluate(text, fitted, n=n, seed=seed, metrics=chosen, groups=groups, progress=progress) for text in side]
        for side in (first, second)
    ]
    by_name = {metric.name: metric for metric in chosen}
    gap = training_gap(fitted, [metric for metric in chosen if not metric.slow], n, seed)
    rows = [_difference(score.name, by_name, found, groups) for score in found[0][0].scores]
    kept = [row for row in rows if row is not None]
    adjusted = holm([row.p for row in kept])
    differences = [row._replace(p=p) for row, p in zip(kept, adjusted, strict=True)]
    warnings = list(dict.fromkeys(w for side in found for one in side for w in [*one.warnings, *one.notes]))
    if small := [d.name for d in differences if d.p <= LEVEL and abs(d.difference) < gap.get(d.name, 0)]:
        warnings.append(
            f"training text and reference differ by more than a and b do in {', '.join(small)}:"
            " being like the reference is then not being like the data; re-split with `textgan split`"
        )
    absent = {k: v for side in found for one in side for k, v in one.absent.items()}
    absent |= {
        r.name: "it has no standard error here" for r in found[0][0].scores if r.name not in {d.name for d in kept}
    }
    sides = names or (_named(first, "a"), _named(second, "b"))
    runs = (len(first), len(second))
    sentence = _sentence(sides, differences, n, runs)
    return Comparison(*sides, fitted.name, n, runs, differences, sentence, warnings, absent)


def _runs(side: Source | tuple[Source, ...]) -> tuple[Source, ...]:
    if isinstance(side, tuple) and not isinstance(side, Text):
        return side
    return (side,)


def _named(texts: Sequence[Text], role: str) -> str:
    names = {text.name for text in texts} - {"lines"}
    return names.pop() if len(names) == 1 else role


def _difference(
    name: str, metrics: Mapping[str, Metric], found: Sequence[Sequence[Evaluation]], groups: int
) -> Difference | None:
    """One metric's row with its unadjusted p; None where it lacks a value or an error on either side."""
    sides = [[_find(one.scores, name) for one in side] for side in found]
    if any(score is None for side in sides for score in side):
        return None
    a, b = ([score for score in side if score is not None] for side in sides)
    for other in [*a[1:], *b]:
        require_comparable(a[0], other)
    freedom = degrees_of_freedom(metrics[name], a[0].n, groups)
    errors = [_error(score, freedom) for score in [*a, *b]]
    values = [np.array([score.value for score in side]) for side in (a, b)]
    difference = float(values[1].mean() - values[0].mean())
    between = None
    if min(len(a), len(b)) > 1:  # the spread over runs holds that of the sets within it
        parts = [float(v.var(ddof=1)) / len(v) for v in values]
        if not any(parts):  # runs that tie, as counts do, are not sure of it
            return None
        error = math.sqrt(sum(parts))
        below = sum(part**2 / (len(v) - 1) for part, v in zip(parts, values, strict=True))
        freedom = max(1, int(sum(parts) ** 2 / below))
        between = math.sqrt(sum(float(v.var(ddof=1)) for v in values) / 2)
    elif any(error is None for error in errors):
        return None
    else:
        parts = [
            sum(e**2 for e in side if e is not None) / len(side) ** 2 for side in (errors[: len(a)], errors[len(a) :])
        ]
        error = math.sqrt(sum(parts))
    within = math.sqrt(sum((e or 0.0) ** 2 for e in errors) / len(errors))
    half = half_width(error, freedom)
    beside = _find(found[0][0].real, name)
    real = None if beside is None else beside.value
    spread = within * math.sqrt(a[0].n)
    return Difference(
        name,
        a[0].better,
        float(values[0].mean()),
        float(values[1].mean()),
        real,
        difference,
        difference - half,
        difference + half,
        two_sided_p(difference, error, freedom),
        difference / spread if spread else 0.0,
        _closed(float(values[0].mean()), float(values[1].mean()), real),
        between,
        within,
        a[0].signature,
    )


def _find(scores: Iterable[Score], name: str) -> Score | None:
    return next((score for score in scores if score.name == name), None)


def _error(score: Score, freedom: int) -> float | None:
    if score.low is None or score.high is None:
        return None
    return (score.high - score.low) / 2 / half_width(1.0, freedom)


def _closed(a: float, b: float, real: float | None) -> float | None:
    return None if real is None or a == real else 1 - abs(b - real) / abs(a - real)


def training_gap(reference: Reference, metrics: Iterable[Metric], n: int, seed: int) -> dict[str, float]:
    """By name, how far n lines of the training text are from real held-out text; nothing where it has fewer."""
    if reference.train is None or len(reference.train) < n:
        return {}
    lines = reference.train.select(draw(len(reference.train), n, [seed, 8])).texts()
    usual = [metric for metric in metrics if metric.needs != "train"]
    own = evaluate(lines, reference, n=n, seed=seed, metrics=usual, groups=0)
    real = {score.name: score.value for score in own.real}
    return {score.name: abs(score.value - real[score.name]) for score in own.scores if score.name in real}


def _sentence(names: tuple[str, str], differences: Sequence[Difference], n: int, runs: tuple[int, int]) -> str:
    a, b = names
    sure = [d for d in differences if d.p <= LEVEL]
    many = f"{runs[0]} and {runs[1]} runs" if max(runs) > 1 else "one run each"
    scope = many if min(runs) > 1 else f"{many}, so this holds for these texts only"
    if not differences:
        return "Nothing could be compared: no metric has an interval on both sides."
    if not sure:
        return f"At n = {n} ({scope}) the data do not tell {b} from {a} in any of {len(differences)} metrics."
    told = {course: [_phrase(d) for d in sure if _course(d) == course] for course in COURSES}
    parts = [f"{course} in {', '.join(phrases)}" for course, phrases in told.items() if phrases]
    said = f"At n = {n} ({scope}) {b} is {'; '.join(parts)}."
    by_name = {d.name: d for d in sure}
    quality = [d.difference for name, d in by_name.items() if name.startswith("BLEU-")]
    repeats = [d.difference for name, d in by_name.items() if name.startswith("self-BLEU-")]
    if quality and repeats and quality[0] * repeats[0] > 0:
        said += " Quality and repetition move together: a temperature does that too, so compare fronts before a claim."
    return said


def _course(d: Difference) -> str:
    """One of COURSES. With real text between the two, which is nearer hangs on its own error: different."""
    if d.closed is None or d.real is None or (d.a - d.real) * (d.b - d.real) < 0:
        return COURSES[2]
    return COURSES[0 if d.closed > 0 else 1]


def _phrase(d: Difference) -> str:
    return f"{d.name} ({number(d.a)} to {number(d.b)})"


class Swept(NamedTuple):
    """All evaluations of one model's sweep: by temperature ("T"), or by another `knob`, one a run."""

    name: str
    evaluations: dict[float, list[Evaluation]]
    knob: str = "T"

    def points(self, quality: str, diversity: str) -> list[list[Point]]:
        """Per run, its points; a temperature at which either figure is absent is left out."""
        runs = min(map(len, self.evaluations.values()))
        found: list[list[Point]] = []
        for run in range(runs):
            points = []
            for temperature, evaluations in sorted(self.evaluations.items()):
                scores = evaluations[run].scores
                high, wide = _find(scores, quality), _find(scores, diversity)
                if high is not None and wide is not None:
                    points.append(Point(temperature, wide.value, high.value))
            found.append(points)
        return found


def sweep(
    texts: Mapping[float, Sequence[Source]],
    reference: Source | Reference,
    *,
    n: int | None = None,
    seed: int = 0,
    metrics: str | Iterable[str | Metric] = "BLEU,self-BLEU,LM-score,reverse-LM-score,Frechet",
    groups: int = 0,
    name: str = "model",
    knob: str = "T",
    progress: Callable[[str], None] | None = None,
) -> Swept:
    """Evaluate the text of each temperature and run at one n: texts maps a temperature to one text a run.

    n: default the smallest text's number of lines; give the same n to every sweep that is to be compared. knob: what
    the numbers are, where they are no temperatures.
    """
    if not texts:
        raise InputError("a sweep needs texts of at least two temperatures, got none")
    fitted = reference if isinstance(reference, Reference) else Reference(reference, seed=seed)
    read = {temperature: [read_text(text) for text in runs] for temperature, runs in texts.items()}
    if n is None:
        n = min(len(fitted), *(len(text.lines) for runs in read.values() for text in runs))
    chosen = choose_metrics(metrics)
    evaluations = {}
    for temperature, runs in sorted(read.items()):
        if progress is not None:
            progress(f"{name} at {knob} = {temperature:g}")
        evaluations[temperature] = [evaluate(t, fitted, n=n, seed=seed, metrics=chosen, groups=groups) for t in runs]
    return Swept(name, evaluations, knob)


def compare_sweeps(
    ours: Swept, baseline: Swept, *, quality: str = "LM-score", diversity: str = "self-BLEU-4"
) -> Matched:
    """Quality at matched diversity of two sweeps; figures that may not be compared raise InputError with the reason."""
    better = [_comparable((ours, baseline), name).better for name in (diversity, quality)][1]
    return matched(
        ours.points(quality, diversity),
        baseline.points(quality, diversity),
        better=better,
        names=(ours.name, baseline.name),
        quality=quality,
    )


def _comparable(sweeps: Sequence[Swept], name: str) -> Score:
    """One of all these sweeps' figures of this name, which may be compared with each other."""
    scores: list[Score] = []
    for swept in sweeps:
        every = [one for runs in swept.evaluations.values() for one in runs]
        found = [score for one in every if (score := _find(one.scores, name)) is not None]
        if not found:
            raise Unmeasurable(f"{name} was not measured in {swept.name}; name it in the sweep's metrics")
        scores += found
    for other in scores[1:]:
        require_comparable(scores[0], other)
    return scores[0]
