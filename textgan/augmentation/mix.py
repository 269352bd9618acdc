"""Mixing real and synthetic lines in a chosen proportion, the same way every time."""

import math
import random
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgan.augmentation.folder import has_rows, read_pool
from textgan.augmentation.pool import is_row, parse_row
from textgan.errors import InputError
from textgan.text import Text, digests, read_lines, read_text, spool

Source = str | Path | Sequence[str] | Text
Pool = str | Path | Text | Iterable[str] | Iterable[Mapping[str, Any]]


def count_words(line: str) -> int:
    """Tokens of a line where nothing better is given: words between white space."""
    return len(line.split())


@dataclass(frozen=True)
class MixPlan:
    """How much synthetic text is added to the real text.

    ratio: synthetic lines per real line (0 none, 0.5 one for two, 1 as many again, 3 three times as many); with R real
    lines, floor(ratio * R + 1/2) are drawn.
    seed: of the draw and of the order. Draws are nested: a larger ratio at the same seed draws the smaller one's lines
    and more.
    tokens: at most so many tokens in the mix (None: no limit). Lines of the shuffled mix are kept, in order, up to the
    first that would pass the budget, so the proportion of real to synthetic is kept on average.
    """

    ratio: float
    seed: int = 0
    tokens: int | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.ratio, (int, float)) and math.isfinite(self.ratio) and self.ratio >= 0):
            raise InputError(
                f"ratio {self.ratio} is not a share; give synthetic lines per real line, 0 or more (1 adds as many)"
            )
        if self.tokens is not None and self.tokens < 1:
            raise InputError(f"a budget of {self.tokens} tokens holds no line; give 1 or more, or None")

    def wanted(self, real: int) -> int:
        """Synthetic lines for `real` real ones."""
        return math.floor(self.ratio * real + 0.5)


class Mixture(NamedTuple):
    """What `blend` made: the lines in their final order, and what is in them.

    real: real lines in the mix. synthetic: the synthetic lines in it. overlap: how many of those equal a real line.
    tokens: all tokens by the counter used. pool: selected lines there were to draw from.
    """

    lines: Sequence[str]
    real: int
    synthetic: Sequence[str]
    overlap: int
    tokens: int
    pool: int


def mix(real: Source, pool: Pool, *, ratio: float, seed: int = 0, tokens: int | None = None) -> Sequence[str]:
    """All real lines and `ratio` synthetic lines per real line, shuffled; the same for the same seed.

    real: whatever `read_text` takes. pool: pool rows, a pool (folder, JSON lines, parquet), a text or strings; selected
    rows are drawn, without replacement, each with the same chance (weights are not used). See MixPlan for ratio and
    tokens, and `blend` for what went in. A pool that is too small is an InputError.
    """
    return blend(real, pool, MixPlan(ratio, seed, tokens)).lines


def blend(real: Source, pool: Pool, plan: MixPlan, *, count: Callable[[str], int] = count_words) -> Mixture:
    """`mix` after a plan, with the numbers of what went in; `count` gives the tokens of a line for the budget."""
    real_lines = read_lines(real)
    texts = pool_texts(pool)
    wanted = plan.wanted(len(real_lines))
    if wanted > len(texts):
        raise InputError(
            f"the pool holds {len(texts)} selected lines, {wanted} are wanted "
            f"(ratio {plan.ratio:g} x {len(real_lines)} real lines); generate more or lower the ratio"
        )
    rng = random.Random(f"mix {plan.seed}")
    first = len(real_lines)  # of the rows: real lines first, then the pool's
    drawn = rng.sample(range(first, first + len(texts)), len(texts))[:wanted]
    rows = array("q", chain(range(first), drawn))
    rng.shuffle(rows)

    def lines(rows: Iterable[int]) -> Iterator[str]:
        return (real_lines[row] if row < first else texts[row - first] for row in rows)

    size, used = _within(lines(rows), plan.tokens, count)
    kept = rows[:size]
    synthetic = spool(lines(row for row in kept if row >= first))
    return Mixture(
        lines=spool(lines(kept)),
        real=len(kept) - len(synthetic),
        synthetic=synthetic,
        overlap=int(np.isin(digests(synthetic), digests(real_lines)).sum()),
        tokens=used,
        pool=len(texts),
    )


def pool_texts(pool: Pool) -> Sequence[str]:
    """The texts of a pool's selected rows; plain lines count as selected. Rows are known by what they are, so a pool
    may also come from standard input or from a file that is not named .jsonl."""
    if not isinstance(pool, Text) and has_rows(pool):
        pool = read_pool(pool)
    elif isinstance(pool, (str, Path, Text)):
        read = read_text(pool)  # of a .jsonl file these are the selected texts already
        if not is_row(read.lines[0]):
            return read.lines
        rows = enumerate(read.lines, start=1)
        pool = (parse_row(line, f"{read.name}:{number}", number - 1) for number, line in rows)
    texts = spool(
        item if isinstance(item, str) else item["text"]
        for item in pool
        if isinstance(item, str) or item.get("selected", True)
    )
    if newline := next((number for number, text in enumerate(texts, start=1) if "\n" in text), None):
        raise InputError(f"selected text {newline} of the pool holds a newline; give one sentence each")
    return texts


def _within(lines: Iterable[str], budget: int | None, count: Callable[[str], int]) -> tuple[int, int]:
    """How many of the lines fit into the budget, and their tokens."""
    kept = used = 0
    for line in lines:
        size = count(line)
        if budget is not None and used + size > budget:
            if not kept:
                raise InputError(f"a budget of {budget} tokens holds no line (the first has {size}); give more")
            break
        kept, used = kept + 1, used + size
    return kept, used
