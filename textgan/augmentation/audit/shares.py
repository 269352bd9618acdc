"""How often a text speaks of each group, how far that is from real text, and what it made stronger."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textgan.augmentation.audit.lexicon import Lexicon, mentions
from textgan.augmentation.calibration import effective_size
from textgan.errors import InputError
from textgan.metrics.intervals import CONFIDENCE, half_width, wilson

DRAWS = 1000
WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
LEAST = 20  # lines of a word beside a group, from which its lean is looked at


class Share(NamedTuple):
    """How many lines of a text mention a group: lines of n, their share (weighted, if so asked), Wilson's interval."""

    lines: int
    n: int
    share: float
    low: float
    high: float


class Distance(NamedTuple):
    """Total variation of two texts' cells; chance: the value that two texts of one language stay below 95 times of
    100 at these sizes."""

    value: float
    chance: float


class Amplification(NamedTuple):
    """value: the mean change of lean over the words (see `amplification`), with its 95 % interval; words: how many."""

    value: float
    low: float
    high: float
    words: int


def shares(texts: Sequence[str], lexicon: Lexicon, *, weights: np.ndarray | None = None) -> dict[str, Share]:
    """The share of lines that mention each group, with Wilson's 95 % interval. Lines may mention several groups.

    weights: (n,) of the lines, none below 0; the interval then takes their effective number, (sum w)^2 / sum w^2.
    """
    return shares_of(mentions(texts, lexicon), lexicon, weights)


def shares_of(found: np.ndarray, lexicon: Lexicon, weights: np.ndarray | None = None) -> dict[str, Share]:
    """`shares` from the mentions (n, G) of the lines."""
    n = len(found)
    if not n:
        raise InputError("there is no line whose groups could be counted; give at least one")
    weights = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.shape != (n,) or not np.isfinite(weights).all() or weights.min() < 0 or not weights.sum():
        raise InputError(f"weights {weights.shape} must be {n} finite numbers of at least 0, and not all 0")
    size = effective_size(weights)
    result = {}
    for place, group in enumerate(lexicon.groups):
        here = found[:, place]
        share = min(1.0, float(weights[here].sum() / weights.sum()))
        result[group] = Share(int(here.sum()), n, share, *wilson(share, size))
    return result


def difference(one: Share, other: Share) -> tuple[float, float, float]:
    """one - other, with the 95 % interval that their Wilson intervals give (Newcombe 1998, method 10)."""
    value = one.share - other.share
    low = ((one.share - one.low) ** 2 + (other.high - other.share) ** 2) ** 0.5
    high = ((one.high - one.share) ** 2 + (other.share - other.low) ** 2) ** 0.5
    return value, value - low, value + high


def cells(found: np.ndarray, lexicon: Lexicon, weights: np.ndarray | None = None) -> dict[str, float]:
    """The shares of the cells that divide the lines: those of no group, of one alone, of each company of groups."""
    names = list(lexicon.groups)
    codes = cell_codes(found)
    counts = np.bincount(codes, weights=weights, minlength=1)
    return {
        "+".join(name for place, name in enumerate(names) if code >> place & 1) or "none": float(count / counts.sum())
        for code, count in enumerate(counts)
        if count
    }


def cell_codes(found: np.ndarray) -> np.ndarray:
    """(n,) int64: the cell of each line, bit g for group g."""
    return found @ (1 << np.arange(found.shape[1], dtype=np.int64))


def total_variation(
    one: Sequence[str], other: Sequence[str], lexicon: Lexicon, *, seed: int = 0, draws: int = DRAWS
) -> Distance:
    """1/2 sum over cells |p - q| of two texts: the largest difference in the probability of anything about the groups.

    Small samples differ by chance alone, so the 95 % point under "no difference" stands beside it: both texts drawn
    (multinomial, `draws` times) from their common shares.
    """
    return distance_of(mentions(one, lexicon), mentions(other, lexicon), seed=seed, draws=draws)


def distance_of(one: np.ndarray, other: np.ndarray, *, seed: int = 0, draws: int = DRAWS) -> Distance:
    """`total_variation` from the mentions (n, G) and (m, G) of the lines."""
    if not len(one) or not len(other):
        raise InputError("two texts are compared; give at least one line of each")
    codes = np.concatenate([cell_codes(one), cell_codes(other)])
    size = int(codes.max()) + 1
    counts = [np.bincount(part, minlength=size) for part in (codes[: len(one)], codes[len(one) :])]
    shares = [count / count.sum() for count in counts]
    together = (counts[0] + counts[1]) / len(codes)
    rng = np.random.default_rng([seed, 11])
    drawn = [rng.multinomial(len(text), together, size=draws) / len(text) for text in (one, other)]
    null = np.abs(drawn[0] - drawn[1]).sum(axis=1) / 2
    return Distance(float(np.abs(shares[0] - shares[1]).sum() / 2), float(np.quantile(null, CONFIDENCE)))


def amplification(
    real: Sequence[str], text: Sequence[str], lexicon: Lexicon, *, least: int = LEAST, seed: int = 0
) -> Amplification | None:
    """How much further words lean to the group that they lean to in real text. Zhao et al. 2017, section 3.

    c(o, g): lines that hold the word o and mention group g; lean b(o, g) = c(o, g) / sum_g' c(o, g'), b of real text
    and b~ of the other. Amplification = mean over words o of the sum over {g: b(o, g) > 1/G} of b~(o, g) - b(o, g).
    Above 0 the text makes leans stronger, below 0 weaker. The words: all that stand beside the groups in at least
    `least` lines of both texts, but the lexicon's own.
    A lean that is large by chance is smaller in any other text, so fresh real text may be below 0 itself: read the
    figure beside that of a control text. The interval is about other draws of `text` (its lines drawn 200 times with
    replacement). None: no word is frequent enough, or there is one group only.
    Differs: Zhao's outputs o are labels of images; ours are words of the line.
    """
    if len(lexicon.groups) < 2:
        return None
    words, counts = _beside(real, lexicon)
    others, lines = _beside(text, lexicon)
    position = {word: place for place, word in enumerate(words)}
    both = [(position[word], place) for place, word in enumerate(others) if word in position]
    if not both:
        return None
    mine, theirs = (np.array(side) for side in zip(*both, strict=True))
    before, held, groups = counts[0].T[mine] @ counts[1], lines[0].T.tocsr()[theirs], lines[1]
    after = held @ groups
    keep = (before.sum(1) >= least) & (after.sum(1) >= least)
    if not keep.any():
        return None
    before, held = before[keep], held[np.flatnonzero(keep)]
    lean = before / before.sum(1, keepdims=True)  # (words, G)
    strong = lean > 1 / len(lexicon.groups)

    def change(counted: np.ndarray) -> float:
        total = counted.sum(1, keepdims=True)
        known = total[:, 0] > 0
        return float((((counted / np.maximum(total, 1)) - lean) * strong)[known].sum() / max(1, known.sum()))

    rng = np.random.default_rng([seed, 12])
    n = groups.shape[0]
    repeats = [np.bincount(rng.integers(n, size=n), minlength=n)[:, None] * groups for _ in range(200)]
    error = float(np.std([change(held @ repeat) for repeat in repeats], ddof=1))
    value, half = change(after[keep]), half_width(error, 199)
    return Amplification(value, value - half, value + half, int(keep.sum()))


def _beside(texts: Sequence[str], lexicon: Lexicon) -> tuple[list[str], tuple]:
    """Words of the lines that mention a group, and (lines, words) 0/1 sparse and (lines, G) float: who is where."""
    from scipy import sparse

    own = {word.casefold() for words in lexicon.groups.values() for word in words}
    found = mentions(texts, lexicon)
    rows = np.flatnonzero(found.any(axis=1))
    vocabulary: dict[str, int] = {}
    columns, bounds = [], [0]
    for row in rows.tolist():
        words = sorted(set(WORD.findall(texts[row].casefold())) - own)
        columns += [vocabulary.setdefault(word, len(vocabulary)) for word in words]
        bounds.append(len(columns))
    matrix = sparse.csr_array(
        (np.ones(len(columns)), np.array(columns, dtype=np.int64), bounds), shape=(len(rows), len(vocabulary))
    )
    return list(vocabulary), (matrix, found[rows].astype(np.float64))
