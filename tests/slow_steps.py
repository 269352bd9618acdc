"""The slow, obviously right twins of what a training step is made of; benchmarks/throughput.py times them beside it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.discriminators import CNNDiscriminator, MultiCNNDiscriminator
from textgan.generators import Generator
from textgan.sequences import BOS, EOS, PAD, Relaxed, lengths_of, mask_of


def slow_log_probs(generator: Generator, tokens: Tensor) -> Tensor:
    """(B, T) -> (B, T): logits at all positions, a log-softmax of all words, and a one-hot that picks one."""
    log_probs = generator(tokens).log_softmax(-1)
    return (F.one_hot(tokens, generator.vocab_size) * log_probs).sum(-1) * mask_of(tokens)


def slow_relaxed_sample(generator: Generator, noise: Tensor, *, temperature: float) -> Relaxed:
    """Gumbel-softmax with the discrete token fed on as a dense one-hot; noise (T, B, V) is standard Gumbel."""
    _, n, size = noise.shape
    state, x = generator.start(n), torch.full((n,), BOS)
    done, probs, tokens = torch.zeros(n, dtype=torch.bool), [], []
    for now in noise:
        logits, state = generator.step(x, state)
        soft = ((logits + now) / temperature).softmax(-1)
        token = torch.where(done, PAD, soft.argmax(-1))
        x = F.one_hot(token, size).float()
        probs.append(torch.where(done[:, None], x, soft))
        tokens.append(token)
        done = done | (token == EOS)
    ids = torch.stack(tokens, 1)
    return Relaxed(torch.stack(probs, 1), ids, mask_of(ids))


def slow_windows(x: Tensor, mask: Tensor, convolutions: nn.ModuleList) -> Tensor:
    """(B, T, E) -> (B, F): a two-dimensional convolution, a ReLU of all its responses, a maximum over the sentence."""
    pooled = []
    for convolution in convolutions:
        filters = convolution.get_parameter("weight")
        k = filters.shape[2]
        image = F.pad(x * mask[..., None], (0, 0, 0, max(0, k - x.shape[1])))[:, None]  # (B, 1, T, E)
        response = F.relu(F.conv2d(image, filters.transpose(1, 2)[:, None], convolution.get_parameter("bias")))
        window = torch.arange(response.shape[2])
        inside = (window == 0) | (window + k <= lengths_of(mask)[:, None])  # (B, W)
        pooled.append((response.squeeze(3) * inside[:, None]).amax(2))
    return torch.cat(pooled, 1)


def slow_logits(net: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
    """A convolutional discriminator's logits, (B,) or (B, R), from dense tokens (B, T, V)."""
    if isinstance(net, CNNDiscriminator):
        pooled = slow_windows(x @ net.embedding.weight, mask, net.convolutions)
        return net.out(net.dropout(net.highway(pooled))).squeeze(1)
    assert isinstance(net, MultiCNNDiscriminator)
    embedded = net.embedding(x).unflatten(2, (net.representations, -1))  # (B, T, R, E)
    logits = [
        net.out(net.layer(net.dropout(net.highway(slow_windows(part, mask, net.convolutions)))))
        for part in embedded.unbind(2)
    ]
    return torch.cat(logits, 1)
