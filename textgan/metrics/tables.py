"""An evaluation as a person reads it: for the terminal, as CSV, HTML and LaTeX."""

from __future__ import annotations

import csv
import html
import io
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from textgan.readable import columns, printable

from .score import Score

ARROWS = {"higher": "↑", "lower": "↓", "match": "="}
_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    c: "\\" + c for c in "&%$#_{}"
}


class Evaluation(NamedTuple):
    """What `evaluate` found.

    scores: the text's figures; real: real text's own under the same metrics at the same n; verdicts: by name, what
    their difference supports at 5 % over all of them (Holm); absent: by name, why a metric has no value.
    """

    scores: list[Score]
    real: list[Score]
    text: str
    reference: str
    n: int
    seed: int
    warnings: list[str]
    absent: dict[str, str]
    verdicts: dict[str, str]
    notes: list[str]
    protocol: str = "default"

    def to_json(self) -> dict[str, Any]:
        """Plain values only: {"text", "reference", "n", "seed", "scores": [...], "real": [...], ...}."""
        return {
            **self._asdict(),
            "scores": [score._asdict() for score in self.scores],
            "real": [score._asdict() for score in self.real],
        }

    def value(self, name: str) -> float:
        """The text's figure of this name; KeyError with the reason when it is absent."""
        for score in self.scores:
            if score.name == name:
                return score.value
        raise KeyError(f"{name} was not measured: {self.absent.get(name, 'it was not asked for')}")

    def to_table(self) -> str:
        """Lines for a terminal: metric, value, real text's value, the better direction, and the verdict."""
        return to_text(self)

    def to_csv(self) -> str:
        """One line a metric."""
        return to_csv(self)

    def to_html(self) -> str:
        """One self-contained page."""
        return to_html(self)

    def to_tex(self) -> str:
        """A LaTeX tabular."""
        return to_tex(self)


class Row(NamedTuple):
    """One metric: the text's score, real text's, and what their difference supports ("" where nothing can be said)."""

    score: Score
    real: Score | None
    verdict: str


def rows(evaluation: Evaluation) -> Iterator[Row]:
    """The metrics in order, each with real text's own score beside it."""
    real = {score.name: score for score in evaluation.real}
    for score in evaluation.scores:
        yield Row(score, real.get(score.name), evaluation.verdicts.get(score.name, ""))


def with_interval(score: Score | None) -> str:
    """ "0.3434 ± 0.0043" (two digits of the error, the value to the same place), "0.3434", or "-" for nothing."""
    if score is None:
        return "-"
    half = 0.0 if score.low is None or score.high is None else (score.high - score.low) / 2
    if half <= 0:
        return number(score.value) + ("" if score.low is None else " ± 0")
    places = max(0, 1 - math.floor(math.log10(half)))
    return f"{score.value:.{places}f} ± {half:.{places}f}"


def number(value: float) -> str:
    """Four significant digits; whole numbers in full."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"


def brief(verdict: str) -> str:
    """A verdict that fits a column under the heading "than real text": "less diverse", "copied"."""
    first = verdict.split(":")[0].replace("the training text", "training")
    return re.sub(r" ?(than|from)? ?real text( is)?(, .*)?$", "", first)


def together(names: Iterable[str]) -> str:
    """Names in one line, neighbouring orders as one: "BLEU-2..5, duplicates"."""
    spans: list[tuple[str, int, int, str]] = []
    for name in names:
        before, order, after = re.fullmatch(r"(.*?)(\d*)([^\d]*)", name).groups()  # type: ignore[union-attr]
        if order and spans and spans[-1][0] == before and spans[-1][2] + 1 == int(order) and spans[-1][3] == after:
            spans[-1] = (before, spans[-1][1], int(order), after)
        else:
            spans.append((before, int(order or 0), int(order or -1), after))
    return ", ".join(
        before + ("" if last < 0 else str(first) if first == last else f"{first}..{last}") + after
        for before, first, last, after in spans
    )


def summary(evaluation: Evaluation) -> list[str]:
    """The verdicts in short: one line a verdict, with the metrics that say so."""
    said: dict[str, list[str]] = {}
    for score, _, verdict in rows(evaluation):
        if verdict:
            said.setdefault(verdict, []).append(score.name)
    return [f"{verdict}: {together(names)}" for verdict, names in said.items()]


def heading(evaluation: Evaluation) -> str:
    """What was measured, in one line."""
    return (
        f"{evaluation.text}: {evaluation.n} lines (seed {evaluation.seed}) against {evaluation.reference},"
        f" protocol {evaluation.protocol}"
    )


def notes(evaluation: Evaluation) -> list[str]:
    """What was not measured and why, and the warnings."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in evaluation.absent.items():
        by_reason.setdefault(reason, []).append(name)
    lines = [f"not measured: {together(names)}: {reason}" for reason, names in by_reason.items()]
    return (
        lines
        + [f"note: {note}" for note in evaluation.notes]
        + [f"warning: {warning}" for warning in evaluation.warnings]
    )


def to_text(evaluation: Evaluation) -> str:
    """Columns for a terminal of 80, under the verdicts in short."""
    table = [("metric", "text", "real text", "", "than real text")]
    for score, real, verdict in rows(evaluation):
        table.append((score.name, with_interval(score), with_interval(real), ARROWS[score.better], brief(verdict)))
    short = [*summary(evaluation), ""] if evaluation.verdicts else []
    key = "± half of a 95 % interval; better: ↑ higher, ↓ lower, = as real text" if len(table) > 1 else ""
    said = [heading(evaluation), "", *short, *columns(table, rule=True), "", key, *notes(evaluation)]
    return "\n".join(printable(line) for line in said)


def to_csv(evaluation: Evaluation) -> str:
    """One line a metric; cells that a spreadsheet would take for a formula are escaped."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = ["name", "value", "low", "high", "better", "n", "signature", "real", "real_low", "real_high", "verdict"]
    writer.writerow(names)
    for score, real, verdict in rows(evaluation):
        beside = ("", "", "") if real is None else (real.value, _blank(real.low), _blank(real.high))
        mine = (score.value, _blank(score.low), _blank(score.high))
        writer.writerow(
            [_safe(score.name), *mine, score.better, score.n, _safe(score.signature), *beside, _safe(verdict)]
        )
    return out.getvalue()


def _blank(value: float | None) -> float | str:
    return "" if value is None else value


def _safe(cell: str) -> str:
    return "'" + cell if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def to_html(evaluation: Evaluation) -> str:
    """One self-contained page, nothing loaded and nothing run."""
    head = "".join(f"<th>{name}</th>" for name in ("metric", "text", "real text", "better", "verdict"))
    body = "".join(
        f'<tr title="{html.escape(score.signature)}"><td>{html.escape(score.name)}</td><td>{_small(score)}</td>'
        f"<td>{_small(real)}</td><td>{ARROWS[score.better]}</td><td>{html.escape(verdict)}</td></tr>\n"
        for score, real, verdict in rows(evaluation)
    )
    short = "".join(f"<li>{html.escape(line)}</li>\n" for line in summary(evaluation))
    below = "".join(f"<p>{html.escape(note)}</p>\n" for note in notes(evaluation))
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222}"
        "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{text-align:left;"
        "padding:.25rem .6rem;border-bottom:1px solid #ddd}h1{font-size:1.15rem;font-weight:600}p{color:#555}"
        "small{color:#666;white-space:nowrap}@media(max-width:40rem){body{font-size:12px;padding:0 .5rem}"
        "th,td{padding:.2rem .25rem;overflow-wrap:break-word}small{display:block}"
        "td:nth-child(2),td:nth-child(3){white-space:nowrap}}"
    )
    title = html.escape(heading(evaluation))
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{style}</style>\n<h1>{title}</h1>\n<ul>\n{short}</ul>\n<table><thead><tr>{head}</tr></thead>\n<tbody>\n"
        f"{body}</tbody></table>\n{below}</html>\n"
    )


def _small(score: Score | None) -> str:
    value, sign, half = with_interval(score).partition(" ± ")
    return f"{value} <small>± {half}</small>" if sign else value


def to_tex(evaluation: Evaluation) -> str:
    """A LaTeX tabular (booktabs); the signatures follow as comments."""
    arrows = {"higher": r"$\uparrow$", "lower": r"$\downarrow$", "match": "$=$"}
    lines = [r"\begin{tabular}{llllr}", r"\toprule", r"metric & text & real text & better & $n$ \\", r"\midrule"]
    for score, real, _ in rows(evaluation):
        cells = (_tex(score.name), _tex(with_interval(score)), _tex(with_interval(real)))
        lines.append(" & ".join([*cells, arrows[score.better], str(score.n)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines + ["% " + printable(score.signature) for score in evaluation.scores]) + "\n"


def _tex(cell: str) -> str:
    return "".join(_TEX.get(char, char) for char in cell).replace("±", r"$\pm$")
