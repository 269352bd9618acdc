"""Sentences to read: a run's own beside real ones, how they developed, and what tuned language models wrote."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from textgan.readable import number
from textgan.report.markup import Markup, join, tag
from textgan.report.results import Arm, Lines, RunData

BESIDE = 20  # sentences shown beside real ones
IN_FULL = 300  # sentences of one file that the page holds at most
MOMENTS = 10  # shown of a run's development
FIRST = 3  # sentences of each moment


def specimens(run: RunData) -> Markup | None:
    """The run's latest sentences beside real ones, then its development; None where it has no text."""
    return join([_beside(run, run.generated), _development(run.samples)]) if run.generated else None


def sentences(
    lines: Iterable[str], real: frozenset[str] = frozenset(), counts: Mapping[str, int] | None = None
) -> Markup:
    """A list in which each sentence is isolated, so that its direction and its length stay its own affair."""
    items = []
    for line in lines:
        marks = ["verbatim in the held-out text"] if line in real else []
        marks += [f"{counts[line]} times in this file"] if counts and counts[line] > 1 else []
        items.append(tag("li", tag("bdi", line, dir="auto"), tag("small", "; ".join(marks)) if marks else None))
    return tag("ul", *items, class_="lines")


def _beside(run: RunData, generated: Lines) -> Markup:
    lines, real, counts = generated.lines, frozenset(run.heldout), Counter(generated.lines)
    said = f"{generated.file}: {number(len(lines))} sentences, {number(len(counts))} of them different"
    if real:
        said += f", {number(sum(line in real for line in lines))} verbatim in the held-out text"
    said += ". Copies of training lines are not marked, since the run folder does not hold the training text."
    drawn = random.Random(0).sample(run.heldout, BESIDE) if len(run.heldout) > BESIDE else run.heldout
    missing = tag("p", "Not measured: no heldout.txt.", class_="about")
    columns = [
        tag("div", tag("h4", "Generated"), sentences(lines[:BESIDE], real, counts)),
        tag("div", tag("h4", "Real, held out"), sentences(drawn) if drawn else missing),
    ]
    rest, cut = lines[BESIDE:IN_FULL], len(lines) - IN_FULL
    tail = tag("p", f"{number(cut)} more are in {generated.file}.", class_="note") if cut > 0 else None
    title = tag("summary", f"The next {number(len(rest))} sentences")
    more = tag("details", title, sentences(rest, real, counts), tail) if rest else None
    return join([tag("p", said, class_="note"), tag("div", *columns, class_="grid two"), more])


def _development(samples: Sequence[Lines]) -> Markup | None:
    """The first sentences at moments spread evenly over the run, the first and the last included."""
    if len(samples) < 2:
        return None
    many, last = min(MOMENTS, len(samples)), len(samples) - 1
    parts = []
    for i in sorted({round(i * last / (many - 1)) for i in range(many)}):
        step = samples[i].step
        parts.append(tag("dt", f"step {number(step)}" if step is not None else samples[i].file))
        parts.append(tag("dd", sentences(samples[i].lines[:FIRST])))
    return join([tag("h4", "How the sentences developed"), tag("dl", *parts, class_="steps")])


def model_lines(arms: Sequence[Arm]) -> Markup | None:
    """What each tuned model wrote, side by side, folded away."""
    columns = [tag("div", tag("h4", arm.name), sentences(arm.samples[:BESIDE])) for arm in arms if arm.samples]
    title = tag("summary", "Sentences that the tuned models wrote")
    return tag("details", title, tag("div", *columns, class_="grid two")) if columns else None
