"""Gradients across sampling, held against exact enumeration and the obvious slow twin."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from slow_rollouts import slow_rollout_rewards
from textgan import discriminators, estimators, windows
from textgan.discriminators import CNN, MultiCNN
from textgan.estimators import (
    MovingBaseline,
    clipped_ratio,
    discounted_returns,
    divergence,
    exponential_temperature,
    group_advantages,
    linear_temperature,
    position_baseline,
    reinforce,
    rollout_rewards,
    score_blocks,
)
from textgan.sequences import EOS, PAD, Samples, mask_of, pad_to
from toys import FAMILIES, MAX_LEN, VOCAB, all_sentences, build

families = pytest.mark.parametrize("family", FAMILIES)
CODES = torch.tensor([VOCAB**2, VOCAB, 1])


def reward_of(tokens: Tensor) -> Tensor:
    """Any fixed, irregular function of a sentence: (B, T) -> (B,) in [0, 1]."""
    return torch.frac((pad_to(tokens, MAX_LEN) @ CODES).float() * 0.618034)


@families
def test_reinforce_equals_the_exact_gradient(family: str) -> None:
    """Weighting every sentence by its probability, the estimator is the gradient of sum_x p(x) R(x)."""
    generator, sentences = build(family), all_sentences()
    log_probs = generator.log_probs(sentences)
    rewards = reward_of(sentences)
    weights = [p for p in generator.parameters() if p.requires_grad]
    exact = torch.autograd.grad((log_probs.sum(1).exp() * rewards).sum(), weights, retain_graph=True)
    p = log_probs.sum(1).exp().detach()
    weighted = (rewards * p)[:, None].expand_as(log_probs) * len(sentences)  # undo the mean over B
    estimate = torch.autograd.grad(-reinforce(log_probs, weighted, mask_of(sentences)), weights)
    for a, b in zip(exact, estimate, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@families
def test_rollout_rewards_tend_to_the_exact_value_of_a_prefix(family: str) -> None:
    generator, sentences = build(family), all_sentences()
    p, r = generator.log_probs(sentences).sum(1).exp().detach(), reward_of(sentences)
    samples = Samples(sentences, torch.zeros(sentences.shape), mask_of(sentences))
    estimate = rollout_rewards(generator, reward_of, samples, n=4000, rng=torch.Generator().manual_seed(0))
    for b, sentence in enumerate(sentences):
        for t in range(int((sentence != PAD).sum())):
            same = (sentences[:, : t + 1] == sentence[: t + 1]).all(1)
            exact = (p * r)[same].sum() / p[same].sum()
            assert abs(estimate[b, t] - exact) < 0.03  # sd of a mean of 4000 numbers in [0, 1] is under .008
    assert not estimate[~samples.mask].any()


@families
def test_rollouts_keep_to_their_context(family: str) -> None:
    """The value of a first token differs between contexts; each row's tends to that of its own."""
    generator, sentences = build(family), all_sentences()
    tokens = torch.tensor([[4, 4, 4]] * 2)
    context = torch.tensor([4, 5])
    samples = Samples(tokens, torch.zeros(2, 3), mask_of(tokens))
    estimate = rollout_rewards(
        generator, reward_of, samples, n=4000, context=context, rng=torch.Generator().manual_seed(0)
    )
    same, r = sentences[:, 0] == 4, reward_of(sentences)
    for row in range(2):
        p = generator.log_probs(sentences, context[row].expand(len(sentences))).sum(1).exp().detach()
        assert abs(estimate[row, 0] - (p * r)[same].sum() / p[same].sum()) < 0.03


def test_a_reward_stays_with_its_sentence() -> None:
    """A sentence of a's is worth 1 and one of b's 0; no reward may leak to the other, whatever the batch's order."""
    a, b = 4, 5
    tokens = torch.tensor([[a, a, a], [b, b, b], [b, EOS, PAD], [a, a, EOS]])
    generator = build("lstm")
    samples = Samples(tokens, torch.zeros(4, 3), mask_of(tokens))
    rewards = rollout_rewards(generator, lambda x: (x[:, 0] == a).float(), samples, n=7)
    assert torch.equal(rewards, torch.tensor([[1.0, 1, 1], [0, 0, 0], [0, 0, 0], [1, 1, 1]]))


def test_the_last_reward_is_the_score_of_the_sentence_itself() -> None:
    generator = build("lstm")
    samples = generator.sample(50, rng=torch.Generator().manual_seed(1))
    rewards = rollout_rewards(generator, reward_of, samples, n=2, rng=torch.Generator().manual_seed(2))
    last = rewards.gather(1, samples.mask.sum(1, keepdim=True) - 1).squeeze(1)
    assert torch.equal(last, reward_of(samples.tokens))


@families
def test_fast_rollouts_agree_with_the_slow_twin(family: str) -> None:
    generator = build(family)
    samples = generator.sample(12, rng=torch.Generator().manual_seed(3))
    fast = rollout_rewards(generator, reward_of, samples, n=400, rng=torch.Generator().manual_seed(4))
    slow = slow_rollout_rewards(generator, reward_of, samples, n=400, rng=torch.Generator().manual_seed(5))
    assert (fast - slow).abs().max() < 0.12  # each a mean of 400: sd of the difference under .04


@families
def test_chunks_of_rollouts_change_nothing_but_the_draws(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = build(family)
    samples = generator.sample(9, rng=torch.Generator().manual_seed(6))
    whole = rollout_rewards(generator, reward_of, samples, n=300, rng=torch.Generator().manual_seed(7))
    monkeypatch.setattr(estimators, "ROWS", 7)
    monkeypatch.setattr(estimators, "SCORED_TOKENS", 15)
    chunks = rollout_rewards(generator, reward_of, samples, n=300, rng=torch.Generator().manual_seed(8))
    assert (whole - chunks).abs().max() < 0.14


def test_a_row_without_text_gets_no_reward_and_disturbs_nobody() -> None:
    tokens = torch.tensor([[PAD, PAD, PAD], [4, EOS, PAD]])
    samples = Samples(tokens, torch.zeros(2, 3), mask_of(tokens))
    rewards = rollout_rewards(build("lstm"), lambda x: torch.ones(len(x)), samples, n=3)
    assert torch.equal(rewards, torch.tensor([[0.0, 0, 0], [1, 1, 0]]))


def test_scores_come_back_in_order_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = all_sentences()
    monkeypatch.setattr(estimators, "SCORED_TOKENS", 21)
    assert torch.equal(score_blocks(reward_of, tokens), reward_of(tokens))
    assert score_blocks(reward_of, tokens[:0]).shape == (0,)


@pytest.mark.parametrize(("sentences", "vocab"), [(400, 30), (40, 500)])
def test_a_convolution_over_words_is_a_sum_of_table_look_ups(
    sentences: int, vocab: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many windows to a word take the tables, few take the product; both are SeqGAN's D with a gradient kept."""
    torch.manual_seed(0)
    monkeypatch.setattr(discriminators, "ROWS", 16)
    monkeypatch.setattr(windows, "BLOCK", 1 << 10)
    discriminator = CNN(widths=(1, 2, 5, 20), filters=(7, 5, 3, 4)).build(vocab, 12).eval()
    tokens = torch.randint(EOS + 1, vocab, (sentences, 12))
    tokens[torch.arange(12) > torch.randint(12, (sentences, 1))] = PAD  # shorter than the widest window
    slow = discriminator(tokens, mask_of(tokens))
    with torch.no_grad():
        fast = discriminator(tokens, mask_of(tokens))
    assert slow.requires_grad
    assert torch.allclose(slow, fast, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
def test_finding_the_strongest_windows_first_changes_no_value_and_no_gradient(
    channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(windows, "BLOCK", 1 << 10)
    discriminator = MultiCNN(embedding=8, representations=8 // channels, filters=(7, 6, 5, 4)).build(30, 12).eval()
    soft = torch.rand(16, 12, 30).softmax(-1)
    mask = torch.arange(12) <= torch.randint(1, 12, (16, 1))  # some are shorter than the widest window

    def gradients(few: int) -> list[Tensor]:
        monkeypatch.setattr(windows, "FEW", few)
        x = soft.clone().requires_grad_()
        value = discriminator(x, mask).square().sum()
        first = torch.autograd.grad(value, [x, *discriminator.parameters()], create_graph=True)
        (again,) = torch.autograd.grad(first[0].square().sum(), x)  # what a gradient penalty asks for
        return [value, *first, again]

    for chosen, whole in zip(gradients(2), gradients(0), strict=True):
        assert torch.allclose(chosen, whole, atol=1e-5)


@pytest.mark.parametrize("kind", discriminators.DISCRIMINATORS)
def test_scores_are_the_same_in_blocks(kind: str) -> None:
    torch.manual_seed(0)
    discriminator = discriminators.DISCRIMINATORS[kind]().build(VOCAB, MAX_LEN).eval()
    sentences = all_sentences()
    with torch.no_grad():
        whole = discriminator.score(sentences, mask_of(sentences))
        discriminator.scored_rows = 7
        assert torch.allclose(whole, discriminator.score(sentences, mask_of(sentences)), atol=1e-6)


def test_rewards_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rewards \(4,\) must match log_probs \(4, 7\); expand sentence rewards"):
        reinforce(torch.zeros(4, 7), torch.zeros(4), torch.ones(4, 7).bool())


def test_rewards_are_detached() -> None:
    rewards = torch.ones(2, 3, requires_grad=True)
    log_probs = torch.zeros(2, 3, requires_grad=True)
    reinforce(log_probs, rewards, torch.ones(2, 3).bool()).backward()
    assert rewards.grad is None
    assert torch.equal(log_probs.grad, torch.full((2, 3), -0.5))


def test_discounted_returns_of_a_worked_example() -> None:
    """r = 1, 2, 3 and gamma .5: R_2 = 3, R_1 = 2 + 1.5 = 3.5, R_0 = 1 + 1.75 = 2.75; a masked step counts nothing."""
    rewards = torch.tensor([[1.0, 2, 3], [1, 2, 3]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    expected = torch.tensor([[2.75, 3.5, 3], [2, 2, 0]])
    assert torch.equal(discounted_returns(rewards, mask, gamma=0.5), expected)
    with pytest.raises(ValueError, match=r"gamma 2 must lie in \[0, 1\]"):
        discounted_returns(rewards, mask, gamma=2)


def test_position_baseline_is_the_mean_of_the_others() -> None:
    rewards = torch.tensor([[1.0, 5], [2, 7], [6, 0]])
    mask = torch.tensor([[True, True], [True, True], [True, False]])
    assert torch.equal(position_baseline(rewards, mask), torch.tensor([[4.0, 7], [3.5, 5], [1.5, 0]]))


def test_where_one_sentence_has_outlived_the_others_their_last_rewards_are_its_baseline() -> None:
    """Last rewards 1 and 2, whose mean is 1.5; equal rewards leave no advantage, so D's silence moves nothing."""
    rewards = torch.tensor([[1.0, 5, 9], [2, 7, 9], [6, 3, 8]])
    mask = torch.tensor([[True, False, False], [True, False, False], [True, True, True]])
    found = position_baseline(rewards, mask)
    assert torch.equal(found, torch.tensor([[4.0, 0, 0], [3.5, 0, 0], [1.5, 1.5, 1.5]]))
    equal = torch.full((3, 3), 0.5) * mask
    assert torch.equal(position_baseline(equal, mask), equal)
    assert not position_baseline(rewards[:1], mask[:1]).any()  # a batch of one has no others


def test_moving_baseline_answers_before_it_learns() -> None:
    baseline = MovingBaseline(0.5)
    rewards, mask = torch.full((2, 2), 4.0), torch.ones(2, 2).bool()
    assert [baseline(rewards, mask).item() for _ in range(3)] == [0.0, 2.0, 3.0]


def test_group_advantages_of_a_worked_example() -> None:
    """r = 0, 3, 6: the others' means are 4.5, 3, 1.5, the sd is sqrt(6); equal rewards teach nothing."""
    expected = torch.tensor([-4.5, 0, 4.5]) / 6**0.5
    assert torch.allclose(group_advantages(torch.tensor([0.0, 3, 6])), expected)
    for alike in (torch.full((5,), 0.1), torch.full((512,), 13.37), torch.full((8,), -7.123)):
        assert group_advantages(alike).abs().max() < 0.05  # the rounding of the mean is no advantage
    assert not group_advantages(torch.tensor([1.0, 2.0, -3.0]), size=1).any()  # alone, nothing is better than others
    two = torch.tensor([0.0, 3, 6, 7, 7, 10])  # each group by itself
    alone = torch.cat([group_advantages(two[:3]), group_advantages(two[3:])])
    assert torch.allclose(group_advantages(two, size=3), alone)


def test_a_clipped_ratio_begins_as_reinforce_and_stops_where_it_has_earned_enough() -> None:
    """w = 1: REINFORCE. w = 1.5 with A > 0 and w = .5 with A < 0 are beyond 1 +- .2 and teach no more."""
    mask = torch.ones(2, 2).bool()
    old = torch.tensor([[-1.0, -2], [-0.5, -3]])
    advantages = torch.tensor([[1.0, 1], [-2, -2]])
    now = old.clone().requires_grad_()
    (same,) = torch.autograd.grad(clipped_ratio(now, old, advantages, mask, clip=0.2), now)
    (score,) = torch.autograd.grad(reinforce(now, advantages, mask), now)
    assert torch.equal(same, score)
    moved = (old + torch.tensor([[1.5, 0.5], [0.5, 1.5]]).log()).requires_grad_()
    (gradient,) = torch.autograd.grad(clipped_ratio(moved, old, advantages, mask, clip=0.2), moved)
    assert torch.allclose(gradient, torch.tensor([[0, -0.25], [0, 1.5]]))  # -A w / B where it is not clipped


def test_the_divergence_is_the_exact_one_on_average() -> None:
    g, reference, sentences = build("lstm", sharpen=2), build("lstm", seed=1, sharpen=2), all_sentences()
    with torch.no_grad():
        p, q = g.log_probs(sentences).sum(1), reference.log_probs(sentences).sum(1)
        tokens = g.sample(20_000, rng=torch.Generator().manual_seed(0)).tokens
        found = divergence(g.log_probs(tokens), reference.log_probs(tokens), mask_of(tokens))
        exact = (p.exp() * (p - q)).sum().item()
        assert exact > 0.05
        assert found.item() == pytest.approx(exact, rel=0.05)
        assert divergence(p[:, None], p[:, None], torch.ones(len(p), 1).bool()) == 0


def test_temperatures_start_at_one_and_end_where_asked() -> None:
    assert exponential_temperature(0, steps=10, last=0.01) == 1
    assert exponential_temperature(5, steps=10, last=0.01) == pytest.approx(0.1)
    assert exponential_temperature(99, steps=10, last=0.01) == pytest.approx(0.01)
    assert [linear_temperature(s, steps=4, last=0.2) for s in (0, 2, 4, 9)] == pytest.approx([1, 0.6, 0.2, 0.2])
