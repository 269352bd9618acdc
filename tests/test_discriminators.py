"""Discriminators see text and nothing else: no padding, no difference between hard and one-hot tokens."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from textgan.discriminators import CNN, DISCRIMINATORS, CNNDiscriminator, Discriminator, StepDiscriminator
from textgan.errors import InputError
from textgan.objectives import gradient_penalty, one_hot
from textgan.sequences import EOS, PAD, mask_of, pad_to

VOCAB, MAX_LEN = 9, 12
kinds = pytest.mark.parametrize("kind", DISCRIMINATORS)


def build(kind: str) -> Discriminator:
    torch.manual_seed(0)
    return DISCRIMINATORS[kind]().build(VOCAB, MAX_LEN).eval()


def sentences(n: int = 16, longest: int = 7) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    tokens = torch.randint(EOS + 1, VOCAB, (n, longest), generator=rng)
    ends = torch.randint(0, longest, (n,), generator=rng)
    at = torch.arange(longest)
    tokens = tokens.masked_fill(at > ends[:, None], PAD)
    tokens[torch.arange(n), ends] = EOS
    return tokens


@kinds
def test_padding_never_changes_a_logit(kind: str) -> None:
    discriminator, tokens = build(kind), sentences()
    short = discriminator(tokens, mask_of(tokens))
    padded = pad_to(tokens, MAX_LEN)
    assert torch.allclose(short, discriminator(padded, mask_of(padded)), atol=1e-5)
    features = discriminator.features(tokens, mask_of(tokens))
    assert torch.allclose(features, discriminator.features(padded, mask_of(padded)), atol=1e-5)
    for row in range(len(tokens)):  # alone, without the batch's padding
        own = tokens[row : row + 1, : int(mask_of(tokens)[row].sum())]
        assert torch.allclose(short[row], discriminator(own, mask_of(own))[0], atol=1e-5)


@kinds
def test_soft_tokens_past_the_end_change_nothing(kind: str) -> None:
    discriminator, tokens = build(kind), sentences()
    soft = one_hot(tokens, VOCAB)
    noise = torch.rand(soft.shape).masked_fill(mask_of(tokens)[..., None], 0)
    hard = discriminator(tokens, mask_of(tokens))
    assert torch.allclose(hard, discriminator(soft, mask_of(tokens)), atol=1e-5)
    assert torch.allclose(hard, discriminator(soft + noise, mask_of(tokens)), atol=1e-5)


@kinds
def test_features_are_judged_as_their_sentences_are(kind: str) -> None:
    discriminator, tokens = build(kind), sentences()
    mask = mask_of(tokens)
    judged = discriminator.judged(discriminator.features(tokens, mask))
    assert torch.allclose(judged, discriminator(tokens, mask), atol=1e-5)


@kinds
def test_a_gradient_reaches_soft_tokens(kind: str) -> None:
    discriminator, tokens = build(kind), sentences()
    soft = one_hot(tokens, VOCAB).requires_grad_()
    discriminator(soft, mask_of(tokens)).sum().backward()
    assert soft.grad is not None
    assert torch.isfinite(soft.grad).all()
    assert (soft.grad.abs().sum(-1)[mask_of(tokens)] > 0).float().mean() > 0.9  # max pooling may pass a token by


@kinds
def test_each_learns_to_tell_words_apart(kind: str) -> None:
    """Real sentences hold words 3..5, fakes 6..8: easily separable, so after 60 steps nearly every pair is right."""
    torch.manual_seed(0)
    discriminator = DISCRIMINATORS[kind]().build(VOCAB, MAX_LEN)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3)
    real, fake = torch.randint(3, 6, (64, 7)), torch.randint(6, 9, (64, 7))
    for _ in range(60):
        optimizer.zero_grad()
        a, b = discriminator(real, mask_of(real)), discriminator(fake, mask_of(fake))
        torch.nn.functional.softplus(torch.cat([-a, b])).mean().backward()
        optimizer.step()
    discriminator.eval()
    right = discriminator.score(real, mask_of(real)) > discriminator.score(fake, mask_of(fake))
    assert right.float().mean() > 0.95


@kinds
def test_a_gradient_penalty_can_be_differentiated_again(kind: str) -> None:
    discriminator = build(kind)
    real, fake = one_hot(torch.randint(3, 9, (4, 7)), VOCAB), torch.rand(4, 7, VOCAB).softmax(-1)
    mask = torch.ones(4, 7).bool()
    gradient_penalty(lambda x: discriminator(x, mask), real, fake).backward()
    assert sum(p.grad.abs().sum().item() for p in discriminator.parameters() if p.grad is not None) > 0


def test_step_logits_judge_by_the_past_alone() -> None:
    discriminator = build("recurrent")
    assert isinstance(discriminator, StepDiscriminator)
    tokens = torch.randint(3, 9, (5, 6))
    changed = tokens.clone()
    changed[:, 4:] = 3
    a = discriminator.step_logits(tokens, mask_of(tokens))
    b = discriminator.step_logits(changed, mask_of(changed))
    assert a.shape == (5, 6)
    assert torch.allclose(a[:, :4], b[:, :4])
    assert not torch.allclose(a[:, 4:], b[:, 4:])


def test_a_sentence_read_word_by_word_has_the_features_of_each_of_its_beginnings() -> None:
    """Wide windows too, which the first words do not fill and the last ones leave behind; nothing read is padding."""
    torch.manual_seed(0)
    net = CNN(embedding=5, widths=(1, 2, 4, 6), filters=(7, 6, 5, 8)).build(VOCAB, MAX_LEN).eval()
    assert isinstance(net, CNNDiscriminator)
    tokens, reading = torch.randint(EOS + 1, VOCAB, (8, 11), generator=torch.Generator().manual_seed(2)), net.unread(8)
    with torch.no_grad():
        for read in range(12):
            begun = tokens[:, : max(1, read)]
            wanted = net.features(begun, torch.full_like(begun, read > 0, dtype=torch.bool))
            assert torch.allclose(net.highway(reading.strongest[0].relu()), wanted, atol=1e-6)
            if read < 11:
                reading = net.read_on(reading, net.embedding(tokens[:, read]))


def test_sizes_that_do_not_fit_are_refused_by_the_flag() -> None:
    cases = {
        "multi_cnn": ({"embedding": 10, "representations": 4}, "discriminator.embedding 10 must be a multiple"),
        "cnn": ({"widths": (1, 2), "filters": (3,)}, "discriminator.widths has 2 entries and discriminator.filters 1"),
        "transformer": ({"width": 10, "heads": 4}, "discriminator.width 10 must be a multiple"),
    }
    for kind, (fields, message) in cases.items():
        with pytest.raises(InputError, match=message):
            DISCRIMINATORS[kind](**fields).build(VOCAB, MAX_LEN)
