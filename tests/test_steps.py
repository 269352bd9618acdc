"""A training step's fast paths equal their slow twins: values, and gradients to 1e-5."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from slow_steps import slow_log_probs, slow_logits, slow_relaxed_sample
from textgan.discriminators import CNN, MultiCNN
from textgan.generators import Generator, gumbel
from textgan.processes import Noise
from textgan.sequences import EOS, PAD, mask_of
from toys import FAMILIES, VOCAB, all_sentences, build


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probs_and_their_gradients_equal_those_of_the_slow_twin(family: str) -> None:
    generator = build(family)
    both = (_gradients(f, generator) for f in (type(generator).log_probs, slow_log_probs))
    for fast, slow in zip(*both, strict=True):
        assert torch.allclose(fast, slow, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_likelihood_of_a_batch_is_the_sum_of_its_log_probs_and_so_is_its_gradient(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks smaller than the batch, with a forbidden row of logits and a token too rare for a float32's softmax."""
    monkeypatch.setattr("textgan.generators.likelihood.ROWS", 7)
    generator, tokens = build(family), all_sentences()
    with torch.no_grad():
        if (head := generator.linear()) is not None and head.bias is not None:
            head.bias[tokens[0, 0]] -= 150.0
    parameters = [p for p in generator.parameters() if p.requires_grad]
    found = []
    for value in (generator.log_likelihood(tokens), slow_log_probs(generator, tokens).sum()):
        found.append([value, *torch.autograd.grad(3 * value, parameters)])
    for fast, slow in zip(*found, strict=True):
        assert torch.allclose(fast, slow, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probs_without_a_gradient_are_the_same_in_blocks(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, tokens = build(family), all_sentences()
    monkeypatch.setattr(type(generator), "_rows", 5)
    with torch.no_grad():
        assert torch.allclose(generator.log_probs(tokens), slow_log_probs(generator, tokens), atol=1e-5)


def _gradients(log_probs: Callable[[Generator, Tensor], Tensor], generator: Generator) -> list[Tensor]:
    value = log_probs(generator, all_sentences())
    weighted = (value * torch.linspace(-1, 1, value.numel()).view_as(value)).sum()
    return [value, *torch.autograd.grad(weighted, [p for p in generator.parameters() if p.requires_grad])]


@pytest.mark.parametrize("spec", [CNN(widths=(1, 2, 5), filters=(7, 5, 4)), MultiCNN(8, 4, (2, 5), (7, 5), 6)])
def test_logits_and_their_gradients_equal_those_of_the_slow_twin(spec: CNN | MultiCNN) -> None:
    torch.manual_seed(0)
    net = spec.build(20, 9).eval()
    tokens = torch.randint(EOS + 1, 20, (11, 9))
    tokens[torch.arange(9) > torch.randint(9, (11, 1))] = PAD  # some shorter than the widest window
    mask, dense = mask_of(tokens), F.one_hot(tokens, 20).float()
    weights = [p for p in net.parameters() if p.requires_grad]
    fast, slow = net(tokens, mask), slow_logits(net, dense, mask)
    assert torch.allclose(fast, slow, atol=1e-5)
    for a, b in zip(*(torch.autograd.grad(y.square().sum(), weights) for y in (fast, slow)), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_relaxed_samples_and_their_gradients_equal_those_of_the_slow_twin(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, n = build(family), 40
    rows = Noise(n, torch.Generator().manual_seed(1), torch.device("cpu"))
    noise = torch.stack([gumbel(rows, VOCAB) for _ in range(3)])
    given = iter(noise)
    monkeypatch.setattr("textgan.generators.base.gumbel", lambda *_: next(given))
    fast = generator.relaxed_sample(n, temperature=0.7, hard=False, feed_tokens=True)
    slow = slow_relaxed_sample(generator, noise, temperature=0.7)
    width = fast.tokens.shape[1]
    assert torch.equal(fast.tokens, slow.tokens[:, :width])
    assert torch.allclose(fast.probs, slow.probs[:, :width], atol=1e-5)
    weight = torch.randn(n, width, VOCAB, generator=torch.Generator().manual_seed(2))
    own = [p for p in generator.parameters() if p.requires_grad]
    gradients = (torch.autograd.grad((y.probs[:, :width] * weight).sum(), own) for y in (fast, slow))
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, atol=1e-4)
