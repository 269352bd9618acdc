"""The strongest window of each filter of a CNN over sentences, found as cheaply as a gradient and the words allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.graphs import fixed_shapes
from textgan.sequences import lengths_of

BLOCK = 1 << 18  # responses of filters at once, where no gradient is kept: they stay in cache; benchmarks/SPEED.md
CARD_BLOCK = 1 << 26  # responses at once on a card (256 MB), where few launches matter and caches do not
FEW = 2  # channels up to which a filter's strongest window is cheaper to find first; benchmarks/SPEED.md


def pooled_windows(x: Tensor, mask: Tensor, convolutions: Iterable[nn.Module]) -> Tensor:
    """The strongest response of each filter over the windows inside each sentence: (B, T, E), (B, T) -> (B, F).

    A window of width k counts where it lies in the sentence; a sentence shorter than k has one, filled up with
    zeros. ReLU follows the maximum, which is the same as before it and touches T times fewer numbers. Kim 2014.
    """
    x, lengths = x * mask[..., None], lengths_of(mask)
    pool = _pool_chosen if torch.is_grad_enabled() and x.shape[2] <= FEW else _pool
    return F.relu(torch.cat([pool(x, lengths, convolution) for convolution in convolutions], 1))


def _pool(x: Tensor, lengths: Tensor, convolution: nn.Module) -> Tensor:
    """(B, T, E), (B,) -> (B, F_k), in blocks of sentences where no gradient needs the responses."""
    return torch.cat([response.amax(2) for response in _responses(x, lengths, convolution)])


def _pool_chosen(x: Tensor, lengths: Tensor, convolution: nn.Module) -> Tensor:
    """`_pool` for a few channels: finds the strongest windows first, and only those are computed with a gradient.

    Neither the responses, T times larger than the result, nor their gradients are kept.
    """
    filters = convolution.get_parameter("weight")
    _, channels, k = filters.shape
    with torch.no_grad():
        window = torch.cat([response.max(2).indices for response in _responses(x, lengths, convolution)])  # (B, F_k)
    x = F.pad(x, (0, 0, 0, max(0, k - x.shape[1])))
    total: Tensor = convolution.get_parameter("bias")
    for channel in range(channels):
        for j in range(k):
            total = total + x[..., channel].gather(1, window + j) * filters[:, channel, j]
    return total


def _responses(x: Tensor, lengths: Tensor, convolution: nn.Module) -> Iterator[Tensor]:
    """(B, T, E), (B,) -> blocks of (b, F_k, W), -inf outside the sentences."""
    size, _, k = convolution.get_parameter("weight").shape
    wide = F.pad(x.transpose(1, 2), (0, max(0, k - x.shape[1])))  # (B, E, T)
    block = CARD_BLOCK if fixed_shapes(x.device) else BLOCK
    rows = len(x) if torch.is_grad_enabled() else max(1, block // (wide.shape[2] * size))
    for block, length in zip(wide.split(rows), lengths.split(rows), strict=True):
        response = convolution(block)
        yield response.masked_fill(_outside(response.shape[2], k, length)[:, None], float("-inf"))


def _outside(windows: int, k: int, lengths: Tensor) -> Tensor:
    """Windows of width k that end past their sentence, save for the first: (B, W) bool."""
    window = torch.arange(windows, device=lengths.device)
    return (window > 0) & (window + k > lengths[:, None])


@torch.no_grad()
def looked_up_windows(tokens: Tensor, mask: Tensor, weight: Tensor, convolutions: Iterable[nn.Module]) -> Tensor:
    """`pooled_windows` of many embedded sentences without a gradient: (B, T) int64, weight (V, E) -> (B, F).

    A convolution over embedded tokens is a sum of k table look-ups. The tables are made for the words that occur, and
    each adds a row where a product would take E of them; widths with fewer windows than words are left to the product.
    """
    words, places = tokens.unique(return_inverse=True)  # (U,), (B, T)
    vectors = F.pad(weight[words], (0, 0, 0, 1))  # (U + 1, E); the last, of zeros, stands past the end
    places = places.masked_fill(~mask, len(words))
    lengths, pooled = lengths_of(mask), []
    for convolution in convolutions:
        filters, bias = convolution.get_parameter("weight"), convolution.get_parameter("bias")
        k = filters.shape[2]
        at = F.pad(places, (0, max(0, k - places.shape[1])), value=len(words)).unfold(1, k, 1)  # (B, W, k)
        outside = _outside(at.shape[1], k, lengths)
        if outside.numel() < 2 * len(words):
            pooled.append(pooled_windows(vectors[places], mask, [convolution]))
            continue
        table = vectors @ filters.permute(2, 1, 0)  # (k, U + 1, F_k)
        at = at + torch.arange(k, device=at.device) * len(vectors)
        rows = max(1, BLOCK // (at.shape[1] * table.shape[2]))
        strongest = [
            F.embedding_bag(window.flatten(0, 1), table.flatten(0, 1), mode="sum")
            .view(*window.shape[:2], -1)
            .masked_fill_(hidden[..., None], float("-inf"))
            .amax(1)
            for window, hidden in zip(at.split(rows), outside.split(rows), strict=True)
        ]
        pooled.append(torch.cat(strongest) + bias)
    return F.relu(torch.cat(pooled, 1))
