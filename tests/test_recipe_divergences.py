"""The divergences that single recipes descend, against enumeration and against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from textgan.discriminators import Recurrent
from textgan.generators import LSTM, Generator
from textgan.recipes import DGSAN, CoT
from textgan.recipes.cot import stepwise_kl
from textgan.recipes.jsdgan import log_weights
from textgan.recipes.textgan import WIDTHS, Reader, discrepancy
from textgan.sequences import EOS, PAD
from toys import MAX_LEN, VOCAB, all_sentences, build


def sentence_log_probs(generator: Generator) -> Tensor:
    return generator.log_probs(all_sentences()).sum(1)


def test_the_steps_kl_adds_up_to_the_sentences_kl() -> None:
    """KL(G || M) = E_{x ~ G} sum_t KL(G(. | x_<t) || M(. | x_<t)), the chain rule."""
    g, m = build("lstm", sharpen=2), build("lstm", seed=1, sharpen=2)
    with torch.no_grad():
        ours, theirs = sentence_log_probs(g), sentence_log_probs(m)
        steps = torch.stack([stepwise_kl(g, m, row[None]) for row in all_sentences()])
    assert (ours.exp() * steps).sum().item() == pytest.approx((ours.exp() * (ours - theirs)).sum().item(), rel=1e-4)
    assert stepwise_kl(g, g, all_sentences()).item() == pytest.approx(0, abs=1e-6)


def test_weighted_real_sentences_follow_the_gradient_of_the_jensen_shannon_divergence() -> None:
    """grad JSD = -1/2 sum_x p_data(x) r log(1 + 1/r) grad log p_g(x), against autograd over all sentences."""
    g, sentences = build("lstm", sharpen=2), all_sentences()
    data = torch.zeros(len(sentences))
    data[[0, 3, 8, 20, 39]] = 0.2
    log_probs = sentence_log_probs(g)
    p, mean = log_probs.exp(), (log_probs.exp() + data) / 2
    real = data > 0
    jsd = ((data[real] * (data[real] / mean[real]).log()).sum() + (p * (p / mean).log()).sum()) / 2
    exact = torch.autograd.grad(jsd, list(g.parameters()), retain_graph=True)
    weights = log_weights(log_probs[real].detach() - data[real].log()).exp()
    ours = torch.autograd.grad(-(data[real] * weights * log_probs[real]).sum() / 2, list(g.parameters()))
    for a, b in zip(exact, ours, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_weights_of_improbable_sentences_keep_their_order() -> None:
    """r = e^-200 is 0 in float32, yet log(r log(1 + 1/r)) = -200 + log 200."""
    assert log_weights(torch.tensor([-200.0, -100.0])).tolist() == pytest.approx(
        [-200 + math.log(200), -100 + math.log(100)]
    )


@pytest.mark.parametrize("recipe", [CoT, DGSAN])
def test_the_game_alone_brings_g_to_the_data(recipe: type) -> None:
    """From another distribution of the toy, KL(data || G) over all sentences falls to a tenth."""
    data = build("lstm", seed=1)
    torch.manual_seed(5)
    chosen = recipe(
        batch=128, adversarial_steps=150, mle_steps=0, generator_lr=0.02, generator=LSTM(8, 8, dropout=0.0),
        **{"discriminator_lr": 0.02} if recipe is CoT else {},
    )  # fmt: skip
    players, rng = chosen.players(VOCAB, MAX_LEN), torch.Generator().manual_seed(0)

    def batches() -> Iterator[Tensor]:
        while True:
            yield data.sample(128, rng=rng).tokens

    def divergence() -> float:
        with torch.no_grad():
            p, q = sentence_log_probs(data), sentence_log_probs(players["generator"].net.eval())
        return float((p.exp() * (p - q)).sum())

    before, game = divergence(), chosen.phases(players, rng)[-1]
    for step in range(game.steps):
        game.update(step, batches())
    assert divergence() < 0.1 * before


def test_the_discrepancy_of_two_points_is_that_of_the_kernels_mean() -> None:
    """Features 0 and 1: squared distances 0 0 1 1 have mean 1/2, so the points lie sqrt(2) apart; 2 - 2 k(2)."""
    k = sum(math.exp(-2 / (2 * width**2)) for width in WIDTHS) / 19
    assert len(WIDTHS) == 19
    assert discrepancy(torch.tensor([[0.0]]), torch.tensor([[1.0]])).item() == pytest.approx(2 - 2 * k, rel=1e-5)
    same = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    assert discrepancy(same, same.flip(0)).item() == pytest.approx(0, abs=1e-6)


def test_a_reader_that_knows_nothing_loses_log_v_a_word() -> None:
    reader = Reader(Recurrent(embedding=4, hidden=6).build(VOCAB, MAX_LEN), VOCAB)
    torch.nn.init.zeros_(reader.words.weight)
    torch.nn.init.zeros_(reader.words.bias)
    tokens = torch.tensor([[4, 5, EOS], [EOS, PAD, PAD]])
    assert reader.lost(torch.randn(2, 6), tokens).item() == pytest.approx(math.log(VOCAB))
