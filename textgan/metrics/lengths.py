"""How long the lines are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .score import Better, MeanMetric, Metric, Needs
from .sets import Sets


@dataclass(frozen=True)
class Length(MeanMetric):
    """Mean number of words (or characters) of a line."""

    family: ClassVar[str] = "length"
    below: ClassVar[str] = "shorter lines than real text"
    above: ClassVar[str] = "longer lines than real text"

    def per_line(self, sets: Sets) -> np.ndarray:
        return sets.text.lengths.astype(np.float64)


@dataclass(frozen=True)
class LengthDifference(Metric):
    """Words by which lengths differ in distribution: the area between both distribution functions (Wasserstein-1)."""

    family: ClassVar[str] = "length-difference"
    better: ClassVar[Better] = "lower"
    needs: ClassVar[Needs] = "half"
    above: ClassVar[str] = "other lengths than real text"

    def measure(self, sets: Sets) -> float:
        assert sets.half is not None
        return wasserstein(sets.half_text.lengths, sets.half.lengths)


def wasserstein(one: np.ndarray, other: np.ndarray) -> float:
    """Wasserstein-1 distance of two samples of numbers: integral of |F - G|."""
    places = np.unique(np.concatenate([one, other]))
    left = np.searchsorted(np.sort(one), places, side="right") / len(one)
    right = np.searchsorted(np.sort(other), places, side="right") / len(other)
    return float((np.abs(left - right)[:-1] * np.diff(places)).sum())
