"""Likeness and variety of texts as clouds of sentence vectors: Frechet, precision and recall, Vendi, MAUVE."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from . import clusters
from .encoders import LSA, Encoder, unit
from .intervals import GROUPS, jackknife_error
from .overlap import LESS_DIVERSE, MORE_DIVERSE
from .reasons import Unmeasurable
from .score import Better, MeanMetric, Metric, Needs, signed
from .sets import Sets, cached, cached_half

UNLIKE, NEARER = "unlike real text", "nearer to real text than real text"


def encoder_of(sets: Sets) -> Encoder:
    """The encoder of this evaluation; by default LSA, trained on the reference half that real text is compared with."""
    if sets.encoder is not None:
        return sets.encoder
    assert sets.half is not None
    half = sets.half
    return cached_half(sets, "encoder", lambda: LSA(half.texts()))


def vectors(sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) of the scored lines and (m, d) of the reference half."""
    assert sets.half is not None
    encoder, half = encoder_of(sets), sets.half
    theirs = cached_half(sets, ("vectors", encoder), lambda: np.asarray(encoder(half.texts()), dtype=np.float64))

    def encode() -> np.ndarray:
        if sets.whole is not None:  # a group of lines is left out of a text that is encoded already
            whole, rows = sets.whole
            return vectors(whole)[0][rows]
        return np.asarray(encoder(sets.half_text.texts()), dtype=np.float64)

    return cached(sets, ("vectors", encoder), encode), theirs


@dataclass(frozen=True)
class _Embedded(Metric):
    """A metric of two clouds of vectors; the encoder is in the signature."""

    needs: ClassVar[Needs] = "half"
    slow: ClassVar[bool] = True

    def sign(self, sets: Sets) -> str:
        return super().sign(sets) + signed("encoder", encoder_of(sets).name)


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Squared Frechet distance of the Gaussians of two clouds: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    The trace of the root is the sum of roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), so nothing becomes complex.
    Dowson & Landau 1982; FBD (Xiang et al. 2021), FED (d'Autume et al. 2019).
    """
    gap = one.mean(axis=0) - other.mean(axis=0)
    first, second = (np.atleast_2d(np.cov(cloud, rowvar=False)) for cloud in (one, other))
    values, basis = np.linalg.eigh(first)
    root = (basis * np.sqrt(np.maximum(values, 0))) @ basis.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    return max(0.0, float(gap @ gap + np.trace(first) + np.trace(second) - 2 * cross))


@dataclass(frozen=True)
class Frechet(_Embedded):
    """Squared Frechet distance of sentence vectors to those of real text; real text's own value is the floor."""

    family: ClassVar[str] = "Frechet"
    better: ClassVar[Better] = "lower"
    below: ClassVar[str] = NEARER
    above: ClassVar[str] = UNLIKE

    def measure(self, sets: Sets) -> float:
        one, other = vectors(sets)
        _enough(self, one, other, 2)
        return frechet_distance(one, other)

    def caution(self, sets: Sets) -> str | None:
        one, other = vectors(sets)
        n, d = min(len(one), len(other)), one.shape[1]
        return None if n >= 10 * d else f"{self.name} is biased: it wants 10 lines a dimension, and n = {n}, d = {d}"


@dataclass(frozen=True)
class FrechetLimit(_Embedded):
    """Frechet distance extrapolated to infinitely many lines: the intercept over 1/n. Chong & Forsyth 2020.

    Takes off most of the bias that grows with dimensions / n, for equal sizes n, 3n/4, n/2 and n/3 of both clouds. May
    be a little below 0 for equal texts.
    """

    draws: int = 4
    family: ClassVar[str] = "Frechet-limit"
    better: ClassVar[Better] = "lower"
    set_valued: ClassVar[bool] = False
    no_interval: ClassVar[str] = "leaving groups out would redraw the subsets that it extrapolates from"

    def measure(self, sets: Sets) -> float:
        one, other = vectors(sets)
        most = min(len(one), len(other))
        _enough(self, one, other, 60)
        rng = np.random.default_rng([sets.seed, 6])
        sizes = [most * part // 12 for part in (12, 9, 6, 4)]
        inverse, values = [], []
        for size in sizes:
            for _ in range(self.draws):
                picked = (cloud[rng.permutation(len(cloud))[:size]] for cloud in (one, other))
                inverse.append(1 / size)
                values.append(frechet_distance(*picked))
        return float(np.polyfit(inverse, values, 1)[1])


@dataclass(frozen=True)
class Vendi(_Embedded):
    """Effective number of different sentences: exp(entropy of the eigenvalues of K / n), K cosines of the vectors.

    Friedman & Dieng 2022. The d x d matrix X'X / n has the same eigenvalues, so n may be large.
    """

    family: ClassVar[str] = "Vendi"
    better: ClassVar[Better] = "higher"
    aspect = "diversity"
    below: ClassVar[str] = LESS_DIVERSE
    above: ClassVar[str] = MORE_DIVERSE

    def measure(self, sets: Sets) -> float:
        rows = unit(vectors(sets)[0])
        if not rows.any():
            raise Unmeasurable("every line's vector is zero")
        matrix = rows.T @ rows if rows.shape[0] > rows.shape[1] else rows @ rows.T
        return effective_number(matrix / len(rows))


def effective_number(kernel: np.ndarray) -> float:
    """exp(entropy of the eigenvalues) of a symmetric positive matrix of trace 1."""
    shares = np.linalg.eigvalsh(kernel)
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


@dataclass(frozen=True)
class NgramVendi(Metric):
    """Effective number of different lines as `Vendi`, K the mean over n of the cosines of n-gram counts; no encoder.

    Friedman & Dieng 2022, section 5, where n = 1..2. Its n x n matrix has no smaller dual, so at most `lines` of the
    lines, drawn by the seed, are looked at; a line too short for n is unlike every other in that n.
    """

    orders: tuple[int, ...] = (1, 2)
    lines: int = 1000
    family: ClassVar[str] = "n-gram-Vendi"
    better: ClassVar[Better] = "higher"
    aspect = "diversity"
    slow: ClassVar[bool] = True
    below: ClassVar[str] = LESS_DIVERSE
    above: ClassVar[str] = MORE_DIVERSE

    def size(self, sets: Sets) -> int:
        return min(self.lines, len(sets.text))

    def measure(self, sets: Sets) -> float:
        return effective_number(self._kernel(sets))

    def standard_error(self, sets: Sets) -> float | None:
        """Equal groups of the drawn lines are left out: groups of all lines would hold unlike numbers of them."""
        kernel = self._kernel(sets)
        label = np.random.default_rng([sets.seed, 12]).permutation(len(kernel)) % GROUPS
        if len(kernel) < 2 * GROUPS:
            return None
        kept = [np.flatnonzero(label != group) for group in range(GROUPS)]
        return jackknife_error([effective_number(kernel[np.ix_(k, k)] * len(kernel) / len(k)) for k in kept])

    def _kernel(self, sets: Sets) -> np.ndarray:
        """(m, m) cosines of the drawn lines, over their number: its trace is 1."""
        return cached(sets, self, lambda: self._cosines(sets))

    def _cosines(self, sets: Sets) -> np.ndarray:
        from scipy.sparse import csr_array

        drawn = np.random.default_rng([sets.seed, 11]).permutation(len(sets.text))[: self.lines]
        text = sets.text.select(np.sort(drawn))
        if not len(text):
            raise Unmeasurable("there are no lines")
        kernel = np.zeros((len(text), len(text)))
        for order in self.orders:
            runs = text.runs(order)
            norm = np.sqrt(np.bincount(runs.line, weights=runs.counts.astype(float) ** 2, minlength=len(text)))
            shape = (len(text), len(text.keys(order)))
            counts = csr_array((runs.counts / norm[runs.line], (runs.line, runs.gram)), shape=shape)
            kernel += (counts @ counts.T).toarray() + np.diag((norm == 0).astype(float))
        return kernel / (len(self.orders) * len(text))


def _neighbours(sets: Sets, k: int) -> clusters.Neighbours:
    one, other = vectors(sets)
    if min(len(one), len(other)) <= k:
        raise Unmeasurable(f"it looks at the {k} nearest lines, so both texts need more than {k}")
    radii = cached_half(sets, ("radii", k), lambda: clusters.radii(other, k))
    return cached(sets, ("neighbours", k), lambda: clusters.neighbours(one, other, k, radii))


@dataclass(frozen=True)
class _Fidelity(MeanMetric):
    """A mean over scored lines, the real vectors fixed."""

    k: int = 5
    better: ClassVar[Better] = "higher"
    needs: ClassVar[Needs] = "half"
    slow: ClassVar[bool] = True
    aspect = "quality"

    def sign(self, sets: Sets) -> str:
        return super().sign(sets) + signed("encoder", encoder_of(sets).name)


@dataclass(frozen=True)
class Precision(_Fidelity):
    """Share of lines within the k-th neighbour's distance of some real line. Kynkaanniemi et al. 2019."""

    family: ClassVar[str] = "precision"
    share: ClassVar[bool] = True

    def per_line(self, sets: Sets) -> np.ndarray:
        return (_neighbours(sets, self.k).real_balls > 0).astype(np.float64)


@dataclass(frozen=True)
class Density(_Fidelity):
    """Real lines whose k-th neighbour's ball holds a line, over k; 1 is expected. Naeem et al. 2020."""

    family: ClassVar[str] = "density"

    def per_line(self, sets: Sets) -> np.ndarray:
        return _neighbours(sets, self.k).real_balls / self.k


@dataclass(frozen=True)
class _Reach(_Embedded):
    """A share of real lines that the scored ones reach: a property of the whole set."""

    k: int = 5
    better: ClassVar[Better] = "higher"


@dataclass(frozen=True)
class Recall(_Reach):
    """Share of real lines within the k-th neighbour's distance of some scored line. Kynkaanniemi et al. 2019."""

    family: ClassVar[str] = "recall"

    def measure(self, sets: Sets) -> float:
        return float((_neighbours(sets, self.k).text_balls > 0).mean())


@dataclass(frozen=True)
class Coverage(_Reach):
    """Share of real lines whose k-th neighbour's ball holds a scored line. Naeem et al. 2020."""

    family: ClassVar[str] = "coverage"

    def measure(self, sets: Sets) -> float:
        return float(_neighbours(sets, self.k).reached.mean())


@dataclass(frozen=True)
class Mauve(_Embedded):
    """Area under the divergence frontier of both texts' clusters. Pillutla et al. 2021, as `clusters.mauve` says.

    Averaged over `clusterings` k-means runs of different seeds, since one alone moves it by .02 at n = 1000.
    `added` is put to every count: 0 is MAUVE, 1/2 is MAUVE* (Pillutla et al. 2023), less biased for small texts.
    Its error is that of leaving out groups of scored lines with the clusters held fixed: clustering each remainder
    anew would count the noise of k-means many times over.
    """

    added: float = 0.0
    clusterings: int = 5
    buckets: str = field(default="n/10", init=False)
    scaling: float = 5.0
    better: ClassVar[Better] = "higher"

    @property
    def name(self) -> str:
        return "MAUVE*" if self.added else "MAUVE"

    family: ClassVar[str] = "MAUVE"

    def caution(self, sets: Sets) -> str | None:
        n = len(sets.half_text)
        return None if n >= 5000 else f"{self.name} wants at least 5000 lines of each text and has {n}: it is biased"

    def measure(self, sets: Sets) -> float:
        return self._area(sets, np.ones(len(sets.half_text), dtype=bool))

    def standard_error(self, sets: Sets) -> float | None:
        label = np.random.default_rng([sets.seed, 78]).permutation(len(sets.half_text)) % GROUPS
        return jackknife_error([self._area(sets, label != group) for group in range(GROUPS)])

    def _area(self, sets: Sets, kept: np.ndarray) -> float:
        """The mean over clusterings, of the scored lines that are `kept` (n,)."""
        one, other = vectors(sets)
        size = min(len(one), len(other))
        if size < 20:
            raise Unmeasurable("it needs 20 lines of each text, for 2 clusters")
        buckets, seeds = max(2, size // 10), range(sets.seed, sets.seed + self.clusterings)
        labels = cached(
            sets,
            ("clusters", self.clusterings),
            lambda: [clusters.joint_clusters(one, other, buckets, seed) for seed in seeds],
        )
        counts = [[np.bincount(part, minlength=buckets) + self.added for part in (p[kept], q)] for p, q in labels]
        return float(np.mean([clusters.mauve(p, q, self.scaling) for p, q in counts]))


def _enough(metric: Metric, one: np.ndarray, other: np.ndarray, fewest: int) -> None:
    if min(len(one), len(other)) < fewest:
        raise Unmeasurable(f"{metric.name} needs {fewest} lines of each text")
