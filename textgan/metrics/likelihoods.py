"""What models think of a text and what a model of the text thinks of real text, in nats a word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .kneserney import KneserNey, Marked
from .reasons import Unmeasurable
from .score import Better, Metric, Needs
from .sets import Sets, cached, cached_half


def mean_per_token(logs: np.ndarray, tokens: np.ndarray) -> float:
    """Negative log-likelihood over all tokens: no padding is counted, and long lines weigh by their length."""
    if not tokens.sum():
        raise Unmeasurable("there are no words to score")
    value = float(-logs.sum() / tokens.sum())
    if not np.isfinite(value):
        raise Unmeasurable("the model gives a line the probability 0")
    return value


def ratio_error(logs: np.ndarray, tokens: np.ndarray) -> float:
    """Standard error of the mean per token, by linearisation of the ratio."""
    residual = -logs - tokens * (-logs.sum() / tokens.sum())
    return float(residual.std(ddof=1)) * len(logs) ** 0.5 / float(tokens.sum())


@dataclass(frozen=True)
class LMScore(Metric):
    """Nats a word (its end counted) of the text under an n-gram model of real text. Zhao et al. 2018.

    Low = fluent, and a collapsed text is lowest. The model is trained on the reference half.
    """

    order: int = 4
    model: str = "Kneser-Ney, modified, interpolated"
    family: ClassVar[str] = "LM-score"
    better: ClassVar[Better] = "lower"
    aspect = "quality"
    needs: ClassVar[Needs] = "half"
    slow: ClassVar[bool] = True
    set_valued: ClassVar[bool] = False
    below: ClassVar[str] = "more predictable than real text"
    above: ClassVar[str] = "less fluent than real text"

    @property
    def name(self) -> str:
        return self.family

    def settings(self) -> dict[str, object]:
        return {"model": self.model, "order": self.order}

    def measure(self, sets: Sets) -> float:
        return mean_per_token(*self._scored(sets))

    def standard_error(self, sets: Sets) -> float | None:
        return ratio_error(*self._scored(sets))

    def _scored(self, sets: Sets) -> tuple[np.ndarray, np.ndarray]:
        half = sets.half
        assert half is not None
        model = cached_half(sets, self, lambda: self.train(half.texts(), half.tokenise))
        return cached(sets, self, lambda: model.log_probs(sets.half_text.texts()))

    def train(self, lines: list[str], tokenise: str) -> Any:
        """A model of real text; its `log_probs(lines)` gives (n,) log-probabilities and (n,) word counts."""
        return KneserNey(lines, order=self.order, tokenise=tokenise)


@dataclass(frozen=True)
class ReverseLMScore(Metric):
    """Nats a word of real text under an n-gram model of the scored text: low = it covers real text. Zhao et al. 2018.

    The model sees as many lines of the scored text as real text's own row sees of real text; it knows both's words.
    """

    order: int = 4
    model: str = "Kneser-Ney, modified, interpolated, words of both texts"
    family: ClassVar[str] = "reverse-LM-score"
    better: ClassVar[Better] = "lower"
    needs: ClassVar[Needs] = "half"
    slow: ClassVar[bool] = True
    below: ClassVar[str] = "covers more than real text"
    above: ClassVar[str] = "covers less than real text"

    @property
    def name(self) -> str:
        return self.family

    def settings(self) -> dict[str, object]:
        return {"model": self.model, "order": self.order}

    def measure(self, sets: Sets) -> float:
        assert sets.half is not None
        half, tokens = sets.half, sets.half.tokenise
        real = cached_half(sets, "marked", lambda: Marked(half.texts(), tokens))
        model = KneserNey.covering(sets.half_text.texts(), real, order=self.order, tokenise=tokens)
        return mean_per_token(*model.log_probs(real))


LogProbs = Callable[[list[str]], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class ModelNLL(Metric):
    """Nats a token of the scored text under a given model: NLL_oracle (the oracle), NLL_div (the generator itself).

    log_probs: lines -> (n,) log-probabilities and (n,) token counts, at temperature 1 unless `model` says otherwise.
    For NLL_gen and NLL_test score real held-out text under the generator. model: its name, for the signature.
    """

    log_probs: LogProbs = field(repr=False)
    model: str
    label: str = "NLL"
    better: ClassVar[Better] = "match"
    set_valued: ClassVar[bool] = False
    below: ClassVar[str] = "likelier under the model than real text"
    above: ClassVar[str] = "less likely under the model than real text"

    @property
    def name(self) -> str:
        return self.label

    def settings(self) -> dict[str, object]:
        return {"model": self.model}

    def measure(self, sets: Sets) -> float:
        return mean_per_token(*self._scored(sets))

    def standard_error(self, sets: Sets) -> float | None:
        return ratio_error(*self._scored(sets))

    def _scored(self, sets: Sets) -> tuple[np.ndarray, np.ndarray]:
        return cached(sets, self, lambda: self.log_probs(sets.text.texts()))
