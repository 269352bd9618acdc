"""What a text took from the training text; always read beside real held-out text, which shares some of it too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .reasons import Unmeasurable
from .score import Better, MeanMetric, Metric, Needs, share_error
from .sets import Sets, cached, cached_half
from .spans import longest_spans, nearest_similarities

COPIED, NEWER = "copied: nearer to the training text than real text is", "further from the training text than real text"


def copied_lines(sets: Sets) -> np.ndarray:
    """(n,) float: 1 for each line that stands in the training text, word for word."""
    assert sets.train is not None
    train = sets.train

    def find() -> np.ndarray:
        known = cached_half(sets, "training lines", lambda: set(train.spelled()))
        return np.fromiter((line in known for line in sets.text.spelled()), dtype=np.float64, count=len(sets.text))

    return cached(sets, "copied", find)


@dataclass(frozen=True)
class Novelty(MeanMetric):
    """Share of lines that are not in the training text."""

    family: ClassVar[str] = "novelty"
    better: ClassVar[Better] = "higher"
    needs: ClassVar[Needs] = "train"
    aspect = "copying"
    share: ClassVar[bool] = True
    definition: ClassVar[int] = 2  # 1 took other spacing for another line
    below: ClassVar[str] = COPIED
    above: ClassVar[str] = NEWER

    def per_line(self, sets: Sets) -> np.ndarray:
        return 1.0 - copied_lines(sets)


@dataclass(frozen=True)
class Copies(Metric):
    """Number of lines that are exact copies of a training line."""

    family: ClassVar[str] = "copies"
    better: ClassVar[Better] = "lower"
    needs: ClassVar[Needs] = "train"
    aspect = "copying"
    set_valued: ClassVar[bool] = False
    definition: ClassVar[int] = 2  # 1 took other spacing for another line
    below: ClassVar[str] = NEWER
    above: ClassVar[str] = COPIED

    def measure(self, sets: Sets) -> float:
        return float(copied_lines(sets).sum())

    def standard_error(self, sets: Sets) -> float | None:
        return share_error(copied_lines(sets)) * len(sets.text)


@dataclass(frozen=True)
class NovelNgrams(Metric):
    """Share of the text's n-grams (occurrences) that are nowhere in the training text. Merrill et al. 2024.

    Its values over n are the novelty curve.
    """

    order: int = 4
    family: ClassVar[str] = "novel-n-grams"
    needs: ClassVar[Needs] = "train"
    aspect = "copying"
    set_valued: ClassVar[bool] = False
    below: ClassVar[str] = COPIED
    above: ClassVar[str] = NEWER

    @property
    def name(self) -> str:
        return f"novel-{self.order}-grams"

    def measure(self, sets: Sets) -> float:
        new, total = self._per_line(sets)
        if not total.sum():
            raise Unmeasurable(f"no line has {self.order} words, so there are no {self.order}-grams")
        return float(new.sum() / total.sum())

    def standard_error(self, sets: Sets) -> float | None:
        new, total = self._per_line(sets)
        if not total.sum():
            return None
        residual = new - total * (new.sum() / total.sum())  # of a ratio of means, by linearisation
        return float(residual.std(ddof=1)) * len(new) ** 0.5 / float(total.sum())

    def _per_line(self, sets: Sets) -> tuple[np.ndarray, np.ndarray]:
        """(n,) new n-grams and (n,) n-grams of each line."""
        assert sets.train is not None
        runs, total = sets.text.runs(self.order), sets.text.totals(self.order)
        old = sets.train.holds(self.order)[sets.text.grams_in(sets.train, self.order)]
        return total - np.bincount(runs.line, weights=runs.counts * old, minlength=len(total)), total


@dataclass(frozen=True)
class CopiedSpan(MeanMetric):
    """Mean over lines of the longest run of words that stands in one training line. Lee et al. 2021."""

    longest: int = 64
    family: ClassVar[str] = "copied-span"
    needs: ClassVar[Needs] = "train"
    aspect = "copying"
    below: ClassVar[str] = NEWER
    above: ClassVar[str] = COPIED

    def per_line(self, sets: Sets) -> np.ndarray:
        assert sets.train is not None
        train = sets.train
        return cached(sets, self, lambda: longest_spans(sets.text, train, self.longest).astype(np.float64))


@dataclass(frozen=True)
class LongestCopiedSpan(Metric):
    """The longest run of words of any line that stands in one training line; runs above `longest` count as that."""

    longest: int = 64
    family: ClassVar[str] = "longest-copied-span"
    needs: ClassVar[Needs] = "train"
    aspect = "copying"
    set_valued: ClassVar[bool] = False
    no_interval: ClassVar[str] = "a maximum has no valid jackknife"

    def measure(self, sets: Sets) -> float:
        spans = CopiedSpan(self.longest).per_line(sets)
        if not len(spans):
            raise Unmeasurable("there are no lines")
        return float(spans.max())


@dataclass(frozen=True)
class NearestTraining(MeanMetric):
    """Mean over lines of the largest Jaccard similarity of its set of words to that of any training line.

    At most `lines` of the lines, drawn by the seed, are looked up.
    """

    lines: int = 1000
    family: ClassVar[str] = "nearest-training-line"
    needs: ClassVar[Needs] = "train"
    aspect = "copying"
    below: ClassVar[str] = NEWER
    above: ClassVar[str] = COPIED

    def size(self, sets: Sets) -> int:
        return min(self.lines, len(sets.text))

    def per_line(self, sets: Sets) -> np.ndarray:
        assert sets.train is not None
        train = sets.train
        rows = np.random.default_rng([sets.seed, 5]).permutation(len(sets.text))[: self.lines]
        return cached(sets, self, lambda: nearest_similarities(sets.text.select(rows), train))
