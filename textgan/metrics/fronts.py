"""Quality against diversity over a temperature grid: which model is better at matched diversity, and how surely.

One temperature proves nothing: any model gains quality by losing diversity. So each run gives a curve, and curves are
compared where they overlap, at equal diversity, by shape-preserving interpolation (linear interpolation of a bent curve
fakes wins).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from .intervals import LEVEL, half_width, holm, two_sided_p
from .score import Better

GRID = 41


class Point(NamedTuple):
    """One temperature of one run."""

    temperature: float
    diversity: float
    quality: float


class Matched(NamedTuple):
    """Quality of one model minus another's at matched diversity, over the range that all their curves share.

    at: (G,) diversities; difference: (G,) mean over runs; low, high: (G,) 95 % intervals over runs, None where a side
    has but one; runs: of the side that has fewer.
    area: the mean difference over the range, with area_low and area_high. better: share of the range where the
    interval lies wholly on the better side, worse: on the other. sentence: what the data support; claim: "better" or
    "worse" where p is at most 5 %, else "". p: two-sided, of an area of 0; None where a side has but one run; of this
    comparison alone, until `adjusted` counts them all.
    """

    at: list[float]
    difference: list[float]
    low: list[float] | None
    high: list[float] | None
    area: float
    area_low: float | None
    area_high: float | None
    better: float
    worse: float
    runs: int
    sentence: str
    claim: str = ""
    p: float | None = None


def curve(points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    """(k,) ascending diversities and the qualities there; points of equal diversity are averaged."""
    if len(points) < 2:
        raise InputError(f"a front needs at least 2 temperatures, got {len(points)}; add some")
    diversity = np.array([point.diversity for point in points])
    places, where = np.unique(diversity, return_inverse=True)
    if len(places) < 2:
        raise InputError("all temperatures have the same diversity, so there is no front; spread the temperatures")
    quality = np.bincount(where, weights=[point.quality for point in points]) / np.bincount(where)
    return places, quality


def interpolate(points: Sequence[Point], at: np.ndarray) -> np.ndarray:
    """Quality at these diversities, which must lie within the curve: monotone cubic (PCHIP; Fritsch & Carlson 1980)."""
    from scipy.interpolate import PchipInterpolator

    places, quality = curve(points)
    if at.min() < places[0] - 1e-12 or at.max() > places[-1] + 1e-12:
        raise InputError(
            f"diversity {at.min():.4g} to {at.max():.4g} is outside the curve, which is never extrapolated"
        )
    return np.asarray(PchipInterpolator(places, quality)(np.clip(at, places[0], places[-1])))


def shared_range(runs: Sequence[Sequence[Point]]) -> tuple[float, float]:
    """The diversities that every curve reaches; InputError when there are none."""
    ends = [curve(points)[0][[0, -1]] for points in runs]
    low, high = max(float(end[0]) for end in ends), min(float(end[1]) for end in ends)
    if low >= high:
        raise InputError("the curves share no diversity, so they cannot be matched; widen the temperatures of one")
    return low, high


def matched(
    ours: Sequence[Sequence[Point]],
    baseline: Sequence[Sequence[Point]],
    *,
    better: Better,
    names: tuple[str, str] = ("ours", "the baseline"),
    quality: str = "quality",
) -> Matched:
    """Compare two models' runs at matched diversity. Each run is the points of its temperatures.

    Runs are paired when both models have as many (the same seeds, in the same order), and the interval is Student's
    over the pairs' differences; else it is Welch's (1947). One run of a side has none: within-set noise is not that of
    seeds.
    """
    if not ours or not baseline:
        raise InputError("each side needs at least one run")
    if better == "match":
        raise InputError(f"{quality} is neither better high nor low, so no model is better in it; leave it out")
    at = np.linspace(*shared_range([*ours, *baseline]), GRID)
    mine, theirs = (np.stack([interpolate(points, at) for points in side]) for side in (ours, baseline))
    mean = mine.mean(axis=0) - theirs.mean(axis=0)
    area = float(mean.mean())
    low = high = area_low = area_high = p = None
    sign = -1 if better == "lower" else 1
    good = bad = 0.0
    if min(len(mine), len(theirs)) > 1:
        half = np.array([half_width(e, f) for e, f in _errors(mine, theirs)])
        low, high = mean - half, mean + half
        ((error, freedom),) = _errors(mine.mean(axis=1, keepdims=True), theirs.mean(axis=1, keepdims=True))
        width, p = half_width(error, freedom), two_sided_p(area, error, freedom)
        area_low, area_high = area - width, area + width
        good = float((np.minimum(sign * low, sign * high) > 0).mean())
        bad = float((np.maximum(sign * low, sign * high) < 0).mean())
    found = Matched(
        at.tolist(),
        mean.tolist(),
        None if low is None else low.tolist(),
        None if high is None else high.tolist(),
        area,
        area_low,
        area_high,
        good,
        bad,
        min(len(mine), len(theirs)),
        "",
        p=p,
    )
    if p is not None and p <= LEVEL:
        found = found._replace(claim="better" if sign * found.area > 0 else "worse")
    return found._replace(sentence=_sentence(found, names, quality))


def adjusted(found: dict[str, dict[str, Matched]], baseline: str) -> dict[str, dict[str, Matched]]:
    """The comparisons of models and qualities with one baseline, with the chance of any false claim at 5 % (Holm)."""
    cells = [(name, quality) for name, row in found.items() for quality in row if row[quality].p is not None]
    ps = holm([found[name][quality].p or 0.0 for name, quality in cells])
    new = {name: dict(row) for name, row in found.items()}
    for (name, quality), p in zip(cells, ps, strict=True):
        one = found[name][quality]._replace(p=p)
        one = one._replace(claim=one.claim if p <= LEVEL else "")
        new[name][quality] = one._replace(sentence=_sentence(one, (name, baseline), quality, len(ps)))
    return new


def _errors(mine: np.ndarray, theirs: np.ndarray) -> list[tuple[float, float]]:
    """G standard errors of the difference of means of (runs, G) values, and their freedom: paired, or Welch's."""
    if len(mine) == len(theirs):
        error, freedom = (mine - theirs).std(axis=0, ddof=1) / len(mine) ** 0.5, np.full(mine.shape[1], len(mine) - 1.0)
    else:
        shares = [side.var(axis=0, ddof=1) / len(side) for side in (mine, theirs)]
        below = sum(share**2 / (len(side) - 1) for share, side in zip(shares, (mine, theirs), strict=True))
        error = np.sqrt(sum(shares))
        freedom = np.divide(error**4, below, out=np.ones_like(error), where=below > 0)
    return list(zip(error.tolist(), freedom.tolist(), strict=True))


def _sentence(found: Matched, names: tuple[str, str], quality: str, counted: int = 1) -> str:
    ours, baseline = names
    span = f"over diversities {found.at[0]:.3g} to {found.at[-1]:.3g}"
    if found.area_low is None or found.area_high is None:
        return (
            f"{quality} of {ours} minus {baseline} is {found.area:+.3g} {span}; without two runs of each: no claim."
        )
    size = f"{found.area:+.3g} ({found.area_low:+.3g} to {found.area_high:+.3g}, {found.runs} runs)"
    several = f" (p = {found.p:.2g} among {counted} comparisons)" if counted > 1 else ""
    few = " Under 4 runs it is a suggestion." if found.runs < 4 else ""
    if not found.claim:
        said = f"At matched diversity {ours} and {baseline} are not told apart in {quality}{several}"
        return f"{said}: {size} {span}.{few}"
    word, share = found.claim, found.better if found.claim == "better" else found.worse
    where = "everywhere" if share == 1 else f"on {share:.0%} of the range"
    said = f"At matched diversity {ours} is {word} than {baseline} in {quality}{several}"
    return f"{said}: {size} {span}, pointwise {where}.{few}"
