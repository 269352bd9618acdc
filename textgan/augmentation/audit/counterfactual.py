"""What a model thinks of a line, and of the same line with the groups swapped."""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from textgan.augmentation.audit.lexicon import Lexicon, mentions
from textgan.errors import InputError
from textgan.metrics.intervals import half_width
from textgan.metrics.reasons import Unmeasurable

Scorer = Callable[[Sequence[str]], np.ndarray]  # lines -> (n,) one number each
FEWEST = 10
MOST = 1000


class Shift(NamedTuple):
    """A mean over lines with its 95 % interval (Student's)."""

    mean: float
    low: float
    high: float
    lines: int


class Counterfactual(NamedTuple):
    """size: mean |score(swapped) - score(line)|, 0 for a model to which the groups are alike.

    toward: by direction ("female > male"), the mean of score(swapped) - score(line); for an NLL a figure above 0 says
    that the swap made lines less likely. Lines with several groups have a size and no direction.
    """

    size: Shift
    toward: dict[str, Shift]


def swaps(texts: Sequence[str], lexicon: Lexicon, *, most: int = MOST, seed: int = 0) -> list[tuple[str, str]]:
    """Pairs (line, swapped line) of distinct lines that can be swapped, at most so many, drawn by the seed."""
    found = [(line, other) for line in dict.fromkeys(texts) if (other := lexicon.swap(line)) is not None]
    if len(found) > most:
        kept = sorted(random.Random(f"swaps {seed}").sample(range(len(found)), most))
        found = [found[place] for place in kept]
    return found


def counterfactual(pairs: Sequence[tuple[str, str]], lexicon: Lexicon, score: Scorer) -> Counterfactual:
    """How a score moves when the groups of a line are swapped (`swaps` makes the pairs).

    score: a generator's or language model's -log p of each line, or a discriminator's logit. Raises Unmeasurable for
    fewer than 10 pairs.
    """
    if len(pairs) < FEWEST:
        raise Unmeasurable(f"{len(pairs)} lines can be swapped, and {FEWEST} are needed")
    before, after = (np.asarray(score([pair[side] for pair in pairs]), dtype=np.float64) for side in (0, 1))
    if before.shape != (len(pairs),) or not (np.isfinite(before) & np.isfinite(after)).all():
        raise InputError(f"the scorer must give {len(pairs)} finite numbers, one a line; got shape {before.shape}")
    change = after - before
    names = list(lexicon.groups)
    held = [mentions([pair[side] for pair in pairs], lexicon) for side in (0, 1)]
    single = (held[0].sum(1) == 1) & (held[1].sum(1) == 1)
    ways = list(zip(held[0].argmax(1).tolist(), held[1].argmax(1).tolist(), strict=True))
    toward = {}
    for one, other in sorted(set(ways)):
        here = single & np.array([way == (one, other) for way in ways])
        if one != other and here.sum() >= FEWEST:
            toward[f"{names[one]} > {names[other]}"] = _shift(change[here])
    return Counterfactual(_shift(np.abs(change)), toward)


def _shift(values: np.ndarray) -> Shift:
    n = len(values)
    half = half_width(float(values.std(ddof=1)) / n**0.5, n - 1)
    mean = float(values.mean())
    return Shift(mean, mean - half, mean + half, n)
