"""A pool brought to wanted group shares: by weights, or by leaving rows out; and what that costs."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from textgan.augmentation.audit.lexicon import Lexicon, mentions
from textgan.augmentation.audit.shares import cell_codes, shares_of
from textgan.augmentation.calibration import effective_size
from textgan.errors import InputError

ROUNDS = 10_000
EXACT = 1e-10
APART = (
    "no weights of these rows give all wanted shares at once (the groups overlap, or shut each other out); "
    "name fewer groups or give shares nearer to the pool's"
)
Target = Mapping[str, float]


class Constrained(NamedTuple):
    """Rows of a pool and their weights, after which the groups have their wanted shares.

    rows: (k,) int64, their places, ascending; weights: (k,) float64, mean 1. achieved: share of each group that
    the target names. effective_sample: how many equally weighted rows these are worth.
    """

    rows: np.ndarray
    weights: np.ndarray
    target: dict[str, float]
    achieved: dict[str, float]
    effective_sample: float


def rake(
    found: np.ndarray, wanted: Mapping[int, float], seed: int = 0, before: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Every row and its weight: iterative proportional fitting. Deming & Stephan 1940.

    found: (n, G) mentions; wanted: share of the weight by group; before: (n,) weights to begin with (None: equal ones).
    Each round multiplies the rows that mention a group by wanted / have, and those that do not by (1 - wanted) / (1 -
    have), a group after the other. Of all weights with these shares they are the nearest to those before (in
    Kullback-Leibler divergence). Rows of weight 0 are left out.
    """
    weights = _raked(found, wanted, before)
    index = np.flatnonzero(weights > 0)
    return index, weights[index] / weights[index].mean()


def quota(
    found: np.ndarray, wanted: Mapping[int, float], seed: int = 0, before: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """As many rows as the raked shares of the cells allow, all of weight 1, drawn by the seed.

    A cell is the lines that mention the same groups. The cells' sizes are the raked shares times k, rounded so that
    each group is as near to k times its share as whole rows can be; k is the largest for which every cell has rows.
    Errors: InputError where the rows weigh unlike before, which a count of rows cannot keep.
    """
    if before is not None and np.ptp(before) > 0:
        raise InputError("the rows weigh unlike, and a quota counts rows; rake them, which multiplies their weights")
    weights, codes = _raked(found, wanted), cell_codes(found)
    order, first, counts = np.unique(codes, return_index=True, return_counts=True)
    most = weights[first]  # (cells,) the weight of each row of a cell, mean 1 over all rows
    size = math.floor(len(found) / most.max() + 1e-9)
    if not size:
        raise InputError("no row can be kept at these shares; generate more, or give shares nearer to the pool's")
    sizes = _rounded(most * counts / len(found) * size, counts, order, wanted, size)
    rng = random.Random(f"quota {seed}")
    index = np.sort(
        [i for c, k in zip(order, sizes, strict=True) for i in rng.sample(np.flatnonzero(codes == c).tolist(), k)]
    )
    return index.astype(np.int64), np.ones(len(index))


def constrain(
    texts: Sequence[str],
    lexicon: Lexicon,
    target: Target | Sequence[str],
    *,
    by: Callable[[np.ndarray, Mapping[int, float], int, np.ndarray | None], tuple[np.ndarray, np.ndarray]] = rake,
    seed: int = 0,
    weights: np.ndarray | None = None,
) -> Constrained:
    """Bring the texts' group shares to the target: {group: share}, or the shares of a real text (its lines).

    by: `rake` gives weights and keeps all rows, `quota` leaves rows out. Groups that the target does not name are free.
    weights: (n,) what the texts weigh so far (None: all alike).
    Errors: weights below 0 or all 0, an unknown group, a share outside [0, 1], shares that no rows of these texts can
    have.
    """
    if not texts:
        raise InputError("there is no row to choose from; give at least one")
    if weights is not None and not (np.isfinite(weights).all() and weights.min() >= 0 < weights.max()):
        raise InputError("weights of 0 or more, and not all 0, were wanted; mend the rows")
    if not isinstance(target, Mapping):
        target = {name: share.share for name, share in shares_of(mentions(target, lexicon), lexicon).items()}
    names = list(lexicon.groups)
    for name, share in target.items():
        if name not in names:
            raise InputError(f"target names the group {name!r}; the lexicon has {', '.join(names)}")
        if not 0 <= share <= 1:
            raise InputError(f"target {name}={share} is not a share; give a number from 0 to 1")
    found = mentions(texts, lexicon)
    for name, share in target.items():
        have = np.average(found[:, names.index(name)], weights=weights)
        if (have == 0 < share) or (have == 1 > share):
            lines = "no row mentions" if have == 0 else "every row mentions"
            raise InputError(f"target {name}={share:g} cannot be had: {lines} {name}; generate more or leave it out")
    index, made = by(found, {names.index(name): share for name, share in target.items()}, seed, weights)
    now = shares_of(found[index], lexicon, made)
    achieved = {name: now[name].share for name in target}
    return Constrained(index, made, dict(target), achieved, effective_size(made))


def _raked(found: np.ndarray, wanted: Mapping[int, float], before: np.ndarray | None = None) -> np.ndarray:
    """(n,) float64 weights of mean 1."""
    weights = np.ones(len(found)) if before is None else before
    codes, place = np.unique(cell_codes(found), return_inverse=True)
    start = np.bincount(place, weights)  # (cells,)
    mass = start / start.sum()
    for _ in range(ROUNDS):
        for group, share in wanted.items():
            inside = (codes >> group & 1).astype(bool)
            for side, goal in ((inside, share), (~inside, 1 - share)):
                part = mass[side].sum()  # of the side itself: 1 minus the other one lets rounding errors grow
                if goal > 0 and part <= 0:
                    raise InputError(APART)
                mass[side] *= goal / part if goal else 0.0
        if all(abs(mass[(codes >> group & 1) == 1].sum() - share) < EXACT for group, share in wanted.items()):
            return weights * (mass / np.where(start > 0, start, 1) * len(found))[place]
    raise InputError(APART)


def _rounded(
    exact: np.ndarray, room: np.ndarray, codes: np.ndarray, wanted: Mapping[int, float], size: int
) -> list[int]:
    """Whole numbers next to `exact` (cells,), of sum `size`, whose group sums are nearest to their shares.

    An integer programme: minimise the sum over groups of |rows of the group - share * size|.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    groups = [(codes >> group & 1).astype(float) for group in wanted]
    cells, many = len(codes), len(groups)
    low = np.floor(exact + 1e-6)
    bounds = Bounds(
        np.r_[low, np.zeros(many)],
        np.r_[np.minimum(np.maximum(np.ceil(exact - 1e-6), low), room), np.full(many, np.inf)],
    )
    rows, floor, ceiling = [np.r_[np.ones(cells), np.zeros(many)]], [float(size)], [float(size)]
    for place, (inside, share) in enumerate(zip(groups, wanted.values(), strict=True)):
        off = np.eye(many)[place]
        rows += [np.r_[inside, -off], np.r_[inside, off]]
        floor += [-np.inf, share * size]
        ceiling += [share * size, np.inf]
    done = milp(
        np.r_[np.zeros(cells), np.ones(many)],
        integrality=np.r_[np.ones(cells), np.zeros(many)],
        bounds=bounds,
        constraints=LinearConstraint(np.array(rows), floor, ceiling),
    )
    if done.x is None:
        raise InputError(
            f"no {size} whole rows come near these shares ({done.message}); give shares nearer to the pool's"
        )
    return [round(value) for value in done.x[:cells]]
