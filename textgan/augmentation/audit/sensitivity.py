"""How the group shares of a mix depend on how much synthetic text is added, on how it was selected, and on the draw."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textgan.augmentation.audit.lexicon import Lexicon, mentions
from textgan.augmentation.audit.shares import distance_of, shares_of
from textgan.augmentation.mix import MixPlan
from textgan.errors import InputError

RATIOS = (0.1, 0.25, 0.5, 0.75, 1.0)
KEPT = (1.0, 0.5, 0.25, 0.1)
SEEDS = (0, 1, 2)


class Setting(NamedTuple):
    """One mix. ratio: synthetic lines per real line. kept: the share of the pool at or above the threshold, which is
    `threshold` in score (None: no score, all kept). shares: of each group in the mix; distance: total variation of the
    mix from the real text alone.
    """

    ratio: float
    kept: float
    threshold: float | None
    seed: int
    shares: dict[str, float]
    distance: float


def sensitivity(
    real: Sequence[str],
    synthetic: Sequence[str],
    lexicon: Lexicon,
    *,
    scores: np.ndarray | None = None,
    ratios: Sequence[float] = RATIOS,
    kept: Sequence[float] = KEPT,
    seeds: Sequence[int] = SEEDS,
) -> list[Setting]:
    """The mix's group shares for each ratio x threshold x seed; a mix for which the kept rows are too few is left out.

    scores: (n,) of the synthetic lines, high is kept; without them nothing is selected. kept: thresholds as the share
    of the pool that they keep. seed: of the draw, without replacement.
    """
    if scores is None:
        order, values, kept = np.arange(len(synthetic)), None, (1.0,)
    else:
        values = np.asarray(scores, dtype=np.float64)
        if values.shape != (len(synthetic),) or not np.isfinite(values).all():
            raise InputError(f"scores {values.shape} must be {len(synthetic)} finite numbers, one a synthetic line")
        order = np.argsort(-values, kind="stable")
    if not all(0 < share <= 1 for share in kept):
        raise InputError(f"kept {list(kept)}: shares above 0 and up to 1 were wanted")
    mine, theirs = mentions(real, lexicon), mentions(synthetic, lexicon)
    settings = []
    for ratio in ratios:
        wanted = MixPlan(ratio).wanted(len(real))
        for share in kept:
            chosen = order[: round(share * len(order))]
            if not wanted <= len(chosen):
                continue
            threshold = None if values is None or not len(chosen) else float(values[chosen[-1]])
            for seed in seeds:
                drawn = np.random.default_rng([seed, 31]).permutation(chosen)[:wanted]
                mix = np.concatenate([mine, theirs[drawn]])
                groups = {name: found.share for name, found in shares_of(mix, lexicon).items()}
                distance = distance_of(mine, mix, draws=1).value
                settings.append(Setting(ratio, share, threshold, seed, groups, distance))
    return settings
