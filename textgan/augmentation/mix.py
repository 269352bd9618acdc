"""Mixing real and synthetic lines in a chosen proportion, the same way every time."""

import hashlib
import math
import random
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgan.augmentation.calibration import effective_size
from textgan.augmentation.folder import has_rows, read_pool
from textgan.augmentation.pool import parse_row
from textgan.augmentation.schedules import SCHEDULES, doses, in_order
from textgan.errors import InputError
from textgan.text import Text, digests, read_text, spool
from textgan.text.rows import ALL, is_row, is_used

Source = str | Path | Sequence[str] | Text
Pool = str | Path | Text | Iterable[str] | Iterable[Mapping[str, Any]]


def count_words(line: str) -> int:
    """Tokens of a line where nothing better is given: words between white space."""
    return len(line.split())


REGIMES = ("accumulate", "replace", "accumulate_subsample")
WEIGHTS = ("none", "density_ratio")


@dataclass(frozen=True)
class MixPlan:
    """How much synthetic text stands beside the real text, in whose place, when it is seen and what it counts.

    ratio: synthetic lines per real line (0 none, 0.5 one for two, 1 as many again, 3 three times as many); with R real
    lines, floor(ratio * R + 1/2) are drawn.
    seed: of the draw and of the order. Draws are nested: a larger ratio at the same seed draws the smaller one's lines
    and more.
    tokens: at most so many tokens in the mix (None: no limit). Lines of the shuffled mix are kept, in order, up to the
    first that would pass the budget, so the proportion of real to synthetic is kept on average.
    schedule: "mixed" (shuffled together), "two_stage" (synthetic first, then real only) or "anneal" (the synthetic
    share falls to 0). `lm.finetune` follows it step by step; elsewhere the order of the lines says it.
    regime: "accumulate" (synthetic lines are added to all real ones), "replace" (they take the place of as many real
    lines, so ratio is at most 1 and the mix has R lines) or "accumulate_subsample" (R lines drawn from both together:
    Kazdan et al. 2024, the middle way of the model-collapse literature).
    weight_by: "none", or "density_ratio": a synthetic line counts its row's "weight" in the loss, divided by the mean
    weight of the synthetic lines in the mix (self-normalised), and a real line counts 1.
    """

    ratio: float
    seed: int = 0
    tokens: int | None = None
    schedule: str = "mixed"
    regime: str = "accumulate"
    weight_by: str = "none"

    def __post_init__(self) -> None:
        if not (isinstance(self.ratio, (int, float)) and math.isfinite(self.ratio) and self.ratio >= 0):
            raise InputError(
                f"ratio {self.ratio} is not a share; give synthetic lines per real line, 0 or more (1 adds as many)"
            )
        if self.tokens is not None and self.tokens < 1:
            raise InputError(f"a budget of {self.tokens} tokens holds no line; give 1 or more, or None")
        for name, known in (("schedule", tuple(SCHEDULES)), ("regime", REGIMES), ("weight_by", WEIGHTS)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} {getattr(self, name)!r} is unknown; choose {', '.join(known)}")
        if self.regime == "replace" and self.ratio > 1:
            raise InputError(f"ratio {self.ratio:g} replaces more lines than there are; give 1 or less, or accumulate")

    def wanted(self, real: int) -> int:
        """Synthetic lines for `real` real ones."""
        return math.floor(self.ratio * real + 0.5)


class Mixture(NamedTuple):
    """What `blend` made: the lines in their final order, and what is in them. `lm.finetune` takes it as it is.

    real: real lines in the mix. synthetic: the synthetic lines in it. overlap: how many of those equal a real line.
    tokens: all tokens by the counter used. pool: selected lines there were to draw from.
    made: (lines,) bool, which of the lines are synthetic. base: the real text that it was blended from, all of it,
    whatever regime and budget have left in the mix. weights: (lines,) float64, what each counts in the loss, or None
    where all count alike.
    """

    lines: Sequence[str]
    real: int
    synthetic: Sequence[str]
    overlap: int
    tokens: int
    pool: int
    plan: MixPlan
    made: np.ndarray
    base: Text
    weights: np.ndarray | None = None

    def doses(self, overall: float, steps: int, tokens: int) -> np.ndarray | None:
        """Synthetic tokens of each of `steps` training steps, (steps,) int64; None: the kinds are not told apart.

        overall: the share of synthetic tokens in the mix.
        """
        share = SCHEDULES[self.plan.schedule]
        return None if share is None else doses(share, overall, steps, tokens)

    def rows(self) -> Iterator[dict[str, Any]]:
        """A pool row a line, in order: its text, whether it is real or synthetic, what it counts."""
        weights = np.ones(len(self.made)) if self.weights is None else self.weights
        for line, made, weight in zip(self.lines, self.made.tolist(), weights.tolist(), strict=True):
            yield {"text": line, "source": "synthetic" if made else "real", "weight": weight}

    def to_json(self) -> dict[str, Any]:
        """The plan and what came of it, without the lines."""
        found = {**asdict(self.plan), "real": self.real, "synthetic": len(self.synthetic), "overlap": self.overlap}
        if self.weights is not None and self.made.any():
            found["effective_sample"] = effective_size(self.weights[self.made])
        return found


def mix(real: Source, pool: Pool, *, ratio: float, seed: int = 0, tokens: int | None = None) -> Sequence[str]:
    """All real lines and `ratio` synthetic lines per real line, shuffled; the same for the same seed.

    real: whatever `read_text` takes. pool: pool rows, a pool (folder, JSON lines, parquet), a text or strings; selected
    rows are drawn, without replacement, each with the same chance (weights are not used). See MixPlan for ratio and
    tokens, and `blend` for what went in. A pool that is too small is an InputError.
    """
    return blend(real, pool, MixPlan(ratio, seed, tokens)).lines


def blend(real: Source, pool: Pool, plan: MixPlan, *, count: Callable[[str], int] = count_words) -> Mixture:
    """`mix` after a plan, with the numbers of what went in; `count` gives the tokens of a line for the budget.

    The order of the lines is the schedule's: shuffled; or all synthetic lines first; or fewer and fewer of them.
    """
    base = read_text(real)
    real_lines = base.lines
    texts, weights = weighted_texts(pool) if plan.weight_by == "density_ratio" else (pool_texts(pool), None)
    if weights is None and plan.weight_by == "density_ratio":
        raise InputError("plain lines have no weights; give pool rows (.jsonl) or weight by none")
    rows = _draw(len(real_lines), len(texts), plan)
    first = len(real_lines)  # of the rows: real lines first, then the pool's

    def lines(rows: Iterable[int]) -> Iterator[str]:
        return (real_lines[row] if row < first else texts[row - first] for row in rows)

    size, used = _within(lines(rows), plan.tokens, count)
    kept = rows[:size]
    if share := SCHEDULES[plan.schedule]:
        kept = array("q", in_order(share, [r for r in kept if r < first], [r for r in kept if r >= first]))
    drawn = np.array([row - first for row in kept if row >= first], dtype=np.int64)
    made = np.array(kept, dtype=np.int64) >= first
    synthetic = spool(texts[row] for row in drawn.tolist())
    return Mixture(
        lines=spool(lines(kept)),
        real=len(kept) - len(synthetic),
        synthetic=synthetic,
        overlap=int(np.isin(digests(synthetic), digests(real_lines)).sum()),
        tokens=used,
        pool=len(texts),
        plan=plan,
        made=made,
        base=base,
        weights=None if weights is None else _normalised(weights[drawn], made),
    )


def _draw(real: int, pool: int, plan: MixPlan) -> "array[int]":
    """Rows of the mix, shuffled: those under `real` are real lines, the others the pool's."""
    wanted = plan.wanted(real)
    if wanted > pool:
        raise InputError(
            f"the pool holds {pool} selected lines, {wanted} are wanted "
            f"(ratio {plan.ratio:g} x {real} real lines); generate more or lower the ratio"
        )
    rng = random.Random(f"mix {plan.seed}")
    drawn = rng.sample(range(real, real + pool), pool)[:wanted]
    kept: Iterable[int] = range(real)
    if plan.regime == "replace":
        order = random.Random(f"mix real {plan.seed}").sample(range(real), real)
        kept = sorted(order[wanted:])
    rows = array("q", chain(kept, drawn))
    rng.shuffle(rows)
    return rows[:real] if plan.regime == "accumulate_subsample" else rows


def _normalised(weights: np.ndarray, made: np.ndarray) -> np.ndarray:
    """1 for a real line, w / mean(w) for a synthetic one: (lines,) float64."""
    found = np.ones(len(made))
    if len(weights):
        found[made] = weights / weights.mean()
    return found


def pool_texts(pool: Pool) -> Sequence[str]:
    """The texts of a pool's selected rows; plain lines count as selected. Rows are known by what they are, so a pool
    may also come from standard input or from a file that is not named .jsonl. A row that weighs nothing is no text of
    it."""
    rows = _rows(pool)
    if isinstance(rows, Sequence):
        return rows
    texts = spool(
        item if isinstance(item, str) else item["text"]
        for number, item in enumerate(rows, start=1)
        if isinstance(item, str) or _serves(item, number)
    )
    return one_line_each(texts)


def weighted_texts(pool: Pool) -> tuple[Sequence[str], np.ndarray | None]:
    """`pool_texts` but for blank ones, and their weights, (texts,) float64, above 0; a row without one has 1. None for
    the weights of plain lines."""
    rows = read_pool(pool) if isinstance(pool, str | Path) and str(pool).endswith(".jsonl") else _rows(pool)
    if isinstance(rows, Sequence):
        return rows, None
    weights, plain = array("d"), False

    def texts() -> Iterator[str]:
        nonlocal plain
        for number, row in enumerate(rows, start=1):
            if isinstance(row, str):
                plain = True
                yield row
            elif _serves(row, number):
                weights.append(_weight(row.get("weight"), number))
                yield row["text"]

    found = one_line_each(spool(texts()))
    return found, None if plain else np.array(weights)


def _serves(row: Mapping[str, Any], number: int) -> bool:
    """Whether a row's text is one to use, and not blank."""
    return is_used(row, f"row {number} of the pool") and bool(row["text"].strip())


def _rows(pool: Pool) -> Sequence[str] | Iterator[Any]:
    """The plain lines of a text, or rows (and strings) one at a time."""
    if not isinstance(pool, Text) and has_rows(pool):
        return read_pool(pool)
    if not isinstance(pool, (str, Path, Text)):
        return iter(pool)
    read = read_text(pool, rows=ALL)
    if not is_row(read.lines[0]):
        return read.lines
    rows = enumerate(read.lines, start=1)
    return (parse_row(line, f"{read.name}:{number}", number - 1) for number, line in rows)


class Weighed(NamedTuple):
    """A text whose lines count unlike, as the rows that `mix --weight-by` writes; `lm.finetune` takes it as it is.

    weights: (lines,) float64, what each counts in the loss; their mean is 1.
    """

    name: str
    lines: Sequence[str]
    weights: np.ndarray

    @property
    def made(self) -> np.ndarray:
        """(lines,) bool: none is told apart as synthetic."""
        return np.zeros(len(self.lines), dtype=bool)

    @property
    def base(self) -> Text:
        """All lines, as none is told apart."""
        return read_text(self.lines)._replace(name=self.name)

    def doses(self, overall: float, steps: int, tokens: int) -> None:
        """The lines are shuffled together."""

    def to_json(self) -> dict[str, Any]:
        """Which rows, how much they are worth, and a hash of their weights."""
        digest = hashlib.sha256(self.weights.tobytes()).hexdigest()
        return {"rows": self.name, "effective_sample": effective_size(self.weights), "weights_sha256": digest}


def weighed(pool: str | Path | Text) -> Weighed | None:
    """The selected texts of rows with their weights; None where all weigh alike, and for plain lines."""
    texts, weights = weighted_texts(pool)
    if weights is None or not len(weights) or np.ptp(weights) == 0:
        return None
    mean = float(weights.mean())
    same = math.isclose(mean, 1, rel_tol=1e-9)  # the rows of a mix stay as they are, to the bit
    return Weighed(pool.name if isinstance(pool, Text) else Path(pool).name, texts, weights if same else weights / mean)


def _weight(value: Any, number: int) -> float:
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value >= 0):
        raise InputError(f"row {number} of the pool has the weight {value!r}; give a number of 0 or more")
    return float(value)


def one_line_each(texts: Sequence[str]) -> Sequence[str]:
    """The selected texts of a pool as they are. Errors: InputError where one holds a newline."""
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
