"""When a training sees its synthetic text: the synthetic share of a step's tokens, as a function of how far it is.

All schedules show the same amount of either kind in all; they differ in when.
"""

from collections.abc import Callable, Sequence

import numpy as np

Share = Callable[[np.ndarray, float], np.ndarray]  # (how far in [0, 1), share over all in (0, 1)) -> share at that time


def two_stage(done: np.ndarray, overall: float) -> np.ndarray:
    """Synthetic text first, then real text alone."""
    return (done < overall).astype(float)


def anneal(done: np.ndarray, overall: float) -> np.ndarray:
    """A share that falls to 0 and is `overall` on average: 2 p (1 - u) up to p = 1/2, beyond it 1 - u^(p / (1 - p)).

    The second form starts at 1, the most there is, and integrates to p; at p = 1/2 the two are one line.
    """
    return 2 * overall * (1 - done) if overall <= 0.5 else 1 - done ** (overall / (1 - overall))


SCHEDULES: dict[str, Share | None] = {"mixed": None, "two_stage": two_stage, "anneal": anneal}


def doses(share: Share, overall: float, steps: int, tokens: int) -> np.ndarray:
    """Synthetic tokens of each step, 0 to `tokens`: (steps,) int64; what rounding takes from a step, a later one gets.

    overall: the share of synthetic tokens that the whole is to have; at 0 and at 1 there is but one kind.
    """
    if not 0 < overall < 1:
        return np.full(steps, round(overall) * tokens)
    at = share((np.arange(steps) + 0.5) / steps, overall)  # (steps,)
    so_far = np.floor(np.cumsum(at) * tokens + 0.5)
    return np.clip(np.diff(so_far, prepend=0), 0, tokens).astype(np.int64)


def in_order(share: Share, real: Sequence[int], made: Sequence[int]) -> list[int]:
    """Rows of both kinds as one sequence whose share of `made` is the schedule's; each kind keeps its order."""
    many = len(real) + len(made)
    left = {True: iter(made), False: iter(real)}
    found = []
    for wanted in doses(share, len(made) / many, many, 1):
        row = next(left[bool(wanted)], None)  # rounding may ask for one more of a kind than there is
        found.append(next(left[not wanted]) if row is None else row)
    return found
