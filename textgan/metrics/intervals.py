"""Standard errors that are valid for each kind of metric, and what a difference between two figures supports."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .reasons import Unmeasurable
from .score import Metric
from .sets import Sets

GROUPS = 20
#: Fewer scored lines than this give neither interval nor verdict.
FEWEST = 40
#: More scored lines than this have no jackknife, which costs a pass over them for each group (and is very narrow).
MOST = 100_000
CONFIDENCE, LEVEL = 0.95, 0.05


def standard_errors(metrics: Sequence[Metric], sets: Sets, *, groups: int = GROUPS) -> dict[Metric, float]:
    """The standard error of each metric that has one on these texts; the second texts are held fixed.

    So an interval is about other draws of the text against THIS reference, as verdicts and comparisons need, where both
    sides share it. Another reference moves the value besides: backward BLEU is a mean over its lines too.

    A mean over lines: s / sqrt(n). A metric of the set: the delete-a-group jackknife, since a bootstrap makes
    duplicates, which set metrics punish (self-BLEU-4 of real captions goes from .397 to .763).
    """
    if groups < 2 or len(sets.text) < FEWEST:
        return {}
    errors: dict[Metric, float] = {}
    for metric in metrics:
        error = metric.standard_error(sets)
        if error is not None:
            errors[metric] = error
    rest = [metric for metric in metrics if metric.set_valued and metric not in errors]
    if len(sets.text) > MOST:
        return errors
    return errors | jackknife(rest, sets, groups=groups, seed=sets.seed)


def jackknife(metrics: Sequence[Metric], sets: Sets, *, groups: int, seed: int) -> dict[Metric, float]:
    """`jackknife_error` of each metric over G random groups of the scored lines.

    One pass over the groups serves all metrics; the n-gram index is filtered, not rebuilt.
    """
    possible = [metric for metric in metrics if metric.needs != "half" or sets.half is not None]
    values: dict[Metric, list[float]] = {metric: [] for metric in possible}
    if not values:
        return {}
    for fewer in sets.without_groups(groups, seed):
        for metric in list(values):
            try:
                values[metric].append(metric.measure(fewer))
            except Unmeasurable:
                del values[metric]
    return {metric: jackknife_error(found) for metric, found in values.items()}


def jackknife_error(values: Sequence[float] | np.ndarray) -> float:
    """Delete-a-group jackknife: se^2 = (G-1)/G sum (theta_g - mean)^2, theta_g without group g. Shao & Tu 1995, 2.3."""
    found = np.asarray(values)
    return math.sqrt((len(found) - 1) / len(found) * float(((found - found.mean()) ** 2).sum()))


def degrees_of_freedom(metric: Metric, n: int, groups: int) -> int:
    """Of the standard error: n - 1 for a mean over lines, groups - 1 for a jackknife."""
    return max(1, (groups if metric.set_valued else n) - 1)


def half_width(error: float, freedom: float, *, confidence: float = CONFIDENCE) -> float:
    """Half the width of Student's interval."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2)) * error


def two_sided_p(difference: float, error: float, freedom: float) -> float:
    """The probability of a difference this large when there is none (Student); 0 or 1 when the error is 0."""
    from scipy.special import stdtr

    if error == 0:
        return 1.0 if abs(difference) < 1e-12 else 0.0
    return float(2 * stdtr(freedom, -abs(difference) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that hold the chance of any false rejection. Holm 1979."""
    order = np.argsort(p_values, kind="stable")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order.tolist()):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def wilson(share: float, n: float, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of a share seen in n draws, within [0, 1] and never of width 0. Wilson 1927.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). n need not be whole: weighted draws have an effective n.
    """
    z = half_width(1.0, 10**9, confidence=confidence)  # Student's with so many degrees of freedom is the normal's
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    return (0.0 if share == 0 else max(0.0, low)), (1.0 if share == 1 else min(1.0, high))
