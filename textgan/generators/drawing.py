"""One token out of V: an inverse transform for a draw, Gumbel noise for a relaxed one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from textgan.errors import InputError
from textgan.graphs import fixed_shapes
from textgan.processes import Noise

SEGMENT = 64  # probabilities added up before they are searched; benchmarks/SPEED.md


def check_temperature(temperature: float) -> None:
    """Refuse what would divide by zero or turn the distribution over."""
    if not 0 < temperature < float("inf"):
        raise InputError(f"temperature {temperature} must be a positive number; near 0 is greedy, 1 is the model")


class Decoding(NamedTuple):
    """What sentences are drawn from: softmax(logits / temperature), cut to its nucleus and normalised again.

    top_p: the nucleus is the fewest tokens, the most probable ones, that have this much of the probability between
    them; 1 keeps all. Holtzman et al. 2020, section 3.1.
    """

    temperature: float = 1.0
    top_p: float = 1.0

    def check(self) -> None:
        """Refuse what no distribution comes of."""
        check_temperature(self.temperature)
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p {self.top_p} must be above 0 and at most 1; near 0 is greedy, 1 keeps every token")

    def probs(self, logits: Tensor) -> Tensor:
        """(b, V) logits, which may be changed -> (b, V) probabilities."""
        if self.temperature != 1:
            logits /= self.temperature
        probs = logits.softmax(-1)
        if self.top_p == 1:
            return probs
        ordered, ids = probs.sort(stable=True, dim=-1, descending=True)
        ordered.masked_fill_(ordered.cumsum(-1) - ordered >= self.top_p, 0)  # what comes before has enough
        ordered /= ordered.sum(-1, keepdim=True)
        return probs.scatter_(-1, ids, ordered)


PLAIN = Decoding()


def search(weights: Tensor, u: Tensor) -> Tensor:
    """Where u of the total falls in the cumulative sum: weights (b, V) >= 0, u (b, 1) in [0, 1) -> (b, 1) int64.

    An index of weight 0 is never returned; rows with NaN get any index. The sums of segments are searched first and
    then the one segment, since on a CPU a sum is many times faster than a cumulative sum of as many numbers; a card is
    asked for few operations.
    """
    size = weights.shape[1]
    if size <= 2 * SEGMENT or fixed_shapes(weights.device):
        return _scan(weights, u)[0]
    whole = size - size % SEGMENT
    sums = weights[:, :whole].unflatten(1, (-1, SEGMENT)).sum(-1)
    if whole < size:
        sums = torch.cat([sums, weights[:, whole:].sum(-1, keepdim=True)], 1)
    segment, cdf, place = _scan(sums, u)
    weight = sums.gather(1, segment)
    u = (place - cdf.gather(1, segment) + weight) / weight  # the share of the segment that lies below the place
    first = segment * SEGMENT
    at = first + torch.arange(SEGMENT, device=weights.device)  # (b, SEGMENT)
    if whole < size:
        inside = weights.gather(1, at.clamp(max=size - 1)).masked_fill_(at >= size, 0)
    else:
        inside = weights.gather(1, at)
    return (first + _scan(inside, u)[0]).clamp_(max=size - 1)


def _scan(weights: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The index, (b, 1), the cumulative sum, (b, V), and the place searched for in it, (b, 1)."""
    cdf = weights.cumsum(-1)
    place = u.clamp(0, 1 - 2**-22) * cdf[:, -1:]  # below the total, whatever the rounding
    return torch.searchsorted(cdf, place, right=True).clamp_(max=weights.shape[1] - 1), cdf, place


def gumbel(noise: Noise, size: int) -> Tensor:
    """Standard Gumbel noise for the rows of a batch, (B, size): -log E, E = -log(1 - u) exponential; never infinite.

    u has 24 bits and is finest where E is small, which is where a draw is won. Four times as fast on the CPU as
    `exponential_`.
    """
    return noise.uniform(size, low=2**-25, high=1 - 2**-23).neg_().log1p_().neg_().log_().neg_()
