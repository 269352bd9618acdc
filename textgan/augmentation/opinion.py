"""Did a selection help? One discriminator that had no part in it is asked about all candidates and about those taken.

It is trained and asked once, so that what differs between the two answers is the texts alone. A net trained anew for
each set adds the spread of training, which called a random half better or worse in half of the cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textgan.augmentation.density import FEWEST, cross_fit, fold_of, judged, some

MOST = 4000  # texts of either kind that the judge learns from


class Opinion(NamedTuple):
    """How well one discriminator that had no part in a selection tells its texts from real ones that it has not seen.

    before, after: its AUC on all candidates and on the selection, each candidate with its weight there; .5 is chance,
    and below .5 it takes them for real more often than real text. nearer: how much nearer to .5 the selection is than
    the candidates; below 0 it is farther. Each with its standard error. texts: candidates asked about; real: real ones.
    """

    before: float
    before_error: float
    after: float
    after_error: float
    nearer: float
    nearer_error: float
    texts: int
    real: int

    @property
    def verdict(self) -> str:
        """What the difference supports at 5 %."""
        if abs(self.nearer) <= 2 * self.nearer_error:
            return "no difference is shown"
        return f"the selection looks {'more' if self.nearer > 0 else 'less'} like real text"


def second_opinion(
    real: Sequence[str], candidates: Sequence[str], weights: np.ndarray, *, folds: int = 2, seed: int = 0
) -> Opinion | None:
    """Train a recurrent D to tell real lines from all candidates, and ask it about both sets; None for too few texts.

    real: lines that neither the generator nor the selecting D has seen. weights: (n,) what each candidate counts in the
    selection, 0 where it was not taken. A classifier two-sample test (Lopez-Paz & Oquab 2017), cross-fitted: each text
    is judged by the net that has not seen its fold.
    It sees failings that the candidates have, and whether the selection has fewer of them. What the selection has of
    its own it was not taught: the same good text over and over, a part of the language alone. That is for self-BLEU,
    coverage and the audit to say.
    """
    scores = second_scores(real, candidates, folds=folds, seed=seed)
    return None if scores is None else opinion_of(*scores, weights)


def second_scores(
    real: Sequence[str], candidates: Sequence[str], *, folds: int = 2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray] | None:
    """(m,) and (n,) logits of at most MOST real lines, drawn, and of all candidates; None for too few of either."""
    if min(len(candidates), len(real)) < FEWEST * folds:
        return None
    from textgan.augmentation.bodies import SECOND

    real, learnt = some(real, MOST, seed), some(candidates, MOST, seed)
    texts, is_real = [*real, *learnt], np.arange(len(real) + len(learnt)) < len(real)
    judges = cross_fit(SECOND, texts, is_real, fold_of(texts, folds, seed), seed)
    ours, theirs = (judged(judges, lines, fold_of(lines, folds, seed)) for lines in (real, candidates))
    return ours, theirs


def opinion_of(real: np.ndarray, written: np.ndarray, weights: np.ndarray) -> Opinion | None:
    """The opinion that fixed scores give: real (m,), written (n,), weights (n,); None where too few texts were taken.

    Both AUCs are means over the same texts, so the error of their difference is that of the texts' differences (DeLong
    et al. 1988, by placements). Differs: a written text counts its weight, as a ratio estimator does.
    """
    if weights.sum() ** 2 < FEWEST * np.square(weights).sum():
        return None
    share = weights / weights.mean()
    above = 1 - placements(written, real, np.ones(len(real)))  # (n,) the real texts' share above each written one
    before, after = float(above.mean()), float((share * above).mean())
    pull_before = placements(real, written, np.ones(len(written))) - before, above - before
    pull_after = placements(real, written, weights) - after, share * (above - after)
    signs = np.sign(before - 0.5), np.sign(after - 0.5)
    both = [signs[0] * one - signs[1] * other for one, other in zip(pull_before, pull_after, strict=True)]
    return Opinion(
        before, _error(*pull_before), after, _error(*pull_after), abs(before - 0.5) - abs(after - 0.5), _error(*both),
        texts=len(written), real=len(real),
    )  # fmt: skip


def placements(scores: np.ndarray, among: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n,) the share of the weight of `among` (k,) that lies below each score (n,), ties half."""
    order = np.argsort(among, kind="stable")
    below, among = np.concatenate([[0.0], np.cumsum(weights[order])]), among[order]
    low, high = (below[np.searchsorted(among, scores, side)] for side in ("left", "right"))
    found: np.ndarray = (low + high) / (2 * below[-1])
    return found


def _error(real: np.ndarray, written: np.ndarray) -> float:
    """Standard error of a mean over pairs, from what each real text (m,) and each written one (n,) adds to it."""
    return float(np.sqrt(real.var(ddof=1) / len(real) + written.var(ddof=1) / len(written)))
