"""LeakGAN's ranks, goals and intrinsic rewards, against values worked out by hand and slow twins."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
import torch

from textgan.errors import InputError
from textgan.generators import LSTM
from textgan.recipes import LeakGAN
from textgan.recipes.leakgan import along, followed, foreseen, ranked
from textgan.sequences import BOS, EOS, PAD, mask_of
from toys import LEAK, VOCAB, build


def test_the_best_reward_is_ranked_highest_and_equal_ones_share_their_rank() -> None:
    """Of .9 .1 .5 .5: one below half a place, and so on: shares 7/8, 1/8, 1/2, 1/2; delta 8: sigmoid(3), (-3), (0)."""
    rewards = torch.tensor([[0.9, 0.3], [0.1, 0.0], [0.5, 0.0], [0.5, 0.0]])
    mask = torch.tensor([[True, True], [True, False], [True, False], [True, False]])
    found = ranked(rewards, mask, 8.0)
    three = torch.tensor(3.0).sigmoid().item()
    assert found[:, 0].tolist() == pytest.approx([three, 1 - three, 0.5, 0.5])
    assert found[:, 1].tolist() == pytest.approx([0.5, 0, 0, 0])  # alone at its place, and nothing outside the text


def cosine_similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """0 where a is a rounding error."""
    return (a * b).sum() / a.norm().clamp(min=1e-4) / b.norm()


def test_goals_and_rewards_are_those_of_the_features_of_each_prefix() -> None:
    """Features of every prefix from the discriminator itself, directions and cosines one by one; c = 2."""
    generator = build("leak", sharpen=2)
    model, tokens = generator.model, torch.tensor([[4, 5, 3, EOS], [5, EOS, PAD, PAD]])
    course = along(generator, tokens)
    aligned, intrinsic = foreseen(course, 2), followed(course, 2)
    log_probs = generator.read_off(course.hidden, tokens, mask_of(tokens))
    assert torch.allclose(log_probs, generator.log_probs(tokens), atol=1e-5)
    for row, length in enumerate((4, 2)):
        prefixes = [tokens[row : row + 1, :t] for t in range(1, length + 1)]
        empty = model.leak.features(torch.tensor([[PAD]]), torch.tensor([[False]]))
        f = [empty, *(model.leak.features(p, mask_of(p)) for p in prefixes)]  # f[t] has read t words
        inputs = torch.cat([torch.tensor([[BOS]]), tokens[row : row + 1, :length]], 1)
        g = model.course(inputs, model.zero_state(1))[0].goals[0]
        for t in range(length):
            ahead = cosine_similarity(f[min(t + 2, length)] - f[t], g[t][None])
            assert aligned[row, t].item() == pytest.approx(ahead.item(), abs=1e-5)
            past = [cosine_similarity(f[t + 1] - f[t + 1 - i], g[t + 1 - i][None]).item() for i in (1, 2) if t + 1 >= i]
            assert intrinsic[row, t].item() == pytest.approx(sum(past) / 2, abs=1e-3)  # rounding over 1e-4
    assert (model.course(torch.tensor([[BOS, 4]]), model.zero_state(1))[0].goals.norm(dim=-1) - 1).abs().max() < 1e-5


def test_what_d_has_learnt_alone_is_what_the_game_goes_on_with() -> None:
    """Without maximum likelihood, too: the leak has D's weights after each of its steps, and the game keeps them."""
    torch.manual_seed(0)
    recipe = LeakGAN(batch=8, mle_steps=0, discriminator_updates=1, rollouts=1, discriminator_lr=1e-2, generator=LEAK)
    players = recipe.players(VOCAB, 3)
    d, leak = players["discriminator"].net, players["generator"].net.model.leak
    with torch.no_grad():
        for parameter in leak.parameters():  # a generator that came from another run, with features of its own
            parameter.add_(0.1)
    begun = [p.clone() for p in leak.parameters()]
    judge, _, adversarial = recipe.phases(players, torch.Generator().manual_seed(0))
    batches = itertools.repeat(torch.tensor([[4, 5, EOS]]).repeat(8, 1))

    def apart(these: Iterable[torch.Tensor], those: Iterable[torch.Tensor]) -> float:
        return sum((a - b).norm().item() for a, b in zip(these, those, strict=True))

    judge.update(0, batches)
    assert apart(d.parameters(), begun) < apart(d.parameters(), [torch.zeros_like(p) for p in begun]) / 10
    judge.update(1, batches)
    moved = apart(d.parameters(), begun)
    assert moved > 0 and apart(d.parameters(), leak.parameters()) == 0
    d.requires_grad_(False)
    players["discriminator"].optimizer.param_groups[0]["lr"] = 0.0
    d.requires_grad_(True)
    adversarial.update(0, batches)
    assert apart(d.parameters(), begun) == pytest.approx(moved, rel=1e-5)


def test_maximum_likelihood_without_d_alone_keeps_the_features_that_it_began_with() -> None:
    """D begins as the generator of another run left it, and not as the seed made it."""
    torch.manual_seed(0)
    recipe = LeakGAN(batch=8, judge_steps=0, mle_steps=2, discriminator_lr=0.0, generator=LEAK)
    players = recipe.players(VOCAB, 3)
    leak = players["generator"].net.model.leak
    with torch.no_grad():
        for parameter in leak.parameters():  # the generator came from another run
            parameter.add_(0.1)
    begun = [parameter.clone() for parameter in leak.parameters()]
    _, mle, _ = recipe.phases(players, torch.Generator().manual_seed(0))
    mle.update(0, itertools.repeat(torch.tensor([[4, 5, EOS]]).repeat(8, 1)))
    for now in (leak, players["discriminator"].net):
        assert all(map(torch.equal, now.parameters(), begun))


def test_the_leaked_features_are_never_trained_by_the_generator() -> None:
    players = LeakGAN().players(VOCAB, 3)
    leaked = {id(p) for p in players["generator"].net.model.leak.parameters()}
    for name in ("generator", "manager", "worker_likelihood", "manager_likelihood"):
        groups = players[name].optimizer.param_groups
        assert not leaked & {id(p) for group in groups for p in group["params"]}


def test_leakgan_refuses_a_generator_that_reads_no_features() -> None:
    with pytest.raises(InputError, match="leakgan plays with --generator leak alone"):
        LeakGAN(generator=LSTM()).players(VOCAB, 3)
