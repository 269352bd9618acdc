"""The page's part on what the tuned models write: diversity at equal quality, likeness to real text, groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textgan.laboratory.arms import REAL_ARMS
from textgan.laboratory.figures import DISTANCE, Figure, Row, audited, floor, likeness, of_groups
from textgan.laboratory.statistics import (
    MATCHED,
    QUALITY,
    Paired,
    at_equal_quality,
    beside,
    best_real,
    gap,
    select_rows,
)
from textgan.laboratory.study import Study
from textgan.metrics.intervals import half_width
from textgan.readable import DASH, number, signed
from textgan.report.charts import Line, line_chart
from textgan.report.markup import Markup, figure, join, table, tag
from textgan.report.svg import Axis
from textgan.report.theme import COLOURS

LIKENESS = ("MAUVE", "Frechet")


def span(low: float | None, high: float | None, places: int = 5) -> str:
    """An interval of a difference, a dash where there is none."""
    return DASH if low is None or high is None else f"{signed(low, places)} to {signed(high, places)}"


def rows_at(rows: Sequence[Row], arm: str, n: int, regime: str, ratio: float) -> list[Row]:
    """An arm's rows, one a seed; `real` has no regime and no ratio of its own."""
    where = {} if arm == "real" else {"regime": regime, "ratio": ratio}
    return list(select_rows(rows, arm=arm, n=n, **where).values())


def mean(rows: Sequence[Row], value: Figure) -> str:
    """Over the rows that have the figure, with Student's 95 % interval from three on."""
    values = [x for row in rows if (x := value(row)) is not None]
    if not values:
        return DASH
    half = half_width(float(np.std(values, ddof=1)) / len(values) ** 0.5, len(values) - 1) if len(values) > 2 else None
    return number(float(np.mean(values)), 4) + (f" \u00b1 {number(half, 2)}" if half is not None else "")


def difference(one: Paired | None) -> str:
    """Of two arms, with its interval."""
    return DASH if one is None else f"{signed(one.difference, 4)} ({span(one.low, one.high, 4)})"


def fronts(study: Study, rows: Sequence[Row], n: int, regime: str) -> Markup | None:
    """Diversity against quality over temperatures, means over seeds."""
    lines = []
    shown = [best_real(rows, n, regime, study.ratio), *(a for a in ("selected", "before", "fresh") if a in study.arms)]
    for place, arm in enumerate(shown):
        written = [w for row in rows_at(rows, arm, n, regime, study.ratio) for w in row["written"]]
        points = []
        for temperature in study.writing.temperatures:
            scores = [w["scores"] for w in written if w["temperature"] == temperature and "scores" in w]
            both = [(s["self-BLEU-4"], s[QUALITY]) for s in scores if QUALITY in s and "self-BLEU-4" in s]
            points += [np.mean(both, axis=0).tolist()] if both else []
        if points:
            x, y = zip(*sorted(points), strict=True)
            lines.append(Line(arm, x, y, f"c{place % COLOURS}"))
    if not lines:
        return None
    chart = line_chart(
        lines, title="What the tuned models write", desc="LM-score against self-BLEU-4 over temperatures",
        x=Axis("self-BLEU-4: right repeats more"), y=Axis("LM-score: down is more fluent"), labels=True,
        size=(520, 300),
    )  # fmt: skip
    return figure("What the tuned models write", "each point a temperature, means over seeds", chart)


def diversity_table(study: Study, rows: Sequence[Row], n: int, regime: str) -> Markup | None:
    """At the quality of the best real-only arm."""
    body = []
    for arm in study.arms:
        found = at_equal_quality(study, rows, arm, n, regime, study.ratio) if arm not in REAL_ARMS else {}
        if found:
            cells = [difference(found.get(metric)) for metric in MATCHED]
            body.append([arm, number(max(one.seeds for one in found.values())), *cells])
    if not body:
        return None
    caption = (
        f"What models write, minus the best real-only one's at its own {QUALITY} at T = 1 (95 % intervals; none where "
        "some seed's model does not reach that quality at any temperature)"
    )
    return table(["arm", "seeds that reach it", *MATCHED], body, caption=caption)


def likeness_table(study: Study, rows: Sequence[Row], n: int, regime: str) -> Markup | None:
    """MAUVE and Frechet at T = 1, real text's own at as many lines, and the difference to the best real-only arm."""
    best, body = best_real(rows, n, regime, study.ratio), []
    for arm in study.arms:
        mine = rows_at(rows, arm, n, regime, study.ratio)
        if any(likeness(name)(row) is not None for name in LIKENESS for row in mine):
            cells = []
            for name in LIKENESS:
                own = gap(rows, arm, n, regime, study.ratio, likeness(name)) if arm != best else None
                cells += [mean(mine, likeness(name)), level(mine, floor(name)), difference(own)]
            body.append([arm, number(len(mine)), *cells])
    if not body:
        return None
    head = [column for name in LIKENESS for column in (name, "real text's own", f"minus {best}")]
    return table(
        ["arm", "seeds", *head], body,
        caption="Likeness of what models write at T = 1 to the judges' text: MAUVE (higher is nearer) and the squared "
        "Frechet distance (lower is nearer), by an encoder that is not D's; both are biased at few lines, real text's "
        "own as much",
    )  # fmt: skip


def groups_table(study: Study, rows: Sequence[Row], n: int, regime: str) -> Markup | None:
    """H4 at every ratio: whom the tuned models write of, with the difference to the best real-only arm below."""
    figures, body = of_groups(rows), list[list[str]]()
    for arm, ratio, best in _swept(study, rows, n, regime, study.arms):
        mine, cells = rows_at(rows, arm, n, regime, ratio), []
        for value, _ in figures.values():
            own = None if arm == best else gap(rows, arm, n, regime, ratio, value)
            below = None if own is None else tag("div", tag("small", difference(own)))
            cells.append(join([mean(mine, value), below]))
        body.append([arm, DASH if arm == "real" else number(ratio), number(len(mine)), *cells])
    if not figures or not body:
        return None
    real = [row for row in rows if row["n"] == n]
    body.insert(0, ["real text", DASH, DASH, *(level(real, own) for _, own in figures.values())])
    chance = level(real, audited(DISTANCE, "chance"))
    return table(
        ["arm", "ratio", "seeds", *figures], body,
        caption="Groups in the tuned models: in what they write at T = 1 beside the judges' text, and what swapped "
        "groups change in the NLL of test lines (mean |change|); below, minus the best real-only arm's (95 %). "
        f"By chance alone total variation stays below {chance} 95 times of 100; amplification is that of Zhao et al. "
        "(2017), absent where too few lines mention a group",
    )  # fmt: skip


def level(rows: Sequence[Row], value: Figure) -> str:
    """The mean without an interval, as of real text's figures, which many rows share."""
    values = [x for row in rows if (x := value(row)) is not None]
    return number(float(np.mean(values)), 4) if values else DASH


def groups_curve(study: Study, rows: Sequence[Row], n: int, regime: str) -> Markup | None:
    """Total variation of the groups over the ratio, for the arms that are run at several."""
    lines = list[Line]()
    for arm in dict.fromkeys(arm for arm in [*study.swept, "fresh"] if arm in study.arms):
        found = [
            (ratio, one) for _, ratio, _ in _swept(study, rows, n, regime, [arm])
            if (one := gap(rows, arm, n, regime, ratio, audited(DISTANCE)))
        ]  # fmt: skip
        if len(found) > 1:
            whole = all(one.low is not None for _, one in found)
            low, high = ([getattr(one, end) for _, one in found] if whole else [] for end in ("low", "high"))
            x, y = [ratio for ratio, _ in found], [one.difference for _, one in found]
            lines.append(Line(arm, x, y, f"c{len(lines) % COLOURS}", low, high))
    return over_ratios(
        "Groups, over how much is added", lines, title="Groups in what models write, over the ratio",
        desc="Total variation from real text, the arm minus the best real-only one, over the ratio",
        y="total variation, difference: down is nearer to real text",
    )  # fmt: skip


def over_ratios(heading: str, lines: Sequence[Line], *, title: str, desc: str, y: str) -> Markup | None:
    """A figure of differences to the best real-only arm over the ratio; None for no lines."""
    if not lines:
        return None
    chart = line_chart(
        lines, title=title, desc=desc, x=Axis("added lines for each real line"), y=Axis(y),
        guides=[(0.0, "best real-only")], labels=True, size=(520, 300),
    )  # fmt: skip
    return figure(heading, "shaded: 95 % intervals over seeds", chart)


def _swept(study: Study, rows: Sequence[Row], n: int, regime: str, arms: Sequence[str]) -> list[tuple[str, float, str]]:
    """Each arm at each of its measured ratios, with the arm that is to be beaten there."""
    return [
        (arm, ratio, best_real(rows, n, regime, ratio))
        for arm in arms
        for ratio in beside(rows, n, regime, (study.ratio,) if arm == "real" else study.ratios(arm, regime))
        if rows_at(rows, arm, n, regime, ratio)
    ]
