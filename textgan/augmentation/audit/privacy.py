"""Did a model repeat its training text? Overlap with it, beside overlap with as much text that it never saw."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textgan.errors import InputError
from textgan.metrics.intervals import GROUPS, half_width, jackknife_error
from textgan.metrics.ngrams import NgramIndex

ORDER = 8  # words in a row
SHOWN = 20  # copied lines that a result holds


class Excess(NamedTuple):
    """Shares of the synthetic lines that are found in the training text and in the control, and the difference.

    low, high: a 95 % interval of the difference. above: it lies above 0, so training lines came through.
    """

    train: float
    control: float
    difference: float
    low: float
    high: float

    @property
    def above(self) -> bool:
        return self.low > 0


class Overlap(NamedTuple):
    """verbatim: whole lines. ngram: lines with a run of `order` words of one line (None: no synthetic line has so many
    words). lines: synthetic lines; size: lines of training text and of control. whole: the share of the synthetic lines
    that stand anywhere in the training text, also in what was cut. copied: some of those that the control lacks.
    """

    verbatim: Excess
    ngram: Excess | None
    order: int
    lines: int
    size: int
    whole: float
    copied: list[str]


def overlap(
    synthetic: Sequence[str], train: Sequence[str], control: Sequence[str], *, n: int = ORDER, seed: int = 0
) -> Overlap:
    """How much more of the synthetic text is found in its training text than in an equally large control.

    control: real text of the same kind that the model never saw. The longer of train and control is cut, by a draw, to
    the other's size, since a larger text holds more of anything. Language repeats itself, so overlap alone shows
    nothing; a model that learnt the language and no line has a difference of 0.
    The interval: Student's, from the delete-a-group jackknife over each of the three texts (20 groups each), their
    variances added, which errs on the wide side (Efron & Stein 1981), so real text is accused less often than 2.5 %
    of the time; never narrower than one line more on either side would make it (Agresti & Min 2005).
    """
    if n < 1:
        raise InputError(f"n {n} words in a row cannot be looked for; give 1 or more")
    if min(len(synthetic), len(train), len(control)) < GROUPS:
        sizes = f"{len(synthetic)} synthetic, {len(train)} training, {len(control)} control"
        raise InputError(f"overlap has an interval from {GROUPS} lines of each text on; got {sizes}; give more")
    rng = np.random.default_rng([seed, 21])
    size = min(len(train), len(control))
    lines, known = [" ".join(line.split()) for line in synthetic], {" ".join(line.split()) for line in train}
    never = {" ".join(line.split()) for line in control}
    copied = [line for line in dict.fromkeys(lines) if line in known and line not in never]
    everywhere = sum(line in known for line in lines) / len(lines)
    train, control = ([text[i] for i in np.sort(rng.permutation(len(text))[:size])] for text in (train, control))
    groups = [rng.permutation(len(text)) % GROUPS for text in (synthetic, train, control)]
    whole = _Hits.of_lines(lines, [" ".join(line.split()) for line in (*train, *control)])
    runs = _Hits.of_ngrams(synthetic, (*train, *control), n)
    over = None if runs is None else _excess(runs, groups)
    return Overlap(_excess(whole, groups), over, n, len(synthetic), size, everywhere, copied[:SHOWN])


class _Hits(NamedTuple):
    """What the synthetic lines and the other lines have in common, as pairs of a line and a thing (a line, an n-gram).

    line, thing: (P,) of the synthetic text; holder, held: (Q,) of training text and control, in this order.
    """

    line: np.ndarray
    thing: np.ndarray
    holder: np.ndarray
    held: np.ndarray
    things: int

    @classmethod
    def of_lines(cls, lines: Sequence[str], others: Sequence[str]) -> "_Hits":
        number = {line: place for place, line in enumerate(dict.fromkeys(lines))}
        thing = np.array([number[line] for line in lines])
        found = np.array([number.get(line, -1) for line in others])
        holder = np.flatnonzero(found >= 0)
        return cls(np.arange(len(lines)), thing, holder, found[holder], len(number))

    @classmethod
    def of_ngrams(cls, lines: Sequence[str], others: Sequence[str], n: int) -> "_Hits | None":
        mine, theirs = NgramIndex(lines), NgramIndex(others)
        if not mine.totals(n).any():
            return None
        gram, runs = mine.grams_in(theirs, n), theirs.runs(n)
        keep = gram >= 0
        return cls(mine.runs(n).line[keep], gram[keep], runs.line, runs.gram, len(theirs.keys(n)))

    def shares(self, lines: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) bool twice: which kept lines are found in the kept training lines, and in the kept control lines.

        lines: (n,) bool, which lines are kept; others: (2 m,) bool, training lines first.
        """
        found = []
        half = len(others) // 2
        for side in (self.holder < half, self.holder >= half):
            held = np.zeros(self.things, dtype=bool)
            held[self.held[side & others[self.holder]]] = True
            hit = np.zeros(len(lines), dtype=bool)
            hit[self.line[held[self.thing]]] = True
            found.append(hit[lines])
        return found[0], found[1]


def _excess(hits: _Hits, groups: Sequence[np.ndarray]) -> Excess:
    sizes = [len(group) for group in groups]
    everything = [np.ones(size, dtype=bool) for size in sizes]

    def difference(kept: Sequence[np.ndarray]) -> float:
        train, control = hits.shares(kept[0], np.concatenate(kept[1:]))
        return float(train.mean() - control.mean())

    variance = 0.0
    for text, group in enumerate(groups):
        values = [
            difference([*everything[:text], group != left_out, *everything[text + 1 :]]) for left_out in range(GROUPS)
        ]
        variance += jackknife_error(values) ** 2
    train, control = hits.shares(everything[0], np.concatenate(everything[1:]))
    more, fewer = int((train & ~control).sum()) + 0.5, int((control & ~train).sum()) + 0.5
    n = sizes[0] + 2
    least = (more + fewer - (more - fewer) ** 2 / n) ** 0.5 / n
    half = half_width(max(variance**0.5, least), GROUPS - 1)
    value = float(train.mean() - control.mean())
    return Excess(float(train.mean()), float(control.mean()), value, value - half, value + half)
