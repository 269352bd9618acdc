"""Metrics of the embedded grammar, whose truth is known: grammatical lines, language reached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .intervals import FEWEST
from .overlap import LESS_DIVERSE, MORE_DIVERSE
from .reasons import Unmeasurable
from .score import Better, MeanMetric, Metric
from .sets import Sets, cached


def log_probabilities(sets: Sets) -> np.ndarray:
    """(n,) nats; -inf for lines that the grammar does not derive."""
    from .. import grammar

    if sets.reference is not None and not any(map(grammar.accepts, sets.reference.texts()[:5])):
        raise Unmeasurable("the reference is not text of the embedded grammar")

    def score() -> np.ndarray:
        known = {line: grammar.log_prob(line) for line in set(sets.text.texts())}
        return np.array([known[line] for line in sets.text.texts()])

    def select() -> np.ndarray:  # a group of lines is left out: no line is parsed again
        whole, _ = sets.whole  # type: ignore[misc]
        return log_probabilities(whole)[np.searchsorted(whole.text.rows, sets.text.rows)]

    return cached(sets, "grammar", score if sets.whole is None else select)


@dataclass(frozen=True)
class Grammaticality(MeanMetric):
    """Share of lines that the embedded grammar derives."""

    family: ClassVar[str] = "grammaticality"
    better: ClassVar[Better] = "higher"
    aspect = "quality"
    share: ClassVar[bool] = True
    slow: ClassVar[bool] = True
    below: ClassVar[str] = "less grammatical than real text"

    def per_line(self, sets: Sets) -> np.ndarray:
        return np.isfinite(log_probabilities(sets)).astype(np.float64)


@dataclass(frozen=True)
class GrammarCoverage(Metric):
    """Share of the grammar's sentences that the text holds; read it beside real text's at the same n."""

    family: ClassVar[str] = "grammar-coverage"
    better: ClassVar[Better] = "higher"
    aspect = "diversity"
    slow: ClassVar[bool] = True
    below: ClassVar[str] = LESS_DIVERSE
    above: ClassVar[str] = MORE_DIVERSE

    def measure(self, sets: Sets) -> float:
        from .. import grammar

        grammatical = np.isfinite(log_probabilities(sets))
        lines = sets.text.texts()
        return len({lines[row] for row in np.flatnonzero(grammatical).tolist()}) / grammar.derivations()


@dataclass(frozen=True)
class GrammarNLL(MeanMetric):
    """Mean -log p of the grammatical lines under the grammar, nats a line. Real text's is the grammar's entropy.

    Below it: the likely sentences are over-used (sharpened); above it: the unlikely ones.
    """

    family: ClassVar[str] = "grammar-NLL"
    slow: ClassVar[bool] = True
    below: ClassVar[str] = "sharpened: likelier sentences than real text"
    above: ClassVar[str] = "flattened: unlikelier sentences than real text"

    def per_line(self, sets: Sets) -> np.ndarray:
        logs = log_probabilities(sets)
        grammatical = logs[np.isfinite(logs)]
        if not len(grammatical):
            raise Unmeasurable("no line is grammatical")
        return -grammatical

    def standard_error(self, sets: Sets) -> float | None:
        return super().standard_error(sets) if np.isfinite(log_probabilities(sets)).sum() >= FEWEST else None


def reverse_divergence(log_q: Sequence[float] | np.ndarray, lines: Sequence[str]) -> tuple[float, float]:
    """KL(grammar || model) in nats a line and its standard error: E_p[log p - log q] over sentences of the grammar.

    lines: drawn by `grammar.sample`; log_q: the model's log-probability of each. Exact but for the draw, since log p is
    exact; inf where the model gives a sentence probability 0.
    """
    from .. import grammar

    gaps = np.array([grammar.log_prob(line) for line in lines]) - np.asarray(log_q, dtype=np.float64)
    if not np.isfinite(gaps).all():
        return math.inf, 0.0
    return float(gaps.mean()), float(gaps.std(ddof=1)) / len(gaps) ** 0.5


def divergence(log_q: Sequence[float] | np.ndarray, lines: Sequence[str]) -> tuple[float, float]:
    """KL(model || grammar) in nats a line and its standard error: E_q[log q - log p] over the model's own sentences.

    inf as soon as one sentence is not grammatical: then report grammaticality, and the divergence of the grammatical
    ones by leaving the others out of both arguments.
    """
    value, error = reverse_divergence(log_q, lines)
    return (math.inf, 0.0) if math.isinf(value) else (-value, error)
