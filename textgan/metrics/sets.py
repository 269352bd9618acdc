"""The texts that one evaluation measures, and which lines of which are compared with which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from .encoders import Encoder
from .ngrams import NgramIndex


@dataclass(frozen=True, eq=False)
class Sets:
    """What a metric may look at. All are indices of one tokenisation.

    text: the n lines that are scored. reference: all reference lines. own: (n,) which reference line each scored line
    is itself, -1 for none (the row of real text is drawn from the reference, and no line may be its own reference).
    half, half_text: disjoint halves for metrics that compare two samples: at most half of the reference, and as many
    scored lines. train: the text that may have been copied. marks: short hashes of the second texts, for the signature.
    encoder: of the metrics on sentence vectors. fitted: what was worked out of the second texts alone, kept for the
    next text; shared: what several metrics need of this one. whole: the texts that a group was left out of, and the
    rows of half_text that stayed.
    """

    text: NgramIndex
    reference: NgramIndex | None = None
    own: np.ndarray | None = None
    half: NgramIndex | None = None
    half_text: NgramIndex = field(default=None)  # type: ignore[assignment]
    train: NgramIndex | None = None
    seed: int = 0
    marks: dict[str, str] = field(default_factory=dict)
    encoder: Encoder | None = None
    whole: tuple[Sets, np.ndarray] | None = field(default=None, repr=False)
    fitted: dict[object, Any] = field(default_factory=dict, repr=False)
    shared: dict[object, object] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.half_text is None:
            object.__setattr__(self, "half_text", self.text)

    def references(self, needs: str) -> int:
        """How many lines a scored line is compared with (itself not among them)."""
        second = {"reference": self.reference, "half": self.half, "train": self.train}[needs]
        assert second is not None
        return len(second) - int(needs == "reference" and self.own is not None)

    def without_groups(self, groups: int, seed: int) -> Iterator[Sets]:
        """The texts with one random group of scored lines left out, each in turn (the second texts stay)."""
        label = np.random.default_rng([seed, 77]).permutation(len(self.text)) % groups
        half_label = np.random.default_rng([seed, 78]).permutation(len(self.half_text)) % groups
        for group in range(groups):
            rows, half_rows = np.flatnonzero(label != group), np.flatnonzero(half_label != group)
            own = None if self.own is None else self.own[rows]
            text, half_text = self.text.select(rows), self.half_text.select(half_rows)
            yield replace(self, text=text, own=own, half_text=half_text, shared={}, whole=(self, half_rows))


T = TypeVar("T")


def cached(sets: Sets, key: object, compute: Callable[[], T]) -> T:
    """What several metrics of one text need (BLEU-2..5 come from one pass) is worked out by the first of them."""
    return _kept(sets.shared, key, compute)


def cached_half(sets: Sets, key: object, compute: Callable[[], T]) -> T:
    """What depends on the second texts alone is worked out once for all texts that are scored against them."""
    return _kept(sets.fitted, key, compute)


def _kept(store: dict[object, Any], key: object, compute: Callable[[], T]) -> T:
    if key not in store:
        store[key] = compute()
    found: T = store[key]
    return found
