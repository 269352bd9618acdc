"""What a sceptic asks before the figures count: was real-only tuned, had the arms one budget, could D choose?

From the rows of results.jsonl. Rows that were kept before some of this stood in them are not asked for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textgan.laboratory.arms import ARMS
from textgan.laboratory.lab import rate_in
from textgan.laboratory.study import Study
from textgan.readable import DASH, number
from textgan.report.markup import Markup, join, table, tag

OFTEN = 0.5  # of the seeds at an edge of the grid, from which on it is warned of
FOLLOWERS = ("matched", "duplicated")  # whose rate is that of all other arms
AT = {"steps": "", "passes": " at equal passes"}
CHOSE = {"steps": "real-only's best at all its steps", "passes": "that of real-only at as many steps"}
AT_ODDS = "Warning, N = {:,}: "

Row = Mapping[str, Any]


def noted(study: Study, rows: Sequence[Row], trained: Mapping[str, Row]) -> list[str]:
    """For page and terminal: the learning rates that were chosen, and a line that begins with Warning for each thing
    that speaks against the experiment. trained: what the jobs have given, by name; D's choices are among it."""
    return [*tuned(study, rows), *unequal(study, rows), *doubtful(trained)]


def rates(rows: Sequence[Row], n: int, arms: Sequence[str] = ("real",)) -> dict[float, int]:
    """Learning rate, ascending -> the seeds on which these arms have it; empty where the rows do not say."""
    found = {
        row["seed"]: rate for row in rows
        if row["n"] == n and row["arm"] in arms and (rate := row.get("rate") or rate_in(row.get("training", "")))
    }  # fmt: skip
    return dict(sorted(Counter(found.values()).items()))


def edges(study: Study, found: Mapping[float, int]) -> list[tuple[float, str]]:
    """The rates at an edge of the grid that OFTEN or more of the seeds have, and what the grid lacks beside each."""
    grid, seeds = study.tuning.learning_rates, sum(found.values())
    lacking = [
        (rate, ["a smaller one"] * (rate <= min(grid)) + ["a larger one"] * (rate >= max(grid)))
        for rate, count in found.items() if count >= OFTEN * seeds
    ]  # fmt: skip
    return [(rate, " and ".join(what)) for rate, what in lacking if what]


def counted(found: Mapping[float, int]) -> str:
    """In words: 0.0005 on 7 of 8 seeds, 0.001 on 1."""
    (rate, count), *others = found.items()
    return ", ".join([f"{rate:g} on {count} of {sum(found.values())} seeds", *(f"{r:g} on {k}" for r, k in others)])


def tuned(study: Study, rows: Sequence[Row]) -> list[str]:
    """Of each N which learning rate was chosen on how many seeds, and a warning where the grid may end too early."""
    said = []
    for n in study.lines:
        if not (own := rates(rows, n)):
            continue
        found, beside = {"real-only arm's": own}, ""
        for regime in study.regimes:
            there = [row for row in rows if row["regime"] == regime and row["ratio"] in (0, study.ratio)]
            if others := rates(there, n, FOLLOWERS):
                beside += f"; of all others{AT[regime]} ({CHOSE[regime]}) {counted(others)}"
                found[f"other arms'{AT[regime]}"] = others
        said.append(f"N = {n:,}: learning rate of real-only {counted(own)}{beside}.")
        known: list[tuple[float, str]] = []
        for whose, counts in found.items():
            said += [
                f"{AT_ODDS.format(n)}the {whose} rate is at the edge of its grid ({rate:g} on {counts[rate]} of "
                f"{sum(counts.values())} seeds): it may not be tuned; add {what}."
                for rate, what in edges(study, counts) if (rate, what) not in known
            ]
            known += edges(study, counts)
    return said


def unequal(study: Study, rows: Sequence[Row]) -> list[str]:
    """Of each N a warning where arms at equal steps have had unequal steps or tokens; real-only may take fewer."""
    said = []
    for n in study.lines:
        had: dict[tuple[int, int], list[str]] = {}
        for row in rows:
            if (row["n"], row["regime"]) == (n, "steps") and row["arm"] != "real" and "tokens" in row:
                had.setdefault((row["steps"], row["tokens"]), []).append(row["arm"])
        if len(had) > 1:
            each = "; ".join(f"{t:,} tokens in {s:,} steps {', '.join(dict.fromkeys(a))}" for (s, t), a in had.items())
            said.append(f"{AT_ODDS.format(n)}budgets at equal steps are not equal: {each}.")
    return said


def doubtful(trained: Mapping[str, Row]) -> list[str]:
    """One warning that names the pools in which something speaks against D's choice; the page says what."""
    pools = {name: found["warnings"] for name, found in trained.items() if name.startswith("select-")}
    doubted = [f"{name.removeprefix('select-')} ({len(said)})" for name, said in pools.items() if said]
    if not doubted:
        return []
    named = f"{len(doubted)} of {len(pools)} pools: {', '.join(doubted)}"
    return [f"Warning: something speaks against D's choice in {named}; the page says what."]


def budgets(study: Study, rows: Sequence[Row], n: int, regime: str) -> Markup | None:
    """What each arm's fine-tuning had at the main ratio, as a table; None where the rows do not say."""
    body = []
    for arm in study.arms:
        at = ("steps", 0.0) if arm == "real" else (regime, study.ratio)
        mine = [row for row in rows if (row["arm"], row["n"], row["regime"], row["ratio"]) == (arm, n, *at)]
        if mine := [row for row in mine if "tokens" in row]:
            cells = [_span([row[key] for row in mine]) for key in ("steps", "tokens", "best_step")]
            chosen = [row["rate"] for row in mine if "rate" in row]
            cells.append(_span(chosen, lambda rate: f"{rate:g}") if chosen else DASH)
            body.append([arm, number(len(mine)), *cells])
    if not body:
        return None
    equal = "they are not equal" if unequal(study, [row for row in rows if row["n"] == n]) else "equal to the token"
    said = {
        "steps": f"{equal}, but for real-only, whose steps are tuned too",
        "passes": "steps grow with an arm's text, so that each passes over its real lines as often",
    }[regime]
    head = ["arm", "seeds", "steps", "tokens", "best step", "learning rate"]
    return table(head, body, caption=f"Budgets at equal {regime}: {said} (least to most over the seeds)")


def _span(values: Sequence[float], written: Callable[[float], str] = number) -> str:
    return " to ".join(dict.fromkeys(written(end) for end in (min(values), max(values))))


def chosen_by_d(row: Row, trained: Mapping[str, Row]) -> dict[str, Any]:
    """{"selection": ...} for a row of a selected arm: how far its D can be trusted, and what was left of its pool."""
    found = trained.get(f"select-{ARMS[row['arm']].temperature}-N{row['n']}-s{row['seed']}")
    if found is None or not ARMS[row["arm"]].judged:
        return {}
    of_d = {key: found["diagnostics"][key] for key in ("auc", "ece", "effective_sample")}
    return {"selection": of_d | {"funnel": found["funnel"], "warnings": found["warnings"]}}


def pools(trained: Mapping[str, Row]) -> Markup:
    """The funnel of each pool and its D's figures, as a table, and below it what speaks against D's choice."""
    body, against = [], []
    for name, found in trained.items():
        if name.startswith("select-"):
            d, funnel, pool = found["diagnostics"], found["funnel"], name.removeprefix("select-")
            share = f"{100 * d['effective_sample']:.1f} %"
            body.append([pool, *map(number, (*funnel.values(), d["auc"], d["ece"])), share])
            against += [tag("li", tag("b", pool), f": {warning}") for warning in found["warnings"]]
    if not body:
        return tag("p", "No arm selected anything.", class_="about")
    head = ["pool", *funnel, "D's AUC", "D's ECE", "effective sample"]
    shown = table(head, body, caption="The funnel of each pool, and D on real lines that the generator never saw")
    return join([shown, tag("ul", *against, class_="missing") if against else None])
