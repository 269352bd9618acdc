"""The padded shape that flows between all parts: tokens with PAD after EOS, hard or relaxed.

Letters for shapes in the whole package: B batch, T time, V vocabulary, F features, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from textgan.graphs import fixed_shapes
from textgan.text import BOS, EOS, PAD, SPECIALS, UNK

__all__ = [
    "BOS", "EOS", "PAD", "SPECIALS", "UNK", "Relaxed", "Samples", "after_mark", "embed", "lengths_of", "mask_of",
    "mean_within", "pad_to", "parted", "split_labels", "straight_through",
]  # fmt: skip


class Samples(NamedTuple):
    """Discrete sentences drawn from a generator.

    tokens: (B, T) int64, PAD after EOS; a sentence cut at the maximum length has no EOS.
    log_probs: (B, T) log p(token_t | token_<t) under the distribution sampled from; 0 outside the mask.
    mask: (B, T) bool, True where a token was drawn: up to and including EOS, after a given prefix or prompt.
    """

    tokens: Tensor
    log_probs: Tensor
    mask: Tensor


class Relaxed(NamedTuple):
    """Sentences that carry a gradient.

    probs: (B, T, V) float on the simplex, differentiable; one-hot values where hard; one-hot PAD after EOS.
    tokens: (B, T) int64, the argmax of probs: an exact sample of the generator at temperature 1.
    mask: (B, T) bool, True up to and including EOS.
    """

    probs: Tensor
    tokens: Tensor
    mask: Tensor


def mask_of(tokens: Tensor) -> Tensor:
    """Which positions are text: (B, T) int64 -> (B, T) bool, True up to and including EOS."""
    return tokens != PAD


def after_mark(tokens: Tensor, mark: int) -> Tensor:
    """Which positions come after a row's mark, or all of a row that has none: (B, T) int64 -> (B, T) bool."""
    return (tokens == mark).flip(1).cumsum(1).flip(1) == 0


def split_labels(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Sentences and their labels: (B, T + 1), whose first column is a label's id, -> (B, T), (B,)."""
    return tokens[:, 1:], tokens[:, 0]


def parted(tokens: Tensor, labels: int) -> tuple[Tensor, Tensor | None]:
    """`split_labels` where the text has labels, else all of it and None."""
    return split_labels(tokens) if labels else (tokens, None)


def lengths_of(mask: Tensor) -> Tensor:
    """Tokens a sentence, EOS included: (B, T) bool -> (B,) int64."""
    return mask.sum(-1)


def mean_within(x: Tensor, mask: Tensor, of: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    """The mean over the tokens where mask is True of what `of` makes of each: (...), (...) -> ()."""
    if fixed_shapes(x.device):
        return (of(x) * mask).sum() / mask.sum()
    return of(x[mask]).mean()


def pad_to(tokens: Tensor, length: int) -> Tensor:
    """Widen (B, T) with PAD to (B, length); a wider one comes back as it is."""
    return F.pad(tokens, (0, max(0, length - tokens.shape[1])), value=PAD)


def embed(x: Tensor, weight: Tensor) -> Tensor:
    """One door for hard and soft tokens: (...,) int64 or (..., V) float -> (..., E), for weight (V, E)."""
    if x.dtype == torch.int64:
        return F.embedding(x, weight)
    if x.shape[-1] != weight.shape[0]:
        raise ValueError(f"soft tokens {tuple(x.shape)} must end in the vocabulary size {weight.shape[0]}")
    return x @ weight


def straight_through(soft: Tensor, tokens: Tensor) -> Tensor:
    """One-hot values with the gradient of soft: (..., V), (...) -> (..., V). Bengio et al. 2013."""
    hard = torch.zeros_like(soft).scatter_(-1, tokens.unsqueeze(-1), 1.0)
    return hard + (soft - soft.detach())
