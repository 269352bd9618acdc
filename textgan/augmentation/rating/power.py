"""How many pairs people must rate before a preference of some size shows."""

import math

import numpy as np

from textgan.errors import InputError

STEP = 5  # a sheet's size in round numbers; the power of an exact test goes up and down between them
LEAST, MOST = 0.505, 0.995


def power(preference: float, *, level: float = 0.05, chance: float = 0.8) -> int:
    """Rated pairs from which a true preference is found with this chance by the sign test: 210 for 60 %, 805 for 55 %.

    The exact two-sided binomial test against 1/2 at `level`; the answer is the smallest multiple of five from which on
    every multiple of five has the chance (the normal approximation gives 194 and 783, too few). Pairs that are rated
    as equal count for nothing here, so plan for as many more. Errors: preference outside .505 to .995, level or chance
    outside (0, 1).
    """
    if not LEAST <= preference <= MOST:
        raise InputError(f"a preference of {preference:g} cannot be planned for; give a share from {LEAST} to {MOST}")
    if not (0 < level < 0.5 and level < chance < 1):
        raise InputError(f"level {level:g} and chance {chance:g}: a level below .5 and a chance above it were wanted")
    from scipy.stats import binom, norm

    reach = norm.isf(level / 2) / 2 + norm.isf(1 - chance) * math.sqrt(preference * (1 - preference))
    about = (reach / (preference - 0.5)) ** 2
    sizes = np.arange(STEP, 1.5 * about + 200, STEP)
    critical = binom.isf(level / 2, sizes, 0.5) + 1  # wins from which the test rejects; as few losses likewise
    found = binom.sf(critical - 1, sizes, preference) + binom.cdf(sizes - critical, sizes, preference)
    short = np.flatnonzero(found < chance)
    return int(sizes[short[-1] + 1]) if len(short) else int(sizes[0])
