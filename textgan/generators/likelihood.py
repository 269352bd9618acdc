"""The log-likelihood of a batch through a linear head, with no (tokens x vocabulary) array in memory.

All tokens weigh the same in a maximum-likelihood loss, so the gradient of a block of logits is known as soon as its
softmax is: it is taken at once, while the block is in cache, and the backward pass has only to scale what is there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROWS = 128  # tokens at once: a vocabulary of 50,000 takes 51 MB, logits and probabilities; benchmarks/SPEED.md
NEVER = -1e9  # a forbidden token's logit; finite, since 0 * (-inf - -inf) makes an exact KL NaN


def forbid(logits: Tensor, allowed: slice) -> Tensor:
    """Logits (..., V), in place, where ids outside `allowed` have no probability."""
    logits[..., : allowed.start].fill_(NEVER)
    logits[..., allowed.stop :].fill_(NEVER)
    return logits


def summed(hidden: Tensor, tokens: Tensor, weight: Tensor, bias: Tensor | None, allowed: slice) -> Tensor:
    """sum_n log p(tokens_n | hidden_n), a scalar, of logits hidden weight^T + bias.

    hidden (N, H), tokens (N,) int64, weight (V, H), bias (V,), all float32. Its gradient is that of the same sum by
    `cross_entropy`, to rounding; there is no second derivative.
    """
    return _Summed.apply(hidden, tokens, weight, bias, allowed)


def _log(probs: Tensor, logits: Tensor, token: Tensor) -> Tensor:
    """Sum of log p over the block, float64; what is too small for a float32 is had from its logits."""
    p = probs.gather(1, token).squeeze(1).double()
    logs, rare = p.log(), p < 1e-30
    if bool(rare.any()):
        logs[rare] = logits[rare].double().log_softmax(1).gather(1, token[rare]).squeeze(1)
    return logs.sum()


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, tokens: Tensor, weight: Tensor, bias: Tensor | None, allowed: slice
    ) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        of_hidden, of_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        of_bias = None if bias is None else torch.zeros_like(bias)
        for start in range(0, len(hidden), ROWS):
            h, token = hidden[start : start + ROWS], tokens[start : start + ROWS, None]
            logits = h @ weight.t() if bias is None else torch.addmm(bias, h, weight.t())
            slope = forbid(logits, allowed).softmax(1)
            total += _log(slope, logits, token)
            slope.neg_().scatter_add_(1, token, torch.ones_like(h[:, :1]))  # d total / d logits = one-hot - p
            torch.mm(slope, weight, out=of_hidden[start : start + ROWS])
            of_weight.addmm_(slope.t(), h)
            if of_bias is not None:
                of_bias += slope.sum(0)
        ctx.save_for_backward(of_hidden, of_weight, of_bias)
        return total.float()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        of_hidden, of_weight, of_bias = (None if x is None else x * slopes[0] for x in ctx.saved_tensors)
        return of_hidden, None, of_weight, of_bias, None
