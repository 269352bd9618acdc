"""What single recipes are made of, against enumeration and values worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from textgan.discriminators import CNN, with_classes
from textgan.estimators import importance_weights, last_of
from textgan.recipes import CatGAN, catgan
from textgan.recipes.catgan import spread
from textgan.recipes.pgbleu import Bleu
from textgan.recipes.rankgan import ranks
from textgan.recipes.sentigan import penalty_loss
from textgan.recipes.textgail import evenly, whitened
from textgan.sequences import EOS, PAD, mask_of
from toys import all_sentences, build


def test_maligans_weights_turn_samples_into_the_data_where_d_is_optimal() -> None:
    """logit = log p_data - log p_g: the weighted frequencies of G's samples are p_data, whatever p_g is."""
    g, data, sentences = build("lstm", sharpen=1), build("lstm", seed=1), all_sentences()
    with torch.no_grad():
        real = data.log_probs(sentences).sum(1)
        samples = g.sample(20_000, rng=torch.Generator().manual_seed(0)).tokens
        weights = importance_weights(data.log_probs(samples).sum(1) - g.log_probs(samples).sum(1))
    assert weights.mean().item() == pytest.approx(1, abs=1e-4)
    for sentence, p in zip(sentences, real.exp(), strict=True):
        found = weights[(samples == sentence).all(1)].sum() / len(samples)
        assert abs(found - p) < 0.02  # of p up to .3; 20,000 draws of about 1 in 40


def test_the_last_reward_of_a_row_is_the_sentences_own() -> None:
    rewards = torch.tensor([[1.0, 2, 3], [4, 5, 0]])
    assert torch.equal(last_of(rewards, mask_of(torch.tensor([[4, 4, 4], [4, EOS, PAD]]))), torch.tensor([3.0, 5]))


def test_bleu_of_ids_is_that_of_words_and_the_end_mark_is_none() -> None:
    """[a b] among references is 1. [a a]: 1 of 2 words match, no bigram does (.1 of 1): sqrt(1/2 x 1/10)."""
    a, b = 4, 5
    score = Bleu(2)
    score.refer(torch.tensor([[a, b, EOS], [b, EOS, PAD]]))
    found = score(torch.tensor([[a, b, EOS], [a, a, EOS], [EOS, PAD, PAD]]))
    assert found.tolist() == pytest.approx([1, math.sqrt(0.05), 0])


def test_a_prompt_counts_in_bleu_and_the_mark_behind_it_is_no_word() -> None:
    """[a | b] against [a | b] and [b | a] is 1; [a | c] has a of 2 words and no bigram: sqrt(1/2 x 1/10).

    As a word, the mark would be 2 of its 3 matches and half a bigram's.
    """
    a, b, c, mark = 4, 5, 6, 9
    real = torch.tensor([[a, mark, b, EOS], [b, mark, a, EOS]])
    score = Bleu(2, mark)
    score.refer(real)
    found = score(torch.tensor([[a, mark, b, EOS], [a, mark, c, EOS]]))
    assert found.tolist() == pytest.approx([1, math.sqrt(0.05)])


def test_a_rank_is_the_share_of_a_sentence_among_the_comparison_set() -> None:
    """cos(s, u) = 1 and four orthogonal others: e^2 / (e^2 + 4); like all others: 1 / 5."""
    u, other = torch.tensor([[1.0, 0]]), torch.tensor([[0.0, 1]])
    found = ranks(torch.cat([u, other]), other.expand(4, 2), u.expand(16, 2), 2.0)
    assert found.tolist() == pytest.approx([math.exp(2) / (math.exp(2) + 4), 1 / 5])


def test_sentigans_penalty_rests_where_a_tokens_share_is_as_one_over_its_penalty() -> None:
    """The expected gradient is that of sum p^2 V / 2, whose minimum on the simplex is p = (1 / V) / sum(1 / V)."""
    penalties = torch.tensor([0.25, 0.5, 1.0])
    best = (1 / penalties) / (1 / penalties).sum()

    def gradient(p: torch.Tensor) -> torch.Tensor:
        logits = p.log().requires_grad_()
        log_probs = logits.log_softmax(0)
        mask = torch.ones(1, 1).bool()
        weighted = [
            p[i] * penalty_loss(log_probs[i].view(1, 1), penalties[i].view(1, 1), mask) for i in range(len(p))
        ]
        return torch.autograd.grad(torch.stack(weighted).sum(), logits)[0]

    assert torch.allclose(gradient(best), torch.zeros(3), atol=1e-7)
    assert gradient(torch.full((3,), 1 / 3))[0] < -0.01  # from uniform it does move towards the least penalty


def test_a_class_discriminators_sentence_logit_is_that_of_being_real() -> None:
    """Two real classes and "written": D = P(class 0) + P(class 1)."""
    torch.manual_seed(0)
    net = with_classes(CNN(8, (1, 2), (4, 4)), 6, 3, classes=3, real=2).eval()
    sentences = all_sentences()
    with torch.no_grad():
        classes = net.class_logits(sentences, mask_of(sentences)).softmax(1)
        assert torch.allclose(net.score(sentences, mask_of(sentences)), classes[:, :2].sum(1), atol=1e-6)


def test_children_spread_about_the_rounds_temperature() -> None:
    assert [spread(i, 3, 2.0) for i in range(3)] == [0.5, 1, 2]
    assert spread(0, 1, 2.0) == 1


def test_whitened_rewards_are_clipped() -> None:
    """0 four times and 5: mean 1, sd 2, so -.5 and 2; a sixth of seven would be 2.45, clipped to 2."""
    assert torch.allclose(whitened(torch.tensor([0.0, 0, 0, 0, 5])), torch.tensor([-0.5, -0.5, -0.5, -0.5, 2]))
    assert whitened(torch.tensor([0.0] * 6 + [7]))[-1] == 2


def test_whitened_rewards_that_differ_by_rounding_are_no_advantage() -> None:
    """.5 and the next number of float32; a spread of 1e-5 is kept in its place, at a tenth of ALIKE."""
    rewards = torch.full((128,), 0.5)
    rewards[::2] += 6e-8
    assert len(rewards.unique()) == 2 and not whitened(rewards).any()
    rewards[::2] += 2e-5
    assert whitened(rewards).abs().amax().item() == pytest.approx(0.1, rel=0.02)


def test_demonstrations_are_spread_evenly() -> None:
    shown = evenly(0.3, 100)
    assert 28 <= shown.sum() <= 32
    assert all(1 <= shown[i : i + 10].sum() <= 5 for i in range(0, 100, 10))
    assert not evenly(0.0, 10).any() and evenly(1.0, 10).all()


def test_children_of_equal_temperature_are_equally_fit() -> None:
    """They have the same noise, so that luck does not choose among them; rate 0: their weights are equal too."""
    torch.manual_seed(0)
    kind = CatGAN(batch=8, generator_lr=0.0, mutation=1.0, children=3, discriminator_updates=1)
    players = kind.players(9, 4, labels=2)
    found: list[Tensor] = []
    tokens = torch.tensor([[7, 4, 5, EOS], [8, 5, EOS, PAD]] * 4)  # a label and a sentence
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catgan, "chosen", lambda kept, best: found.append(kept) or kept[0])
        kind.phases(players, torch.Generator().manual_seed(0))[-1].update(0, itertools.repeat(tokens))
    fitness = [child["fitness"].item() for child in found[-1]]
    assert len(fitness) == 3 and fitness[0] == fitness[1] == fitness[2]
