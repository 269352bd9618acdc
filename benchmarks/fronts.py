"""What the grids tell of their kept results: seeds of an arm, fronts over temperatures as rows, page and picture."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textgan.errors import InputError
from textgan.experiment import Job, read_results
from textgan.metrics.fronts import Matched, Point, matched
from textgan.report.fronts import fronts

LIKELIHOODS = ("mle", "mle-equal", "mle-papers")  # the first rows of a table

Front = Mapping[str, Mapping[str, float]]  # temperature -> score -> value
Seeds = Mapping[int, Front]  # seed -> its front


def seeds_of(jobs: Iterable[Job], results: Path, word: str = "") -> dict[str, list[dict[str, Any]]]:
    """Arm -> the results of its seeds that are there; maximum likelihood first. word: what names of jobs begin with."""
    found: dict[str, list[dict[str, Any]]] = {}
    kept = read_results(results, word)
    for job in jobs:
        if job.name in kept:
            found.setdefault(job.name.removeprefix(word).rpartition("-")[0], []).append(kept[job.name])
    ahead = [name for name in LIKELIHOODS if name in found]
    return {name: found[name] for name in dict.fromkeys([*ahead, *found])}


def front_page(
    models: Mapping[str, Seeds], real: Mapping[str, float], better: Mapping[str, str], *,
    diversity: str, qualities: Sequence[str], about: str, rightwards: str = "repeats itself more",
    knobs: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """All models' curves in each plot, real text, and each model against maximum likelihood at matched diversity.

    models: by name. knobs: as in `report.fronts`.
    """
    said, single, notes = [], [], []
    for name, quality, found in against_mle(models, better, diversity=diversity, qualities=qualities):
        if isinstance(found, str):
            notes.append(f"not compared: {name}, {quality}: {found}")
        else:
            (said if found.runs > 1 else single).append(found.sentence)
    if single:
        said.append(f"{len(single)} comparisons are of one run each, which is no claim; they stand under Notes.")
    curves = {name: [(float(t), means(seeds, t, better)) for t in first(seeds)] for name, seeds in models.items()}
    return fronts(
        curves, real, better=better, diversity=diversity, rightwards=rightwards, sentences=said,
        notes=[*single, *notes], about=about, knobs=knobs,
    )  # fmt: skip


def against_mle(
    models: Mapping[str, Seeds], better: Mapping[str, str], *, diversity: str, qualities: Sequence[str]
) -> Iterator[tuple[str, str, Matched | str]]:
    """Each model, each quality: what matching it with maximum likelihood at equal diversity says, or why it cannot.

    Seeds are paired: a game begins with its seed's maximum likelihood, whose own luck is no merit of it.
    """

    def points(name: str, quality: str, seeds: Seeds) -> list[list[Point]]:
        wanted = (diversity, quality)
        return [
            [Point(float(t), *(x[w] for w in wanted)) for t, x in front.items() if all(w in x for w in wanted)]
            for seed, front in models[name].items()
            if seed in seeds
        ]

    for name in models if "mle" in models else ():
        for quality in qualities if name != "mle" else ():
            try:
                ours, base = points(name, quality, models["mle"]), points("mle", quality, models[name])
                yield name, quality, matched(ours, base, better=better[quality], names=(name, "mle"), quality=quality)
            except InputError as error:
                yield name, quality, str(error)


def matched_rows(
    models: Mapping[str, Seeds], better: Mapping[str, str], *, diversity: str, qualities: Sequence[str]
) -> list[str]:
    """Markdown: a row a model, its mean difference to maximum likelihood over the diversities that both reach."""
    heads = [f"{quality} ({better[quality]})" for quality in qualities]
    lines = [f"| against `mle` at equal {diversity} | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    cells: dict[str, list[str]] = {}
    for name, _, found in against_mle(models, better, diversity=diversity, qualities=qualities):
        cells.setdefault(name, []).append("" if isinstance(found, str) else _gap(found))
    return lines + [f"| {seeded(name, models[name])} | {' | '.join(row)} |" for name, row in cells.items()]


def _gap(found: Matched) -> str:
    """The mean difference, with its interval where there are seeds enough for one."""
    if found.area_low is None or found.area_high is None:
        return f"{found.area:+.3f}"
    return f"{found.area:+.3f} ({found.area_low:+.3f} to {found.area_high:+.3f})"


def picture(
    models: Mapping[str, Seeds], real: Mapping[str, float], better: Mapping[str, str], path: Path, *,
    panels: Sequence[tuple[str, str]],
) -> None:  # fmt: skip
    """The fronts as one SVG, a panel for each pair of scores: means over seeds, a ring at T = 1 (or top-p 1).

    Maximum likelihood is black, real text a star; NAME-something has NAME's colour and a broken line. A panel shows
    what is not far from maximum likelihood and real text.
    """
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = path.stem  # the same figures, the same bytes
    from matplotlib import colormaps, pyplot

    size = (5 * len(panels) + 2, max(5, 0.2 * len(models)))  # inches, with room for the legend
    figure, axes = pyplot.subplots(1, len(panels), figsize=size, layout="constrained")
    whole = [name for name in models if name != "mle"]
    of = {name: next((game for game in whole if name.startswith(f"{game}-")), name) for name in models}
    tab20, more = colormaps["tab20"].colors, colormaps["tab20b"].colors
    own = [name for name in models if of[name] == name != "mle"]
    colours = {"mle": "black"} | dict(zip(own, [*tab20[::2], *tab20[1::2], *more[::2]], strict=False))
    for axis, scores in zip(axes, panels, strict=True):
        for name, seeds in models.items():
            curve = {t: means(seeds, t, scores) for t in sorted(first(seeds), key=float)}
            at = [t for t, p in curve.items() if len(p) == len(scores)]
            xs, ys = ([curve[t][score] for t in at] for score in scores)
            if name == "mle":
                axis.set_xlim(*_room([real[scores[0]], *xs]))
                axis.set_ylim(*_room([real[scores[1]], *ys]))
            (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
            within = any(left <= x <= right and bottom <= y <= top for x, y in zip(xs, ys, strict=True))
            colour, width, line = colours[of[name]], 2.2 if name == "mle" else 1.5, "-" if of[name] == name else "--"
            label = name if within else f"{name} (outside)"
            axis.plot(xs, ys, line, marker=".", label=label, color=colour, linewidth=width)
            if "1" in at:
                one = at.index("1")
                axis.plot(xs[one], ys[one], marker="o", markersize=8, fillstyle="none", color=colour)
        x, y = scores
        axis.plot(real[x], real[y], marker="*", markersize=13, color="#b8860b", linestyle="none", label="real text")
        axis.set(xlabel=f"{x} ({better[x]} is better)", ylabel=f"{y} ({better[y]} is better)")
        axis.spines[["top", "right"]].set_visible(False)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _room(seen: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis that shows these and a little more."""
    more = 0.3 * (max(seen) - min(seen))
    return min(seen) - more, max(seen) + more


def first(seeds: Seeds) -> Front:
    """The front of the first seed."""
    return next(iter(seeds.values()))


def means(seeds: Seeds, t: str, names: Iterable[str]) -> dict[str, float]:
    """Of each score, its mean over the seeds at a temperature, where all of them have it."""
    found = {name: [front[t][name] for front in seeds.values() if name in front.get(t, {})] for name in names}
    return {name: statistics.mean(values) for name, values in found.items() if len(values) == len(seeds)}


def seeded(name: str, results: Collection[Any]) -> str:
    return f"{name}, {len(results)} seed{'s' * (len(results) > 1)}"


def spread(values: Iterable[float | None]) -> str:
    """Mean and standard deviation over seeds; nothing where a score was not to be had."""
    known = list(values)
    found = [x for x in known if x is not None]
    if not found or len(found) < len(known):
        return ""
    mean = f"{statistics.mean(found):.3f}"
    return f"{mean} ± {statistics.stdev(found):.3f}" if len(found) > 1 else mean
