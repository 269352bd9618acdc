"""Which texts of a pool are taken, given the ratio p_data / p_G of each: rejection, chains, resampling, weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from textgan.augmentation.calibration import effective_size
from textgan.errors import InputError

FEW, RARE = 0.1, 0.02  # effective share and acceptance below which a selection is warned of

Taken = tuple[np.ndarray, np.ndarray]  # rows (k,), in order, a row that is taken twice stands twice; their weights (k,)


class Chosen(NamedTuple):
    """What a selector took of n texts.

    index: (k,) int64, ascending; a row that was taken twice stands twice. weights: (k,) float64, their mean is 1.
    acceptance: share of the n texts that was taken, 0..1. effective_sample: how many equally weighted texts the taken
    ones are worth. warnings: one line each.
    """

    index: np.ndarray  # type: ignore[assignment]  # a tuple's method of that name has no use here
    weights: np.ndarray
    acceptance: float
    effective_sample: float
    warnings: tuple[str, ...]

    @property
    def uneven(self) -> bool:
        """Whether the texts weigh unlike, those that were taken twice counted twice."""
        _, place = np.unique(self.index, return_inverse=True)
        return bool(np.ptp(np.bincount(place, self.weights)) > 1e-9)


def _share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise InputError(f"{name} {value:g} must be above 0 and at most 1: a share of the texts")


def _count(name: str, value: int) -> None:
    if value < 1:
        raise InputError(f"{name} {value} must be at least 1")


def _unweighted(index: np.ndarray) -> Taken:
    return index, np.ones(len(index))


@dataclass(frozen=True)
class All:
    """Every text, whatever its ratio."""

    def take(self, ratio: np.ndarray, rng: np.random.Generator) -> Taken:
        """(n,) -> rows and weights."""
        return _unweighted(np.arange(len(ratio)))


@dataclass(frozen=True)
class TopK:
    """The `share` of the texts with the highest ratios. It raises fluency and costs diversity: it aims at no law."""

    share: float = 0.5

    def __post_init__(self) -> None:
        _share("share", self.share)

    def take(self, ratio: np.ndarray, rng: np.random.Generator) -> Taken:
        """(n,) -> rows and weights; of equal ratios the draw decides."""
        shuffled = rng.permutation(len(ratio))
        order = shuffled[np.argsort(-ratio[shuffled], kind="stable")]
        return _unweighted(order[: max(1, round(self.share * len(ratio)))])


@dataclass(frozen=True)
class Threshold:
    """Texts whose ratio is at least `at`; at 1 those that look more like real text than like the generator's."""

    at: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.at < np.inf:
            raise InputError(f"threshold {self.at:g} must be a ratio, 0 or more")

    def take(self, ratio: np.ndarray, rng: np.random.Generator) -> Taken:
        """(n,) -> rows and weights. Errors: InputError where no text reaches the threshold."""
        index = np.flatnonzero(ratio >= self.at)
        if not len(index):
            raise InputError(f"no ratio reaches the threshold {self.at:g}; the highest is {ratio.max():.3g}: lower it")
        return _unweighted(index)


@dataclass(frozen=True)
class DRS:
    """Discriminator rejection sampling: a text is accepted by chance, so that what is accepted follows p_data.

    Accepts with probability sigmoid(F), F = log(u / (1 - u)) - gamma, u = r / max r; gamma 0 is exact rejection.
    Azadi et al. 2019, eq. 8. share: gamma is set so that this share is accepted on average, which leaves some of the
    bias in exchange for texts; None is exact. Differs: the greatest ratio is that of the texts at hand; and where exact
    rejection accepts more than the share, it is thinned alike for all texts instead, which costs no exactness.
    """

    share: float | None = 0.5

    def __post_init__(self) -> None:
        if self.share is not None:
            _share("share", self.share)

    def take(self, ratio: np.ndarray, rng: np.random.Generator) -> Taken:
        """(n,) -> rows and weights."""
        chance = acceptance(ratio, self.share)
        return _unweighted(np.flatnonzero(rng.random(len(ratio)) < chance))


@dataclass(frozen=True)
class MH:
    """Metropolis-Hastings: each text taken is the end of a chain of `steps` proposals of its own.

    A proposal y replaces x with probability min(1, r(y) / r(x)), as in the independence sampler; r must be calibrated.
    Turner et al. 2019, eq. 5. n texts give n / (steps + 1). Differs: chains begin at a proposal and not at a real text,
    so a chain must be long enough to forget it: after k steps the ends differ from p_data by at most (1 - mean r / max
    r)^k in total variation (Mengersen & Tweedie 1996, theorem 2.1), and where one proposal in m has a ratio above 0, a
    share (1 - 1/m)^(k + 1) of the chains has met none.
    """

    steps: int = 20

    def __post_init__(self) -> None:
        _count("steps", self.steps)

    def take(self, ratio: np.ndarray, rng: np.random.Generator) -> Taken:
        """(n,) -> rows and weights. Errors: InputError for fewer texts than a chain needs."""
        chains = len(ratio) // (self.steps + 1)
        if not chains:
            raise InputError(f"{len(ratio)} texts are too few for one chain of {self.steps} steps; lower the steps")
        links = rng.permutation(len(ratio))[: chains * (self.steps + 1)].reshape(self.steps + 1, chains)
        at = links[0]
        for proposal in links[1:]:
            at = np.where(rng.random(chains) * ratio[at] < ratio[proposal], proposal, at)
        return _unweighted(at)


@dataclass(frozen=True)
class Resample:
    """`n` draws with replacement, each text with a chance in proportion to its ratio. Rubin 1987."""

    n: int

    def __post_init__(self) -> None:
        _count("n", self.n)

    def take(self, ratio: np.ndarray, rng: np.random.Generator) -> Taken:
        """(n,) -> rows and weights."""
        return _unweighted(rng.choice(len(ratio), self.n, p=ratio / ratio.sum()))


@dataclass(frozen=True)
class Weights:
    """Every text, weighted: max(r, low)^flatten, no more than `high` times the mean, and then of mean 1.

    Grover et al. 2019, section 3.2 (flattening, clipping, self-normalisation). Differs: clipped above as well, which
    bounds what one text can weigh. flatten 1, low 0 and high infinite are plain importance weights.
    """

    flatten: float = 0.5
    low: float = 0.0
    high: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.flatten <= 1:
            raise InputError(f"flatten {self.flatten:g} must be from 0 (no weights) to 1 (the ratio itself)")
        if not (0 <= self.low < np.inf and self.high >= 1):
            raise InputError(f"low {self.low:g} and high {self.high:g}: 0 or more and 1 or more were wanted")

    def take(self, ratio: np.ndarray, rng: np.random.Generator) -> Taken:
        """(n,) -> rows and weights."""
        weight = np.maximum(ratio, self.low) ** self.flatten
        return np.arange(len(ratio)), np.minimum(weight, self.high * weight.mean())


Selector = All | TopK | Threshold | DRS | MH | Resample | Weights
SELECTORS: dict[str, type[Selector]] = {
    "all": All, "top": TopK, "threshold": Threshold, "drs": DRS, "mh": MH, "resample": Resample, "weights": Weights,
}  # fmt: skip


def choose(ratio: ArrayLike, *, how: Selector, seed: int = 0) -> Chosen:
    """Take texts by their ratios (n,), 0 where the real language has no such text; the same seed, the same ones.

    Errors: InputError for ratios that are not finite or below 0, and where nothing is left.
    """
    ratio = np.asarray(ratio, dtype=np.float64)
    if ratio.ndim != 1 or not len(ratio):
        raise InputError(f"ratios of shape (n,), n at least 1, were wanted, got {ratio.shape}")
    if not (np.isfinite(ratio).all() and (ratio >= 0).all() and ratio.any()):
        raise InputError("ratios p_data / p_G of 0 or more, and not all 0, were wanted; mend them")
    index, weights = how.take(ratio, np.random.default_rng([seed, 6]))
    if not len(index):
        raise InputError(f"{how} takes none of {len(ratio)} texts; give more texts or a larger share")
    order = np.argsort(index, kind="stable")
    index, weights = index[order].astype(np.int64), weights[order] / weights.mean()
    rows, place = np.unique(index, return_inverse=True)
    taken = len(rows) / len(ratio)
    worth = effective_size(np.bincount(place, weights=weights))
    return Chosen(index, weights, taken, worth, tuple(_warnings(ratio, how, taken)))


def acceptance(ratio: np.ndarray, share: float | None) -> np.ndarray:
    """(n,) chances with which `DRS` accepts texts of these ratios; their mean is `share`, or what exactness gives."""
    u = ratio / ratio.max()
    if share is None or share <= u.mean():
        return u if share is None else u * (share / u.mean())
    low, high = 0.0, 60.0  # of -gamma; the mean acceptance ascends with it
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _eased(u, middle).mean() < share else (low, middle)
    return _eased(u, high)


def _eased(u: np.ndarray, ease: float) -> np.ndarray:
    """sigmoid(log(u / (1 - u)) + ease), which is u where ease is 0 and 1 where u is."""
    odds = u * np.exp(ease)
    return odds / (1 - u + odds)


def _warnings(ratio: np.ndarray, how: Selector, taken: float) -> Sequence[str]:
    found = []
    if not isinstance(how, All) and (worth := effective_size(ratio) / len(ratio)) < FEW:
        found.append(
            f"the ratios rest on few texts: the effective sample size is {100 * worth:.1f} % of {len(ratio)} "
            f"(under {100 * FEW:.0f} %), the largest ratio {ratio.max() / ratio.mean():.0f} times the mean"
        )
    if taken < RARE:
        found.append(f"{100 * taken:.2g} % of the texts were taken (under {100 * RARE:.0f} %): much is made in vain")
    return found
