"""BLEU forward (quality), backward (coverage) and self-BLEU (diversity) over one n-gram index."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np

from .ngrams import NgramIndex, sentence_bleu
from .reasons import Unmeasurable
from .score import Better, MeanMetric, Metric, Needs
from .sets import Sets, cached

HIGHEST = 5
LESS_DIVERSE, MORE_DIVERSE = "less diverse than real text", "more diverse than real text"


def _bleu(sets: Sets, highest: int) -> np.ndarray:
    assert sets.reference is not None
    return sentence_bleu(sets.text, sets.reference, highest=highest, own=sets.own)


@dataclass(frozen=True)
class BLEU(MeanMetric):
    """Mean over lines of BLEU against all reference lines; high alone is easy. Papineni et al. 2002; Texygen."""

    order: int = 4
    smoothing: str = field(default="method1", init=False)  # the one that there is
    family: ClassVar[str] = "BLEU"
    better: ClassVar[Better] = "higher"
    aspect = "quality"
    above: ClassVar[str] = "above real text, which is no merit"
    needs: ClassVar[Needs] = "reference"

    def per_line(self, sets: Sets) -> np.ndarray:
        highest = max(self.order, HIGHEST)
        return cached(sets, ("BLEU", highest), lambda: _bleu(sets, highest))[self.order - 1]


@dataclass(frozen=True)
class BackwardBLEU(Metric):
    """Mean over reference lines of BLEU against the scored text: what of real text it covers. Shi et al. 2018."""

    order: int = 4
    smoothing: str = field(default="method1", init=False)  # the one that there is
    family: ClassVar[str] = "backward-BLEU"
    better: ClassVar[Better] = "higher"
    below: ClassVar[str] = "covers less than real text"
    above: ClassVar[str] = "covers more than real text"
    needs: ClassVar[Needs] = "reference"

    def measure(self, sets: Sets) -> float:
        highest = max(self.order, HIGHEST)
        return float(cached(sets, ("backward", highest), lambda: self._scores(sets, highest))[self.order - 1])

    @staticmethod
    def _scores(sets: Sets, highest: int) -> np.ndarray:
        reference = sets.reference
        assert reference is not None
        own = None
        if sets.own is not None:  # a real line is not its own reference here either
            own = np.full(len(reference), -1)
            own[sets.own] = np.arange(len(sets.own))
        return sentence_bleu(reference, sets.text, highest=highest, own=own).mean(axis=1)


@dataclass(frozen=True)
class SelfBLEU(Metric):
    """Mean over lines of BLEU against all OTHER lines of the text: how much they repeat each other.

    Zhu et al. 2018. Lower is more diverse; lower than real text is not better (noise is lowest).
    """

    order: int = 4
    smoothing: str = field(default="method1", init=False)
    hypothesis: str = field(default="left out", init=False)
    family: ClassVar[str] = "self-BLEU"
    better: ClassVar[Better] = "lower"
    aspect = "diversity"
    below: ClassVar[str] = MORE_DIVERSE
    above: ClassVar[str] = LESS_DIVERSE

    def measure(self, sets: Sets) -> float:
        if len(sets.text) < 2:
            raise Unmeasurable(f"self-BLEU compares lines with each other; give at least 2, not {len(sets.text)}")
        highest = max(self.order, HIGHEST)
        own = np.arange(len(sets.text))
        scores = cached(
            sets, ("self", highest), lambda: sentence_bleu(sets.text, sets.text, highest=highest, own=own).mean(axis=1)
        )
        return float(scores[self.order - 1])


@dataclass(frozen=True)
class MSJaccard(Metric):
    """How much of both n-gram multisets is shared, per line of each: 1 = the same frequencies. Alihosseini et al. 2019.

    Geometric mean over n <= N of sum_g min(a_g, b_g) / sum_g max(a_g, b_g), counts divided by the number of lines.
    """

    order: int = 4
    family: ClassVar[str] = "MS-Jaccard"
    better: ClassVar[Better] = "higher"
    needs: ClassVar[Needs] = "half"
    below: ClassVar[str] = "unlike real text"
    above: ClassVar[str] = "nearer to real text than real text"

    def measure(self, sets: Sets) -> float:
        assert sets.half is not None
        text, half = sets.half_text, sets.half
        shares = [
            cached(sets, ("shared", order), partial(self._share, text, half, order))
            for order in range(1, self.order + 1)
        ]
        return float(np.prod(shares) ** (1 / self.order))

    @staticmethod
    def _share(text: NgramIndex, half: NgramIndex, order: int) -> float:
        mine, theirs = text.runs(order), half.runs(order)
        counts = np.zeros(len(half.keys(order)) + 1)  # the last stands for n-grams that the half does not know
        counts[theirs.ids] = half.frequencies(order) / len(half)
        known = text.known_in(half, order)
        per_line = text.frequencies(order) / len(text)
        shared = float(np.minimum(per_line, counts[mine.ids if known is None else known[mine.ids]]).sum())
        union = float(per_line.sum() + counts.sum()) - shared
        if union == 0:
            raise Unmeasurable(f"neither text has a line of {order} words")
        return shared / union
