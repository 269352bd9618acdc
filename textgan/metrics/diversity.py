"""How varied a text is by itself: distinct n-grams, entropy, rank-frequency slope, repeated lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .intervals import GROUPS, jackknife_error
from .overlap import LESS_DIVERSE, MORE_DIVERSE
from .reasons import Unmeasurable
from .score import Better, Metric, Needs, share_error
from .sets import Sets


@dataclass(frozen=True)
class _Diversity(Metric):
    """What is higher for a more varied text and grows or falls with n."""

    better: ClassVar[Better] = "higher"
    aspect = "diversity"
    below: ClassVar[str] = LESS_DIVERSE
    above: ClassVar[str] = MORE_DIVERSE


@dataclass(frozen=True)
class Distinct(_Diversity):
    """Distinct n-grams / n-grams over the whole text, without padding. Li et al. 2016. Falls as n grows."""

    order: int = 1
    family: ClassVar[str] = "distinct"

    def measure(self, sets: Sets) -> float:
        totals = _totals(sets, self.order)
        return len(totals) / float(totals.sum())


@dataclass(frozen=True)
class RarefiedDistinct(_Diversity):
    """distinct-n as it is expected in m random lines, so that texts of unlike size may be compared.

    E[types] = sum_g 1 - C(n - df_g, m) / C(n, m), exact, over E[tokens] = tokens m / n. Hurlbert 1971.
    """

    order: int = 1
    lines: int = 1000
    family: ClassVar[str] = "rarefied-distinct"

    def size(self, sets: Sets) -> int:
        return self.lines

    def measure(self, sets: Sets) -> float:
        from scipy.special import gammaln

        n, m = len(sets.text), self.lines
        if n < m:
            raise Unmeasurable(f"it asks what {m} lines would have and there are {n}; give a longer text or --n")
        tokens = float(_totals(sets, self.order).sum())
        df, grams = np.unique(sets.text.runs(self.order).lines, return_counts=True)
        rare = df[df <= n - m]  # an n-gram of more lines is in every choice of m
        missed = np.exp(gammaln(n - rare + 1) + gammaln(n - m + 1) - gammaln(n - rare - m + 1) - gammaln(n + 1))
        types = float(grams.sum()) - float((grams[: len(rare)] * missed).sum())
        return types / (tokens * m / n)


@dataclass(frozen=True)
class EAD(_Diversity):
    """Distinct words / the number expected of C uniform draws from the reference's V words. Liu et al. 2022.

    N / (V (1 - ((V - 1) / V)^C)): V is real text's vocabulary, never the sample's.
    """

    family: ClassVar[str] = "EAD"
    needs: ClassVar[Needs] = "reference"

    def measure(self, sets: Sets) -> float:
        assert sets.reference is not None
        vocabulary, totals = len(sets.reference.vocabulary), _totals(sets, 1)
        if vocabulary == 0:
            raise Unmeasurable("the reference has no words")
        expected = vocabulary * -np.expm1(totals.sum() * np.log1p(-1 / vocabulary)) if vocabulary > 1 else 1.0
        return len(totals) / float(expected)


@dataclass(frozen=True)
class Entropy(_Diversity):
    """Entropy of the n-gram distribution in nats: -sum p log p; too low for small texts. Zhang et al. 2018."""

    order: int = 1
    family: ClassVar[str] = "entropy"

    def measure(self, sets: Sets) -> float:
        totals = _totals(sets, self.order)
        return _entropy(totals)


@dataclass(frozen=True)
class CorrectedEntropy(_Diversity):
    """Entropy plus (K - 1) / 2N for K types of N n-grams, which takes off the first term of the bias. Miller 1955."""

    order: int = 1
    correction: str = "Miller-Madow"
    family: ClassVar[str] = "corrected-entropy"

    def measure(self, sets: Sets) -> float:
        totals = _totals(sets, self.order)
        return _entropy(totals) + (len(totals) - 1) / (2 * float(totals.sum()))


@dataclass(frozen=True)
class Zipf(Metric):
    """Slope of log frequency on log rank over the most frequent words, by least squares. Holtzman et al. 2020."""

    top: int = 500
    family: ClassVar[str] = "Zipf"
    below: ClassVar[str] = "steeper word frequencies than real text"
    above: ClassVar[str] = "flatter word frequencies than real text"

    def measure(self, sets: Sets) -> float:
        frequencies = np.sort(_totals(sets, 1))[::-1][: self.top]
        if len(frequencies) < 2:
            raise Unmeasurable("a slope needs at least 2 different words")
        x, y = np.log(np.arange(1, len(frequencies) + 1)), np.log(frequencies)
        return float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())


@dataclass(frozen=True)
class Duplicates(Metric):
    """Share of lines that repeat an earlier line, word for word."""

    family: ClassVar[str] = "duplicates"
    aspect = "diversity"
    definition: ClassVar[int] = 2  # 1 took other spacing for another line
    below: ClassVar[str] = "repeats itself less than real text"
    above: ClassVar[str] = "repeats itself more than real text"

    def measure(self, sets: Sets) -> float:
        if not len(sets.text):
            raise Unmeasurable("there are no lines")
        return 1.0 - len(set(sets.text.spelled())) / len(sets.text)

    def standard_error(self, sets: Sets) -> float | None:
        """The jackknife's, which is 0 where no line repeats another; never below that of a share of the lines."""
        known: dict[str, int] = {}
        ids = np.array([known.setdefault(line, len(known)) for line in sets.text.spelled()])
        group = np.random.default_rng([sets.seed, 77]).permutation(len(ids)) % GROUPS
        kept = [ids[group != one] for one in range(GROUPS)]
        repeats = np.arange(len(ids)) < len(ids) - len(known)
        return max(share_error(repeats), jackknife_error([1 - len(np.unique(part)) / len(part) for part in kept]))


def _totals(sets: Sets, order: int) -> np.ndarray:
    """(G,) the count of each n-gram of the scored text; Unmeasurable when it has none."""
    totals = sets.text.frequencies(order)
    if not len(totals):
        words = "words" if sets.text.tokenise == "words" else "characters"
        raise Unmeasurable(f"no line has {order} {words}, so there are no {order}-grams")
    return totals


def _entropy(totals: np.ndarray) -> float:
    p = totals / totals.sum()
    return abs(float((p * np.log(p)).sum()))
