"""What the arms' figures support: paired differences, the protocol's contrasts, and what a generated line is worth.

Pairs are seeds: both arms of a pair had the same real lines and first weights. Intervals are Student's over seeds: a
percentile bootstrap of three to eight of them covers 75 to 89 % where it says 95.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from textgan.errors import InputError
from textgan.laboratory.arms import ARMS, MIXES, PROTOCOL, REAL_ARMS
from textgan.laboratory.figures import Figure, Row, plain, score
from textgan.laboratory.study import Study
from textgan.metrics.fronts import Point, interpolate
from textgan.metrics.intervals import half_width, holm, two_sided_p

BEST = "best real-only"
CLAIMED = (  # whose gain a study's sentences are about: of the first of these groups of which it has any
    ("selected", "two-stage"),
    ("gan", "before", "before-selected"),
    tuple(arm for arm in ARMS if arm not in PROTOCOL),
    ("before-two-stage", "before-as-long", "self", "edited", "noise", "word-shuffled"),
)
CONTRASTS = (
    ("selected", "before", "is it the adversarial training and D together?"),
    ("gan", "before", "is it the adversarial training alone?"),
    ("gan", "before-as-long", "is it more than longer or shorter sentences?"),
    ("selected", "before-selected", "is it only the selection?"),
    ("selected", "self", "is it any synthetic text?"),
    ("two-stage", "selected", "does the order matter?"),
    ("two-stage", "before-two-stage", "is a first stage's gain adversarial?"),
    *((f"{arm}-{word}", arm, f"{what}: does it matter?") for word, what, arms, _ in MIXES for arm in arms),
)
WITHOUT_SELECTED = (("before-selected", "before", "is it the selection?"),)
SAID = {
    "selected": "selected GAN text", "two-stage": "selected GAN text as a first stage", "gan": "GAN text",
    "before": "a generator's text", "before-selected": "a generator's text selected by D",
}  # fmt: skip
GRID = 400
ENOUGH, PAIRS = 3, 6  # seeds for an interval; for Wilcoxon's test to be able to reject at 5 %
MATCHED = ("self-BLEU-3", "self-BLEU-4", "distinct-4", "novel-4-grams")
QUALITY = "LM-score"


class Paired(NamedTuple):
    """A minus b over seeds, in nats a byte on the test text; negative: a is better.

    low, high: Student's 95 % interval, for other seeds. p, wilcoxon: two-sided; adjusted: p after Holm over the
    contrasts of one N and regime. wide_low, wide_high: 95 %, for other seeds and other test lines. relative:
    difference / mean of b. equal: both one-sided tests put the relative difference within the margin (TOST). What needs
    more seeds is None.
    """

    a: str
    b: str
    seeds: int
    difference: float
    relative: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    wilcoxon: float | None = None
    adjusted: float | None = None
    wide_low: float | None = None
    wide_high: float | None = None
    equal: bool | None = None
    asks: str = ""


class Exchange(NamedTuple):
    """How many real lines 1000 of an arm's lines are worth; below 0 they do harm.

    The value is cut at +-most, the fresh lines of the largest ratio: beyond them nothing was looked at. bound: whether
    it is "at most" or "at least" so much, and "" where the curve was measured on both sides of it. A learning curve
    flattens, so that below the smallest ratio, and below 0, its chord makes too much of a gain and of a harm; low and
    high are then the bound's. A harm that the chord puts beyond -most is "cut at" it, and may be more or less.
    value is nan where there is no rate: under three seeds, or where real lines themselves are not surely of use.
    """

    arm: str
    lines: int
    value: float
    low: float | None
    high: float | None
    most: float
    bound: str = ""
    seeds: int = 0

    def said(self) -> str:
        """The rate in words, with its interval where it has one."""
        if self.low is None or self.high is None:
            return f"by the chord {self.value:.0f} or fewer" if self.value < 0 else f"{self.bound} {self.value:.0f}"
        return f"{self.bound} {self.value:.0f} ({self.low:.0f} to {self.high:.0f})".strip()


def select_rows(rows: Sequence[Row], **where: Any) -> dict[int, Row]:
    """The rows that have these values, by seed."""
    return {row["seed"]: row for row in rows if all(row[key] == value for key, value in where.items())}


def best_real(rows: Sequence[Row], n: int, regime: str, ratio: float) -> str:
    """Which of the real-only arms is to be beaten: the one of the least validation NLL, mean over the seeds that they
    share; an arm that leaves too few of those is out."""
    found = {arm: there for arm in REAL_ARMS if (there := _place(rows, arm, n, regime, ratio))}
    if not found:
        raise InputError(f"no real-only arm is done for N = {n}")
    while len(shared := set.intersection(*map(set, found.values()))) < min(ENOUGH, max(map(len, found.values()))):
        del found[min(found, key=lambda arm: len(found[arm]))]
    return min(found, key=lambda arm: float(np.mean([found[arm][seed]["valid_nll_per_byte"] for seed in shared])))


def beside(rows: Sequence[Row], n: int, regime: str, ratios: Sequence[float]) -> list[float]:
    """Those of the ratios that have a real-only arm to be compared with."""
    return [ratio for ratio in ratios if any(_place(rows, arm, n, regime, ratio) for arm in REAL_ARMS)]


def _place(rows: Sequence[Row], arm: str, n: int, regime: str, ratio: float) -> dict[int, Row]:
    """An arm's rows. `real` has no ratio and no regime of its own; at equal steps another real-only arm may have been
    run at one ratio for all, and is taken where it is nearest."""
    if arm == "real":
        return select_rows(rows, arm=arm, n=n)
    if regime == "steps" and arm in REAL_ARMS:
        nearest_last = sorted(rows, key=lambda row: -abs(row["ratio"] - ratio))
        return select_rows(nearest_last, arm=arm, n=n, regime=regime)
    return select_rows(rows, arm=arm, n=n, regime=regime, ratio=ratio)


def paired(
    study: Study, rows: Sequence[Row], a: str, b: str, n: int, regime: str, ratio: float, *,
    nats: Mapping[str, np.ndarray] | None = None, asks: str = "",
) -> Paired | None:  # fmt: skip
    """The contrast a - b; None where no seed has both. nats: test name -> (lines,) nats, for other test lines."""
    baseline = best_real(rows, n, regime, ratio) if b == BEST else b
    one, other = _place(rows, a, n, regime, ratio), _place(rows, baseline, n, regime, ratio)
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return None
    differences = np.array([one[s]["nll_per_byte"] - other[s]["nll_per_byte"] for s in seeds])
    level = float(np.mean([other[s]["nll_per_byte"] for s in seeds]))
    found = _mean(differences.tolist())
    found = found._replace(a=a, b=f"{b} ({baseline})" if b == BEST else b, relative=found.difference / level, asks=asks)
    if len(seeds) < ENOUGH:
        return found
    error = float(differences.std(ddof=1)) / len(seeds) ** 0.5
    narrow = half_width(error, len(seeds) - 1, confidence=0.9)
    found = found._replace(equal=abs(found.difference) + narrow < study.equal * level)
    if len(seeds) >= PAIRS and differences.any():
        from scipy.stats import wilcoxon

        found = found._replace(wilcoxon=float(wilcoxon(differences).pvalue))
    if nats is not None and all(r["name"] in nats for s in seeds for r in (one[s], other[s])):
        gaps = np.stack([nats[one[s]["name"]] - nats[other[s]["name"]] for s in seeds])  # (seeds, lines)
        per_byte = one[seeds[0]]["nll_per_byte"] / float(nats[one[seeds[0]]["name"]].sum())
        half = half_width(_wide_error(gaps * per_byte), len(seeds) - 1)
        found = found._replace(wide_low=found.difference - half, wide_high=found.difference + half)
    return found


def _wide_error(gaps: np.ndarray) -> float:
    """Standard error of the sum over lines, mean over seeds, for other seeds and other lines, which all seeds share.

    (S, L) differences in nats / bytes of the whole text. The variances of both add up; what a seed does to a line is in
    both, so that the error is rather too large (Owen 2007, the pigeonhole bootstrap). Differs from the protocol's
    bootstrap of seeds and lines, which covers 88 % at three seeds.
    """
    seeds, lines = gaps.shape
    of_seeds, of_lines = gaps.sum(1).var(ddof=1) / seeds, lines * gaps.mean(0).var(ddof=1)
    return float(np.sqrt(of_seeds + of_lines))


def contrasts(
    study: Study, rows: Sequence[Row], n: int, regime: str, nats: Mapping[str, np.ndarray] | None = None
) -> list[Paired]:
    """The protocol's contrasts at the main ratio, those of `claimed` against the best real-only arm first; their p are
    adjusted together."""
    between = CONTRASTS if "selected" in study.arms else CONTRASTS + WITHOUT_SELECTED
    asked = [(arm, BEST, f"does {_said(arm)} help?") for arm in claimed(study)]
    asked += [one for one in between if {*one[:2]} <= {*study.arms}]
    found = [paired(study, rows, a, b, n, regime, study.ratio, nats=nats, asks=asks) for a, b, asks in asked]
    return _adjusted([one for one in found if one])


def claimed(study: Study) -> list[str]:
    """The arms that the study's sentences are about."""
    return next((found for group in CLAIMED if (found := [arm for arm in group if arm in study.arms])), [])


def _said(arm: str) -> str:
    return SAID.get(arm, f"the text of arm {arm}")


def against_best(study: Study, rows: Sequence[Row], n: int, regime: str, ratio: float) -> list[Paired]:
    """Every arm against the best of the real-only ones, for the forest plot; p adjusted over the arms."""
    best = best_real(rows, n, regime, ratio)
    arms = [arm for arm in study.arms if arm != best]
    return _adjusted([one for arm in arms if (one := paired(study, rows, arm, BEST, n, regime, ratio))])


def _adjusted(found: list[Paired]) -> list[Paired]:
    tested = [one for one in found if one.p is not None]
    values = iter(holm([one.p for one in tested if one.p is not None]))
    return [one if one.p is None else one._replace(adjusted=next(values)) for one in found]


def verdict(found: Paired | None) -> str:
    """helps, hurts, makes no difference, or is inconclusive."""
    if found is None or found.low is None or found.high is None:
        return "no claim, under 3 seeds"
    p = found.p if found.adjusted is None else found.adjusted
    if p is not None and p < 0.05:
        return "helps" if found.difference < 0 else "hurts"
    return "makes no difference" if found.equal else "inconclusive"


def exchange(study: Study, rows: Sequence[Row], arm: str, n: int, regime: str, ratio: float) -> Exchange | None:
    """1000 lines of the arm are worth so many fresh real lines: where the curve of `fresh` has the arm's gain.

    The curve is PCHIP through (0, 0) and the mean gains of `fresh` at its ratios, made monotone; below 0 it goes on
    straight. The interval is Student's, its error the jackknife's over seeds; there is none where the value is cut.
    None where `fresh` or the arm is missing.
    """
    best = best_real(rows, n, regime, ratio)
    base, ours = _place(rows, best, n, regime, ratio), _place(rows, arm, n, regime, ratio)
    measured = beside(rows, n, regime, study.ratios("fresh", regime))
    curve = {r: _place(rows, "fresh", n, regime, r) for r in measured}
    curve = {r: found for r, found in curve.items() if found}
    real = [_place(rows, best_real(rows, n, regime, r), n, regime, r) for r in curve]  # what each ratio is beside
    seeds = sorted(set.intersection(*map(set, [base, ours, *real, *curve.values()]))) if curve else []
    if not seeds:
        return None
    gains = np.array(
        [
            [b[s]["nll_per_byte"] - found[s]["nll_per_byte"] for s in seeds]
            for b, found in zip(real, curve.values(), strict=True)
        ]
    )  # (ratios, seeds)
    own = np.array([base[s]["nll_per_byte"] - ours[s]["nll_per_byte"] for s in seeds])
    sizes, unit = np.array([r * n for r in curve]), 1000 / (ratio * n)

    def worth(rows: Any) -> float:
        return _worth(sizes, gains[:, rows].mean(1), float(own[rows].mean())) * unit

    most = float(sizes[-1]) * unit
    none = Exchange(arm, round(ratio * n), float("nan"), None, None, most, seeds=len(seeds))
    if len(seeds) < ENOUGH or (_mean(gains[-1].tolist()).low or 0.0) <= 0:
        return none
    value = worth(slice(None))
    if abs(value) >= most:
        return none._replace(value=value, bound="at least" if value > 0 else "cut at")
    left = np.array([worth(np.delete(np.arange(len(seeds)), s)) for s in range(len(seeds))])
    error = float(np.sqrt((len(seeds) - 1) / len(seeds) * ((left - left.mean()) ** 2).sum()))
    half = half_width(error, len(seeds) - 1)
    bound = "at least" if value < 0 else "at most" if 0 < value < sizes[0] * unit else ""
    return none._replace(value=value, low=max(value - half, -most), high=min(value + half, most), bound=bound)


def worths(study: Study, rows: Sequence[Row], n: int, regime: str) -> list[Exchange]:
    """The arms that add synthetic text to the real lines and have a rate at the main ratio, the dearest first."""
    arms = [arm for arm in study.arms if ARMS[arm].text not in ("", "fresh") and ARMS[arm].regime == "accumulate"]
    found = [exchange(study, rows, arm, n, regime, study.ratio) for arm in arms]
    return sorted((one for one in found if one and np.isfinite(one.value)), key=lambda one: -one.value)


def _worth(sizes: np.ndarray, gains: np.ndarray, gain: float) -> float:
    """The size at which the curve reaches `gain`, at most the largest; nan where real lines themselves give nothing."""
    from scipy.interpolate import PchipInterpolator

    x, y = np.concatenate([[0.0], sizes]), np.maximum.accumulate(np.concatenate([[0.0], gains]))
    if y[-1] <= 0:
        return float("nan")
    if gain <= 0:
        first = int(np.argmax(y > 0))
        return max(gain * x[first] / y[first], -x[-1])
    if gain >= y[-1]:
        return float(x[-1])
    fine = np.linspace(0, x[-1], GRID)
    return float(np.interp(gain, np.maximum.accumulate(PchipInterpolator(x, y)(fine)) + 1e-15 * np.arange(GRID), fine))


def at_equal_quality(
    study: Study, rows: Sequence[Row], arm: str, n: int, regime: str, ratio: float
) -> dict[str, Paired]:
    """Diversity of what the model writes, the arm minus the best real-only, at the latter's quality at T = 1.

    Quality is LM-score under the judges' text; each model's curve over temperatures is interpolated there, never
    extrapolated. Here `low` and `high` are of the metric's own unit. Where a seed's curve does not reach that quality
    there is neither interval nor p: the seeds that are left are no fair draw.
    """
    best = best_real(rows, n, regime, ratio)
    base, ours = _place(rows, best, n, regime, ratio), _place(rows, arm, n, regime, ratio)
    found, seeds = {}, sorted(base.keys() & ours.keys())
    for metric in MATCHED:
        gaps = []
        for seed in seeds:
            at = score(plain(base[seed]), QUALITY)
            pair = [None if at is None else _at(row["written"], metric, at) for row in (ours[seed], base[seed])]
            if pair[0] is not None and pair[1] is not None:
                gaps.append(pair[0] - pair[1])
        if gaps:
            one = _mean(gaps)._replace(a=arm, b=f"{BEST} ({best})", asks=metric)
            found[metric] = one if len(gaps) == len(seeds) else one._replace(low=None, high=None, p=None)
    return found


def gap(rows: Sequence[Row], arm: str, n: int, regime: str, ratio: float, figure: Figure) -> Paired | None:
    """A figure of the arm's row minus that of the best real-only one's, paired by seed, in the figure's own unit.

    Where a seed's rows lack the figure there is neither interval nor p: the seeds that are left are no fair draw.
    """
    best = best_real(rows, n, regime, ratio)
    ours, base = _place(rows, arm, n, regime, ratio), _place(rows, best, n, regime, ratio)
    seeds = sorted(ours.keys() & base.keys())
    pairs = [(figure(ours[seed]), figure(base[seed])) for seed in seeds]
    gaps = [one - other for one, other in pairs if one is not None and other is not None]
    if not gaps:
        return None
    found = _mean(gaps)._replace(a=arm, b=f"{BEST} ({best})")
    return found if len(gaps) == len(seeds) else found._replace(low=None, high=None, p=None)


def shift(rows: Sequence[Row], arm: str, n: int, regime: str, ratio: float, figure: Figure) -> Paired | None:
    """A figure of an arm's synthetic text that is 0 where nothing is amiss, with Student's interval over seeds."""
    values = [x for row in _place(rows, arm, n, regime, ratio).values() if (x := figure(row)) is not None]
    return _mean(values)._replace(a=arm) if values else None


def _mean(values: Sequence[float]) -> Paired:
    """The mean over seeds and, from three seeds on, Student's interval."""
    mean = float(np.mean(values))
    found = Paired("", "", len(values), mean, float("nan"))
    if len(values) < ENOUGH:
        return found
    error, freedom = float(np.std(values, ddof=1)) / len(values) ** 0.5, len(values) - 1
    half = half_width(error, freedom)
    return found._replace(low=mean - half, high=mean + half, p=two_sided_p(mean, error, freedom))


def _at(written: Sequence[Row], metric: str, quality: float) -> float | None:
    """A metric's value where LM-score is `quality`; None outside of the curve."""
    points = [
        Point(w["temperature"], x, y)
        for w in written
        if (x := score(w, QUALITY)) is not None and (y := score(w, metric)) is not None
    ]
    try:
        return float(interpolate(points, np.array([quality]))[0])
    except InputError:
        return None


def sentences(study: Study, rows: Sequence[Row], nats: Mapping[str, np.ndarray] | None = None) -> list[str]:
    """What the data support, a sentence for each N and regime."""
    said = []
    for n in study.lines:
        for regime in study.regimes:
            try:
                found = contrasts(study, rows, n, regime, nats)
            except InputError:
                continue
            for one in found:
                if one.b.startswith(BEST):
                    what = f"N = {n:,}, equal {regime}: {_said(one.a)} at ratio {study.ratio:g}"
                    worth = exchange(study, rows, one.a, n, regime, study.ratio)
                    said.append(f"{what} {_phrase(one, study.seeds)}{_worth_phrase(worth)}")
    return said


def _phrase(one: Paired, wanted: int) -> str:
    change = f"test NLL per byte {100 * one.relative:+.2f} % against {one.b}"
    if one.low is None or one.high is None:
        return f"gave {change} ({_seeds(one, wanted)}: no claim)."
    level = one.difference / one.relative if one.relative else 1.0
    span = f"95 % interval {100 * one.low / level:+.2f} to {100 * one.high / level:+.2f} %, {_seeds(one, wanted)}"
    return f"{verdict(one)}: {change} ({span})."


def _seeds(one: Paired, wanted: int) -> str:
    if one.seeds == wanted:
        return f"{wanted} seed{'s' * (wanted > 1)}"
    return f"{one.seeds} of {wanted} seeds, the others not measured"


def _worth_phrase(worth: Exchange | None) -> str:
    if worth is None or not np.isfinite(worth.value):
        return ""
    if worth.low is not None and worth.high is not None and worth.value < 0 and worth.high < 0:
        harm = f"{-worth.value:.0f} ({-worth.high:.0f} to {-worth.low:.0f})"
        return f" 1000 of its sentences do at most the harm of losing {harm} real ones."
    beyond = " (no interval: beyond what was looked at)" if worth.low is None else ""
    return f" 1000 of its sentences are worth {worth.said()} fresh real ones{beyond}."
