"""What a text must be to be chosen from, the same for every arm of an experiment; what is dropped has its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from textgan.errors import InputError
from textgan.metrics.kneserney import KneserNey
from textgan.metrics.ngrams import NgramIndex
from textgan.metrics.spans import longest_spans
from textgan.text import digests, first_of_near_duplicates, folded

LONGEST = 64  # words of a copied span; longer ones count as this
OUTSIDE = 0.005  # share of real lines that a band drawn after them leaves out, at each end

Reasons = Sequence[str | None]


class Filter(Protocol):
    """Gives one reason a line (None where it may stay) for the lines that the filters before it have left."""

    @property
    def name(self) -> str: ...

    def __call__(self, lines: Sequence[str]) -> Reasons: ...


@runtime_checkable
class Measure(Filter, Protocol):
    """A filter that goes by a number of each line, which is worth keeping: `score` names it in a row's scores.

    measure(lines): (n,) float64. reasons(lines, values): as the filter itself, of lines that have been measured.
    """

    score: str

    def measure(self, lines: Sequence[str]) -> np.ndarray: ...
    def reasons(self, lines: Sequence[str], values: np.ndarray) -> Reasons: ...


class Screened(NamedTuple):
    """kept: (k,) int64 rows that passed all filters, ascending. reasons: one a line, None where it is kept.
    funnel: (name, lines left) after each filter, beginning with all. scores: what the filters have measured, by the
    name of the score, (n,) float64, NaN for lines that had been dropped before."""

    kept: np.ndarray
    reasons: list[str | None]
    funnel: list[tuple[str, int]]
    scores: dict[str, np.ndarray]


def screen(lines: Sequence[str], filters: Iterable[Filter]) -> Screened:
    """Each filter in turn on what the ones before it have left."""
    reasons: list[str | None] = [None] * len(lines)
    kept = np.arange(len(lines))
    funnel = [("candidates", len(lines))]
    scores: dict[str, np.ndarray] = {}
    for check in filters:
        left = [lines[row] for row in kept.tolist()]
        if isinstance(check, Measure) and left:
            values = check.measure(left)
            scores[check.score] = np.full(len(lines), np.nan)
            scores[check.score][kept] = values
            found = check.reasons(left, values)
        else:
            found = check(left) if left else []
        for row, reason in zip(kept.tolist(), found, strict=True):
            reasons[row] = reason
        kept = kept[np.fromiter((reason is None for reason in found), dtype=bool, count=len(kept))]
        funnel.append((check.name, len(kept)))
    return Screened(kept, reasons, funnel, scores)


@dataclass(frozen=True)
class Length:
    """Words of a line, from `least` to `most`."""

    least: int = 1
    most: int = 10**6
    name: str = "length"

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise InputError(f"lengths from {self.least} to {self.most} words: 1 <= least <= most was wanted")

    def __call__(self, lines: Sequence[str]) -> Reasons:
        sizes = [len(line.split()) for line in lines]
        return [None if self.least <= size <= self.most else f"length: {size} words" for size in sizes]


@dataclass(frozen=True)
class Charset:
    """Characters that may occur; spaces always may."""

    allowed: frozenset[str]
    name: str = "charset"

    def __call__(self, lines: Sequence[str]) -> Reasons:
        strange = ("".join(sorted({c for c in line if c not in self.allowed and not c.isspace()})) for line in lines)
        return [f"charset: {found[:10]}" if found else None for found in strange]


@dataclass(frozen=True)
class Repetition:
    """Babble: a word more than `run` times in a row, or more than `share` of the pairs of words repeated."""

    run: int = 2
    share: float = 0.25
    name: str = "repetition"

    def __post_init__(self) -> None:
        if self.run < 1 or not 0 <= self.share <= 1:
            raise InputError(f"repetition: a run of {self.run} and a share of {self.share:g}; 1 or more and 0 to 1")

    def __call__(self, lines: Sequence[str]) -> Reasons:
        return [self._reason(line.casefold().split()) for line in lines]

    def _reason(self, words: list[str]) -> str | None:
        runs = [(len(list(same)), word) for word, same in groupby(words)]
        times, word = max(runs, default=(0, ""))
        if times > self.run:
            return f"repetition: {word} {times} times in a row"
        pairs = list(pairwise(words))
        repeated = 1 - len(set(pairs)) / len(pairs) if pairs else 0.0
        return f"repetition: {100 * repeated:.0f} % of the pairs of words" if repeated > self.share else None


class PerplexityBand:
    """Nats a word under a Kneser-Ney model of half of the real lines, within what the other half has.

    The band leaves out `outside` of the other half at each end: what is less likely is babble, what is likelier is what
    everybody says.
    """

    name, score = "perplexity", "nll_lm"

    def __init__(
        self, real: Sequence[str], *, order: int = 4, outside: float = OUTSIDE, tokenise: str = "words"
    ) -> None:
        lines = list({folded(line): line for line in real}.values())  # a copy in either half is known by heart
        if len(lines) < 2:
            raise InputError("a perplexity band is drawn after real lines; give 2 or more that differ")
        self.model = KneserNey(lines[::2], order=order, tokenise=tokenise)
        self.low, self.high = np.quantile(self.measure(lines[1::2]), [outside, 1 - outside])

    def measure(self, lines: Sequence[str]) -> np.ndarray:
        """(n,) nats a word, the end counted."""
        logs, words = self.model.log_probs(list(lines))
        return -logs / words

    def reasons(self, lines: Sequence[str], values: np.ndarray) -> Reasons:
        return [None if self.low <= x <= self.high else f"perplexity: {x:.2f} nats a word" for x in values.tolist()]

    def __call__(self, lines: Sequence[str]) -> Reasons:
        return self.reasons(lines, self.measure(lines))


@dataclass(frozen=True)
class Duplicates:
    """Lines that have come before, in whatever case and spaces."""

    name: str = "duplicates"

    def __call__(self, lines: Sequence[str]) -> Reasons:
        _, first = np.unique(digests(map(folded, lines)), return_index=True)
        new = np.zeros(len(lines), dtype=bool)
        new[first] = True
        return [None if fresh else "duplicate" for fresh in new.tolist()]


@dataclass(frozen=True)
class NearDuplicates:
    """Lines whose set of words has a Jaccard index of at least `threshold` with a line that is kept before them."""

    threshold: float = 0.8
    name: str = "near-duplicates"

    def __call__(self, lines: Sequence[str]) -> Reasons:
        first = first_of_near_duplicates(lines, threshold=self.threshold).tolist()
        return [None if like == row else f"near-duplicate: {lines[like]}" for row, like in enumerate(first)]


class Copies:
    """Lines of which one training line holds a run of at least `share` of their words, or of `span` words."""

    name, score = "copies of train", "longest_copy"

    def __init__(self, train: Sequence[str], *, share: float = 1.0, span: int | None = None) -> None:
        if not 0 < share <= 1 or (span is not None and span < 1):
            raise InputError(f"copies: share {share:g} within (0, 1] and a span of 1 word or more were wanted")
        self.train, self.share, self.span = NgramIndex([folded(line) for line in train]), share, span

    def measure(self, lines: Sequence[str]) -> np.ndarray:
        """(n,) words of the longest run that each line shares with one training line, at most LONGEST."""
        return longest_spans(NgramIndex([folded(line) for line in lines]), self.train, LONGEST).astype(np.float64)

    def reasons(self, lines: Sequence[str], values: np.ndarray) -> Reasons:
        sizes = [len(line.split()) for line in lines]
        return [self._reason(span, size) for span, size in zip(values.astype(int).tolist(), sizes, strict=True)]

    def __call__(self, lines: Sequence[str]) -> Reasons:
        return self.reasons(lines, self.measure(lines))

    def _reason(self, span: int, size: int) -> str | None:
        least = min(self.share * size, LONGEST, self.span or LONGEST)
        return f"copy of train: {span} of {size} words" if span and span >= least - 1e-9 else None


class Blocklist:
    """Words and phrases that may not occur, in whatever case; a word inside another one does not count."""

    name = "blocklist"

    def __init__(self, phrases: Iterable[str]) -> None:
        found = sorted({" ".join(phrase.split()) for phrase in phrases} - {""})
        if not found:
            raise InputError("the blocklist is empty; give one word or phrase a line")
        spelt = ("\\s+".join(map(re.escape, phrase.split())) for phrase in found)
        self.pattern = re.compile(f"(?<!\\w)(?:{'|'.join(spelt)})(?!\\w)", re.IGNORECASE)

    def __call__(self, lines: Sequence[str]) -> Reasons:
        hits = (self.pattern.search(line) for line in lines)
        return [f"blocklist: {' '.join(hit[0].split())}" if hit else None for hit in hits]


def usual_filters(
    real: Sequence[str],
    *,
    train: Sequence[str] | None = None,
    blocked: Iterable[str] | None = None,
    near: float = 0.8,
    span: int | None = None,
) -> list[Filter]:
    """Filters whose bounds are drawn after real text; each leaves nearly all of it alone.

    Length and perplexity within all but .5 % of the real lines at each end, their characters, no babble, no repeats,
    no copies of `train` (the text that the generator has seen), nothing blocked.
    """
    sizes = [len(line.split()) for line in real]
    low, high = (int(np.quantile(sizes, at, method="inverted_cdf")) for at in (OUTSIDE, 1 - OUTSIDE))
    found: list[Filter] = [Length(max(1, low), max(1, high)), Charset(frozenset("".join(real))), Repetition()]
    found += [Blocklist(blocked)] if blocked is not None else []
    found += [Duplicates(), NearDuplicates(near), *([Copies(train, span=span)] if train is not None else [])]
    return [*found, PerplexityBand(real)]
