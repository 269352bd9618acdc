"""The divergences that single recipes descend, against enumeration and against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from textgan.discriminators import Recurrent
from textgan.generators import LSTM, Generator
from textgan.recipes import DGSAN, JSDGAN, CoT
from textgan.recipes.cot import stepwise_kl
from textgan.recipes.jsdgan import log_weights, prompt_shares
from textgan.recipes.textgan import WIDTHS, Reader, discrepancy
from textgan.sequences import EOS, PAD, pad_to
from textgan.updates import Player
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


def test_with_prompts_the_step_follows_the_divergence_of_whole_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """p_g(x) = p_data(prompt) p(rest | prompt): nine of twelve lines begin with the one prompt, three with the other.

    The batch is the training text itself, each line once, so that a step is the exact one but for its length.
    """
    mark, rests = VOCAB, all_sentences()
    every = torch.cat([torch.cat([torch.tensor([[word, mark]]).expand(len(rests), 2), rests], 1) for word in (4, 5)])
    real = every[[*range(0, 36, 4), len(rests), len(rests) + 7, len(rests) + 20]]
    torch.manual_seed(0)
    recipe = JSDGAN(sentences=12, mle_steps=0, generator=LSTM(8, 8, dropout=0.0, tied=False))
    players = recipe.players(VOCAB + 1, MAX_LEN + 2)
    g = players["generator"].net.eval()
    g.mark, g.prompts = mark, real[:, :2]
    weights = list(g.parameters())
    with torch.no_grad():
        for weight in weights:
            weight.mul_(3 if weight.dim() > 1 else 1)
    p = torch.where(every[:, 0] == 4, 9 / 12, 3 / 12) * g.log_probs(every).sum(1).exp()
    data = (every[:, None] == real).all(2).any(1).float() / 12
    mean, seen = (p + data) / 2, data > 0
    jsd = ((data[seen] * (data[seen] / mean[seen]).log()).sum() + (p * (p / mean).log()).sum()) / 2
    exact, found = torch.autograd.grad(jsd, weights), []
    monkeypatch.setattr(Player, "minimise", lambda _, loss: found.extend(torch.autograd.grad(loss, weights)) or loss)
    recipe.phases(players, torch.Generator())[-1].update(0, iter([real]))
    ours, theirs = (torch.cat([grad.flatten() for grad in grads]) for grads in (found, exact))
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.99999


def test_a_prompts_share_is_its_count_in_the_training_text() -> None:
    g = build("lstm", vocab=VOCAB + 1, max_len=5)
    assert prompt_shares(g)(torch.tensor([[4, 5, EOS]])).tolist() == [0]  # no prompts
    g.mark = VOCAB
    g.prompts = torch.tensor([[4, VOCAB, PAD], [5, 4, VOCAB], [4, VOCAB, PAD], [VOCAB, PAD, PAD]])
    lines = torch.tensor([[4, VOCAB, 5, EOS, PAD], [5, 4, VOCAB, 4, EOS], [VOCAB, 4, 4, 4, 4], [5, 5, VOCAB, 4, EOS]])
    for tokens in (lines, pad_to(lines, 9)):  # the last one's prompt is not among those kept
        assert prompt_shares(g)(tokens).exp().tolist() == pytest.approx([1 / 2, 1 / 4, 1 / 4, 1 / 4])


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
