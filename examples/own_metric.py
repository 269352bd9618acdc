"""A metric of one's own: with its interval, its signature and real text's row, beside those of the package.

    python examples/own_metric.py

A metric is a frozen dataclass whose fields are its settings. A mean over lines writes `per_line` (here); anything else
writes `measure`. To have it in `--metrics` too, put it into textgan/metrics/ and METRICS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import textgan
from textgan.metrics.score import Better, MeanMetric
from textgan.metrics.sets import Sets


@dataclass(frozen=True)
class Finished(MeanMetric):
    """Share of lines that end with one of the marks: text that breaks off has less of it than real text."""

    marks: str = ".!?"
    family: ClassVar[str] = "finished"
    better: ClassVar[Better] = "match"
    aspect = "quality"
    share: ClassVar[bool] = True
    below: ClassVar[str] = "breaks off more often than real text"
    above: ClassVar[str] = "breaks off less often than real text"

    def per_line(self, sets: Sets) -> np.ndarray:
        return np.array([line.rstrip().endswith(tuple(self.marks)) for line in sets.text.texts()], dtype=np.float64)


if __name__ == "__main__":
    text, real = textgan.grammar.sample(400, seed=0), textgan.grammar.sample(400, seed=1)
    broken = [line.removesuffix(" .") if place % 4 == 0 else line for place, line in enumerate(text)]
    done = textgan.evaluate(broken, real, metrics=[Finished(), "BLEU-4"])
    print(done.to_table())
    print(next(score.signature for score in done.scores if score.name == "finished"))
