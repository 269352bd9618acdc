"""Scores to probabilities, on texts that the scorer has not seen; and how good the probabilities are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

BINS = 15

Calibration = tuple[np.ndarray, np.ndarray]
"""Knots: scores (m,) ascending and the log odds of "real" there (m,) ascending; straight lines between and level
beyond them (see `log_odds`)."""


def isotonic(scores: np.ndarray, real: np.ndarray) -> Calibration:
    """The best ascending map by least squares, found by pooling. Zadrozny & Elkan 2002; (n,) scores, (n,) bool.

    Differs: one real text stands below all and one written text above all, so that no share is 0 or 1 and every ratio
    is finite; and the odds of each pool stand at its mean score and run straight to the next one's, so that texts of
    one pool keep their order.
    """
    from scipy.optimize import isotonic_regression

    places, row = np.unique(scores, return_inverse=True)
    many = np.bincount(row).astype(float)
    share = np.bincount(row, weights=real) / many
    found = isotonic_regression(np.concatenate([[1.0], share, [0.0]]), weights=np.concatenate([[1.0], many, [1.0]]))
    pool = np.repeat(np.arange(len(found.blocks) - 1), np.diff(found.blocks))[1:-1]  # of each place
    kept = np.unique(pool)
    centre = np.bincount(pool, many * places)[kept] / np.bincount(pool, many)[kept]
    height = found.x[found.blocks[:-1]][kept]
    return centre, np.log(height) - np.log1p(-height)


def platt(scores: np.ndarray, real: np.ndarray) -> Calibration:
    """Log odds a score + b with the greatest likelihood under smoothed targets. Platt 1999, section 2.2.

    Differs: a is not negative, since a scorer that is wrong more often than right tells nothing. The line is held level
    beyond the scores that were seen.
    """
    from scipy.optimize import minimize

    yes, no = int(real.sum()), int((~real).sum())
    target = np.where(real, (yes + 1) / (yes + 2), 1 / (no + 2))
    spread = float(scores.std()) or 1.0
    middle = float(scores.mean())
    unit = (scores - middle) / spread

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        odds = line[0] * unit + line[1]
        slope = 1 / (1 + np.exp(-odds)) - target
        return float(np.mean(np.logaddexp(0, odds) - target * odds)), np.array([np.mean(slope * unit), slope.mean()])

    a, b = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(0, 30), (-30, 30)]).x
    ends = np.array([scores.min(), scores.max()])
    return ends, a * (ends - middle) / spread + b


CALIBRATIONS: dict[str, Callable[[np.ndarray, np.ndarray], Calibration]] = {"isotonic": isotonic, "platt": platt}


def log_odds(calibration: Calibration, scores: ArrayLike) -> np.ndarray:
    """(n,) scores -> (n,) log odds of "real", in the proportion of the texts that it was calibrated on."""
    return np.interp(np.asarray(scores, dtype=float), *calibration)


def auc(scores: np.ndarray, real: np.ndarray) -> float:
    """The chance that a real text scores higher than a written one, ties half. Mann & Whitney 1947."""
    from scipy.stats import rankdata

    ranks, yes = rankdata(scores), int(real.sum())
    return float((ranks[real].sum() - yes * (yes + 1) / 2) / (yes * (len(real) - yes)))


def brier(chance: np.ndarray, real: np.ndarray) -> float:
    """Mean squared error of the probability. Brier 1950."""
    return float(np.mean((chance - real) ** 2))


def calibration_error(chance: np.ndarray, real: np.ndarray, bins: int = BINS) -> tuple[float, float]:
    """Mean |probability - share| over bins of as many texts each, and what it is by chance where all is well.

    Naeini et al. 2015; equal bins as in Nguyen & O'Connor 2015. Differs: texts of one probability share a bin, since
    their order says nothing (as they come the real ones stand first). The second is E|error| = sqrt(2 p (1 - p) / (pi
    n)) of a bin of n texts, by the normal approximation.
    """
    _, row, many = np.unique(chance, return_inverse=True, return_counts=True)
    middle = np.cumsum(many) - many / 2  # of the ranks of each probability's texts
    place = (bins * middle / len(chance)).astype(int)[row]
    sizes = np.bincount(place, minlength=bins)
    kept = sizes > 0
    sizes = sizes[kept]
    meant, share = (np.bincount(place, values, bins)[kept] / sizes for values in (chance, real))
    chances = np.sqrt(2 * meant * (1 - meant) / (np.pi * sizes))
    return float(np.average(np.abs(meant - share), weights=sizes)), float(np.average(chances, weights=sizes))


def effective_size(weights: np.ndarray) -> float:
    """How many equal weights say as much: (sum w)^2 / sum w^2. Kish 1965."""
    return float(weights.sum() ** 2 / np.square(weights).sum())
