"""How an experiment stands before its test text is opened: what the validation text says so far, and no more.

Choices are made on the validation text (learning rates, temperatures, the weights of the best step), so its figures
flatter whoever had more to choose from: they show that a run of many hours goes as it should, and support no claim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from textgan.laboratory.cells import training_jobs
from textgan.laboratory.lab import Lab, Place, nll_of
from textgan.laboratory.statistics import BEST, best_real, paired
from textgan.readable import DASH, columns, number, signed
from textgan.report.markup import Markup, table, tag

HEAD = ("N", "regime", "ratio", "arm", "seeds done", "validation NLL a byte", "against the best real-only arm")


class Arm(NamedTuple):
    """An arm so far. nll: validation NLL, nats a byte, mean over the seeds that are done, `seeds` of `wanted`.

    relative: the mean difference from `against`, the best real-only arm, over the seeds that both have, as a share of
    its NLL, negative where the arm is better; None where no seed has both.
    """

    n: int
    regime: str
    ratio: float
    arm: str
    seeds: int
    wanted: int
    nll: float
    relative: float | None
    against: str

    def cells(self) -> list[str]:
        """Under HEAD."""
        gap = "the best" if self.arm == self.against else f"{signed(100 * (self.relative or 0), 2)} % ({self.against})"
        done = f"{self.seeds} of {self.wanted}"
        return [
            number(self.n), self.regime, number(self.ratio), self.arm, done, number(self.nll, 4),
            DASH if self.relative is None else gap,
        ]  # fmt: skip


class Standing(NamedTuple):
    """above: the sentence over the figures. arms: those of which a seed is done."""

    above: str
    arms: list[Arm]

    def lines(self) -> list[str]:
        """For a terminal."""
        return [self.above, *columns([HEAD, *(arm.cells() for arm in self.arms)])]

    def section(self) -> Markup:
        """For the page."""
        rows = [arm.cells() for arm in self.arms]
        shown = table(HEAD, rows, caption="Negative: better than real lines alone", text_columns=(1, 3, 4, 6))
        return tag("section", tag("h2", "So far, on the validation text"), tag("p", self.above, class_="about"), shown)


def so_far(lab: Lab, trained: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each place whose trainings are done, by name, with the chosen one's validation NLL and learning rate;
    the NLL stands where that of the test text will, for the same statistics."""
    rows = list[dict[str, Any]]()
    for place in lab.places():
        candidates = lab.candidates(place)
        if all(training.name in trained for training in candidates):
            best = min(candidates, key=lambda training: nll_of(trained[training.name]))
            nll = nll_of(found := trained[best.name])
            if math.isinf(nll):
                continue  # all are lost
            chosen = {"nll_per_byte": nll, "valid_nll_per_byte": nll, "rate": best.rate or found.get("rate")}
            rows.append(place._asdict() | chosen)
    return rows


def standing(lab: Lab, trained: Mapping[str, Mapping[str, Any]], failed: int) -> Standing | None:
    """Of what is trained, by name of the training; None where no arm is."""
    study, rows = lab.study, so_far(lab, trained)
    values: dict[Place, list[float]] = {}
    for row in rows:
        values.setdefault(Place(row["arm"], row["n"], 0, row["ratio"], row["regime"]), []).append(row["nll_per_byte"])
    arms = []
    for (arm, n, _, ratio, regime), found in values.items():
        gap, best = None, ""
        if regime in study.regimes and any(row["n"] == n and row["arm"] == "real" for row in rows):
            gap, best = paired(study, rows, arm, BEST, n, regime, ratio), best_real(rows, n, regime, ratio)
        mean = sum(found) / len(found)
        arms.append(Arm(n, regime, ratio, arm, len(found), study.seeds, mean, gap and gap.relative, best))
    if not arms:
        return None
    jobs = [job.name for job in training_jobs(lab.out)]
    done = sum(name in trained for name in jobs)
    return Standing(
        f"Nothing is measured on the test text: {done:,} of {len(jobs):,} trainings and what they need are done, "
        f"{failed:,} failed. On the validation text, which supports no claim:", arms,
    )  # fmt: skip
