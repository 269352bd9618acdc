"""The slow, obviously right twin of the roll-out rewards; benchmarks/throughput.py times it beside the fast one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from textgan.generators import Generator
from textgan.sequences import EOS, PAD, Samples


def slow_complete(
    generator: Generator, prefix: Tensor, rng: torch.Generator | None, *, lean: bool = False
) -> Tensor:
    """(B, P) -> (B, max_len): the whole prefix is recomputed for each token, one torch.multinomial a step.

    lean: the V-sized head sees the last position alone; the same draws, and a harder rival for the benchmark.
    """
    n, given = prefix.shape
    tokens = torch.full((n, generator.max_len), PAD)
    tokens[:, :given] = prefix
    done = (prefix == EOS).any(1) | (prefix == PAD).any(1)
    for t in range(given, generator.max_len):
        now = tokens[:, : t + 1]
        logits = generator.head(generator.hidden(now)[:, t]) if lean else generator(now)[:, t]
        token = torch.multinomial(logits.softmax(-1), 1, generator=rng).squeeze(1)
        tokens[:, t] = token.masked_fill(done, PAD)
        done |= tokens[:, t] == EOS
    return tokens


@torch.no_grad()
def slow_rollout_rewards(
    generator: Generator,
    score: Callable[[Tensor], Tensor],
    samples: Samples,
    *,
    n: int,
    rng: torch.Generator | None = None,
    lean: bool = False,
) -> Tensor:
    """One roll-out of one prefix length at a time: (B, T)."""
    rewards = torch.zeros_like(samples.log_probs)
    lengths = samples.mask.sum(1)
    for t in range(samples.tokens.shape[1]):
        for _ in range(n):
            complete = slow_complete(generator, samples.tokens[:, : t + 1], rng, lean=lean)
            rewards[:, t] += score(complete) / n
    whole = score(samples.tokens)
    rewards[torch.arange(len(rewards)), lengths - 1] = whole
    return rewards * samples.mask
