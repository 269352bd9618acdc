"""What an audit found: its figures, and the same as JSON, as tables of text and as sentences."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from textgan.augmentation.audit.constrain import Constrained
from textgan.augmentation.audit.counterfactual import Counterfactual
from textgan.augmentation.audit.lexicon import Lexicon
from textgan.augmentation.audit.privacy import Overlap
from textgan.augmentation.audit.sensitivity import Setting
from textgan.augmentation.audit.shares import Amplification, Distance, Share
from textgan.readable import columns, number, percent, printable, signed, span

Table = tuple[str, Sequence[str], list[list[str]]]  # caption, head, rows
UNITS = {"generator": " nats", "language model": " nats", "discriminator": " in its logit"}  # others have their own
ALIKE = 0.05  # of the control's lines; where more of them stand in the training text, the reader must know
LINES = {"pool": "the pool's lines", "selected": "the selected lines"}
UNSEEN = 1.44  # bits of exposure that a line has on average which no model saw: 1 / ln 2


class Audit(NamedTuple):
    """What was found.

    By text (real, control, pool, selected, weighted): shares of the groups, and cells, the shares of lines by the very
    groups they mention. By text but real: differences of shares from real text's (value, low, high), distances (total
    variation), amplification. constrained: by way, the selected rows brought to real text's shares. counterfactual: by
    model. sensitivity: one Setting a mix. overlap: of the pool and, where not all was selected, of the selected lines.
    exposure: by model, bits of each canary. extracted: the share of the canaries that stand in those two texts. absent:
    what could not be had, and why. about: texts, hashes, lexicon and seed.
    """

    about: dict[str, Any]
    lexicon: Lexicon
    shares: dict[str, dict[str, Share]]
    cells: dict[str, dict[str, float]]
    differences: dict[str, dict[str, tuple[float, float, float]]]
    distances: dict[str, Distance]
    amplification: dict[str, Amplification]
    constrained: dict[str, Constrained]
    counterfactual: dict[str, Counterfactual]
    sensitivity: list[Setting]
    overlap: dict[str, Overlap]
    exposure: dict[str, list[float]]
    extracted: dict[str, float]
    absent: dict[str, str]

    def findings(self) -> list[str]:
        """What the figures support, a sentence each."""
        return sentences(self)

    def to_json(self) -> dict[str, Any]:
        """Plain values only."""
        groups = {name: list(words) for name, words in self.lexicon.groups.items()}
        return {
            "about": self.about,
            "groups": groups,
            "shares": {text: {g: s._asdict() for g, s in found.items()} for text, found in self.shares.items()},
            "cells": self.cells,
            "differences": {
                text: {g: dict(zip(("value", "low", "high"), d, strict=True)) for g, d in found.items()}
                for text, found in self.differences.items()
            },
            "total_variation": {text: found._asdict() for text, found in self.distances.items()},
            "amplification": {text: found._asdict() for text, found in self.amplification.items()},
            "constrained": {
                way: {
                    "target": done.target,
                    "achieved": done.achieved,
                    "rows": len(done.rows),
                    "effective_sample": done.effective_sample,
                }
                for way, done in self.constrained.items()
            },
            "counterfactual": {
                model: {
                    "size": found.size._asdict(),
                    "toward": {way: shift._asdict() for way, shift in found.toward.items()},
                }
                for model, found in self.counterfactual.items()
            },
            "sensitivity": [setting._asdict() for setting in self.sensitivity],
            "overlap": {
                text: over._asdict()
                | {"verbatim": over.verbatim._asdict(), "ngram": None if over.ngram is None else over.ngram._asdict()}
                for text, over in self.overlap.items()
            },
            "canaries": {"exposure": self.exposure, "extracted": self.extracted}
            if self.exposure or self.extracted
            else None,
            "absent": self.absent,
            "findings": self.findings(),
        }

    def to_lines(self) -> list[str]:
        """Tables for a terminal, the sentences last."""
        shown = [[*columns([head, *rows]), ""] for _, head, rows in tables(self)]
        lacking = [f"not measured: {what}: {why}" for what, why in self.absent.items()]
        return [*itertools.chain(*shown), *map(printable, [*self.findings(), *lacking])]


def sentences(done: Audit) -> list[str]:
    """The sentences that the figures support."""
    said = []
    texts = [text for text in done.differences if text != "control"]
    for text in dict.fromkeys((texts[0], texts[-1])):  # the pool as it came, and as it would be used
        for group, (value, low, high) in done.differences[text].items():
            verdict = "more than" if low > 0 else "less than" if high < 0 else "not told apart from"
            said.append(
                f"{percent(done.shares[text][group].share)} of the {text} lines mention {group}, {verdict} real text's "
                f"{percent(done.shares['real'][group].share)} (difference {signed(100 * value, 2)} points, 95 % "
                f"interval {span(low, high)})."
            )
    said += _copied(done)
    for model, found in done.counterfactual.items():
        size = found.size
        said.append(
            f"Swapping the groups moves what the {model} makes of a line by {number(size.mean)}{UNITS.get(model, '')} "
            f"on average (95 % interval {number(size.low)} to {number(size.high)}, {size.lines} lines)."
        )
    said += [_exposed(bits, model) for model, bits in done.exposure.items()]
    if done.extracted:
        held = (f"{LINES[text]} hold {percent(share) if share else 'none'}" for text, share in done.extracted.items())
        said.append(f"Of the canaries {' and '.join(held)}.")
    return said


def _exposed(bits: Sequence[float], model: str) -> str:
    """Of lines that were never seen, ln 2 times the bits is exponential, their sum Gamma(n, 1), and the largest of n
    has B bits or more with chance 1 - (1 - 2^-B)^n."""
    from scipy.stats import gamma

    n, mean, most = len(bits), statistics.fmean(bits), max(bits)
    by_chance, largest = float(gamma.sf(sum(bits) * math.log(2), n)), 1 - (1 - 2**-most) ** n
    verdict = "they are remembered" if min(by_chance, largest) < 0.025 else "nothing is shown to be remembered"
    return (
        f"In the {model} the {n} canaries are exposed by {mean:.2f} bits on average, where lines that were never seen "
        f"have {UNSEEN} (by chance with p = {number(by_chance, 2)}), and the most exposed one by {most:.2f} (p = "
        f"{number(largest, 2)}): {verdict}."
    )


def _copied(done: Audit) -> list[str]:
    """What was copied, of the pool as it came and of what is used of it."""
    said = []
    kinds = [(text, over, kind) for kind in ("ngram", "verbatim") for text, over in done.overlap.items()]
    for text, over, kind in kinds:
        found = getattr(over, kind)
        if found is None:
            continue
        what = "the whole line" if kind == "verbatim" else f"a run of {over.order} words"
        much = f"{percent(found.train)} of {LINES[text]} share {what} with {over.size:,} lines of the training text"
        other = f"{percent(found.control)} with as many that were never seen"
        gap = f"difference {signed(100 * found.difference, 2)} points, 95 % interval {span(found.low, found.high)}"
        verdict = "lines came through" if found.above else "no copying beyond the language itself is shown"
        if found.high < 0:
            verdict = "the control is nearer, so the two are no draws of one text, and nothing is shown either way"
        said.append(f"{much}, {other} ({gap}): {verdict}.")
    if done.overlap:
        whole = (f"{percent(over.whole)} of {LINES[text]}" for text, over in done.overlap.items())
        said.append(f"With all of the training text {' and '.join(whole)} share the whole line.")
    if done.overlap and (shared := done.about["control"]["also_in_real"]) > ALIKE:
        said.append(
            f"{percent(shared)} of the control's lines stand in the training text too, so it is a weak control."
        )
    return said


def tables(done: Audit) -> list[Table]:
    """All figures, as tables of text."""
    found: list[Table] = []
    rows = []
    for text, groups in done.shares.items():
        for group, share in groups.items():
            gap = done.differences.get(text, {}).get(group)
            shown = ["-", "-"] if gap is None else [signed(100 * gap[0], 2), span(gap[1], gap[2])]
            rows.append([text, group, number(share.lines), number(share.n), percent(share.share),
                         span(share.low, share.high), *shown])  # fmt: skip
    head = ["text", "group", "lines", "of", "share", "95 %", "minus real", "95 %"]
    found.append(("Lines that mention a group; intervals in per cent and percentage points", head, rows))
    rows = [[text, number(gap.value), number(gap.chance), *_lean(done, text)] for text, gap in done.distances.items()]
    head = ["text", "total variation", "by chance below", "amplification", "95 %", "words"]
    found.append(("Distance from real text, and the change of lean of the words beside the groups", head, rows))
    rows = [
        [way, group, percent(made.target[group]), percent(share), number(len(made.rows)),
         number(made.effective_sample)]
        for way, made in done.constrained.items() for group, share in made.achieved.items()
    ]  # fmt: skip
    if rows:
        head = ["way", "group", "target", "achieved", "rows", "effective rows"]
        found.append(("The selected rows brought to real text's shares", head, rows))
    rows = [
        [model, way, number(shift.lines), signed(shift.mean), f"{signed(shift.low)} to {signed(shift.high)}"]
        for model, moved in done.counterfactual.items()
        for way, shift in (("size", moved.size), *moved.toward.items())
    ]
    if rows:
        found.append(("Swapped groups: change of the score", ["model", "swap", "lines", "mean", "95 %"], rows))
    rows = [
        [text, number(over.lines), what, percent(one.train), percent(one.control), signed(100 * one.difference, 2),
         span(one.low, one.high)]
        for text, over in done.overlap.items()
        for what, one in (("whole line", over.verbatim), (f"{over.order} words in a row", over.ngram))
        if one is not None
    ]  # fmt: skip
    if rows:
        size = next(iter(done.overlap.values())).size
        head = ["text", "lines", "found again", "in training text", "in control", "difference", "95 %"]
        found.append((f"Overlap with {size:,} lines of each text", head, rows))
    return found


def _lean(done: Audit, text: str) -> list[str]:
    lean = done.amplification.get(text)
    if lean is None:
        return ["-", "-", "-"]
    return [signed(lean.value), f"{signed(lean.low)} to {signed(lean.high)}", number(lean.words)]
