"""The form that a graphics card takes (fixed shapes, nothing waited for) gives the numbers of the other form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from textgan.errors import NotFinite
from textgan.estimators import rollout_rewards
from textgan.generators import LSTM
from textgan.graphs import Graphs
from textgan.recipes import SeqGAN
from textgan.sequences import pad_to
from textgan.training import Schedule, fit
from textgan.updates import Player, adam
from tape import Card
from toys import FAMILIES, MAX_LEN, all_sentences, build

families = pytest.mark.parametrize("family", FAMILIES)
LINES = ["a dog runs .", "two cats sit on a mat .", "a bird sings .", "the cat sees a dog ."] * 20


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    return Card(monkeypatch)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@families
def test_samples_rewards_and_relaxed_samples_are_the_same(family: str, card: Card) -> None:
    generator = build(family)

    def score(tokens: torch.Tensor) -> torch.Tensor:
        return (pad_to(tokens, MAX_LEN) * torch.tensor([1.0, 10, 100])).sum(1)

    def all_of() -> tuple[torch.Tensor, ...]:
        samples = generator.sample(50, rng=rng())
        relaxed = generator.relaxed_sample(50, temperature=0.5, rng=rng(1))
        rewards = rollout_rewards(generator, score, samples, n=3, rng=rng(2))
        return samples.tokens, samples.log_probs, rewards, relaxed.tokens

    free = all_of()
    card.fixed()
    for one, other in zip(free, all_of(), strict=True):
        assert one.shape[1] <= other.shape[1] == MAX_LEN
        assert torch.allclose(torch.nn.functional.pad(one, (0, MAX_LEN - one.shape[1])), other, atol=1e-5)


@families
def test_log_probs_and_their_gradient_are_the_same(family: str, card: Card) -> None:
    generator, weights = build(family), torch.linspace(-1, 1, MAX_LEN)
    own = [p for p in generator.parameters() if p.requires_grad]

    def both() -> list[torch.Tensor]:
        value = generator.log_probs(all_sentences())
        return [value, *torch.autograd.grad((value * weights).sum(), own)]

    free = both()
    card.fixed()
    for one, other in zip(free, both(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_step_that_is_not_finite_is_passed_over_on_the_device_and_told_later(card: Card) -> None:
    card.fixed()
    net = torch.nn.Linear(2, 1)
    player = Player(net, adam(net, 0.1))
    before = net.weight.clone()
    player.minimise(net(torch.tensor([[float("nan"), 1.0]])).sum())
    assert torch.equal(net.weight, before)
    with pytest.raises(NotFinite, match="Linear: loss or gradient was NaN or infinite"):
        player.check()
    player.minimise(net(torch.ones(1, 2)).sum())
    assert not torch.equal(net.weight, before)


def test_a_run_with_fixed_shapes_logs_what_a_free_one_logs(tmp_path: Path, card: Card) -> None:
    recipe = SeqGAN(
        batch=8, mle_steps=5, judge_steps=3, adversarial_steps=2, rollouts=2, generator=LSTM(8, 8, dropout=0.0)
    )
    logs = []
    for name in ("free", "fixed"):
        run = fit(recipe, LINES, out=tmp_path / name, schedule=Schedule(log_every=1), progress=False, threads=1)
        logs.append([{**row, "phase": len(row["phase"])} for row in run.log])
        card.fixed()
    for one, other in zip(*logs, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_off_a_card_graphed_work_is_called_as_it_is() -> None:
    calls = []

    def work(x: torch.Tensor) -> dict[str, torch.Tensor]:
        calls.append(x)
        return {"y": x + 1}

    graphs = Graphs()
    assert [float(graphs("work", work, torch.tensor(float(i)))["y"]) for i in range(5)] == [1, 2, 3, 4, 5]
    assert len(calls) == 5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_recorded_step_equals_a_called_one() -> None:
    results = []
    for graphed in (False, True):
        torch.manual_seed(0)
        net = torch.nn.Linear(4, 1).cuda()
        player = Player(net, adam(net, 0.01))
        player.to(torch.device("cuda"))

        def work(x: torch.Tensor, player: Player[torch.nn.Linear] = player) -> dict[str, torch.Tensor]:
            return {"loss": player.minimise(player.net(x).square().mean())}

        for i in range(8):
            x = torch.full((3, 4), float(i), device="cuda")
            player.graphs("work", work, x) if graphed else work(x)
        results.append(net.weight.detach().clone())
    assert torch.allclose(*results, atol=1e-6)
