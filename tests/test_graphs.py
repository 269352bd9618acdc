"""The form that a graphics card takes (fixed shapes, nothing waited for) gives the numbers of the other form."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from tape import Card, NoWaiting, Waits
from test_training import every_recipe, tiny
from textgan.checkpoints import optimizer_tensors, restore_optimizer
from textgan.discriminators import CNN
from textgan.errors import NotFinite
from textgan.estimators import rollout_rewards
from textgan.generators import LSTM, Generator, Transformer, search
from textgan.graphs import Graphs
from textgan.recipes import GAD, RECIPES, RelGAN, ScratchGAN, SeqGAN
from textgan.sequences import EOS, PAD, pad_to
from textgan.training import Schedule, fit
from textgan.updates import Player, adam
from toys import FAMILIES, MAX_LEN, all_sentences, build

families = pytest.mark.parametrize("family", FAMILIES)
MARK = 13  # the last of 14 tokens
PROMPTS = torch.tensor([[4, MARK, PAD], [7, MARK, PAD], [5, 6, MARK]])
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
        batch=8, mle_steps=5, judge_steps=3, adversarial_steps=2, rollouts=2, generator=LSTM(8, 8, dropout=0.0),
        discriminator=CNN(dropout=0.0),
    )  # fmt: skip
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


@families
def test_recorded_samples_and_rewards_are_the_called_ones(family: str, card: Card) -> None:
    """Writing a token is recorded after three: for the sentences in the second call, for the roll-outs, which write one
    token a call, in the fourth; then it is replayed."""
    generator = build(family)

    def all_of() -> list[torch.Tensor]:
        samples = generator.sample(20, rng=rng())
        rewards = rollout_rewards(generator, lambda tokens: tokens.sum(1).float(), samples, n=2, rng=rng(2))
        return [samples.tokens, samples.log_probs, rewards]

    card.fixed()
    called = all_of()
    card.recording()
    for _ in range(5):
        assert all(torch.equal(one, other) for one, other in zip(called, all_of(), strict=True))
    assert len(card.tapes) == 2  # 20 rows, and 40


def test_one_cumulative_sum_finds_what_sums_of_segments_find(card: Card) -> None:
    """But for places within rounding of a border, of which 10,000 draws among 5,000 weights meet a few."""
    weights, u = torch.rand(10_000, 5000, generator=rng()), torch.rand(10_000, 1, generator=rng(1))
    by_segments = search(weights, u)
    card.fixed()
    apart = (search(weights, u) - by_segments).abs()
    assert apart.max() <= 1 and apart.sum() < 50


def test_an_optimiser_saved_anywhere_goes_on_on_a_card(card: Card) -> None:
    net = torch.nn.Linear(2, 1)
    player = Player(net, adam(net, 0.1))
    player.minimise(net(torch.ones(1, 2)).sum())
    saved = optimizer_tensors(player.optimizer)
    card.fixed()
    restore_optimizer(player.optimizer, *saved)
    player.to(torch.device("cpu"))
    player.at(0.5)
    (group,) = player.optimizer.param_groups
    assert group["capturable"] and isinstance(group["lr"], torch.Tensor) and float(group["lr"]) == pytest.approx(0.05)
    assert json.loads(json.dumps(optimizer_tensors(player.optimizer)[1]))[0]["lr"] == pytest.approx(0.05)


def play(recipe: type, rounds: int, *, prompted: bool = False, **changes: Any) -> list[dict[str, float]]:
    """The logs of some steps of each phase, on sentences of many lengths, and what the weights sum up to after it."""
    torch.manual_seed(0)
    classes = {"labels": 2} if hasattr(recipe, "classes") else {}
    chosen = tiny(recipe, mle_steps=rounds, discriminator_updates=1, **changes)
    players = chosen.players(14, 5, **classes)
    for player in players.values():
        player.to(torch.device("cpu"))
        if isinstance(player.net, Generator):
            player.net.labels = len(classes) * 2
            if prompted:
                player.net.mark, player.net.prompts = MARK, PROMPTS
    stream, logs = sentences(bool(classes)), []
    if prompted:
        stream = (torch.cat([PROMPTS[:2].repeat(4, 1)[:, :2], tokens[:, :3]], 1) for tokens in stream)
    for phase in chosen.phases(players, rng()):
        logs += [{k: float(v) for k, v in phase.update(step, stream).items()} for step in range(rounds)]
        weights = (weight for player in players.values() for weight in player.net.parameters())
        logs.append({"weights": sum(float(weight.detach().sum()) for weight in weights)})
    for player in players.values():
        player.check()
    return logs


def sentences(labelled: bool) -> Iterator[torch.Tensor]:
    """Batches of 8 sentences of 1 to 5 tokens of 4..11, their ends included, with a label before each where asked."""
    noise = rng(1)
    while True:
        tokens = torch.randint(4, 12, (8, 5), generator=noise)
        last = torch.randint(0, 5, (8, 1), generator=noise)
        at = torch.arange(5)
        tokens = tokens.masked_fill(at == last, EOS).masked_fill(at > last, PAD)
        labels = torch.randint(12, 14, (8, 1), generator=noise)
        yield torch.cat([labels, tokens], 1) if labelled else tokens


@every_recipe
def test_a_recorded_game_is_the_game(recipe: type, card: Card) -> None:
    """Five steps of each phase: three are called, one is recorded, one is replayed. To the bit: the operations are
    the same, whether Python or the tape asks for them."""
    card.fixed()
    called = play(recipe, 5)
    card.recording()
    assert play(recipe, 5) == called
    assert card.tapes


@pytest.mark.parametrize("recipe", [SeqGAN, RelGAN, GAD, ScratchGAN])
def test_a_recorded_game_with_prompts_is_the_game(recipe: type, card: Card) -> None:
    free = play(recipe, 5, prompted=True)
    card.fixed()
    called = play(recipe, 5, prompted=True)
    for one, other in zip(free, called, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-4)
    card.recording()
    assert play(recipe, 5, prompted=True) == called
    assert card.tapes


def test_a_recorded_game_of_a_transformer_is_the_game(card: Card) -> None:
    free = play(SeqGAN, 5, generator=Transformer(8, 1, 2, dropout=0.0))
    card.fixed()
    called = play(SeqGAN, 5, generator=Transformer(8, 1, 2, dropout=0.0))
    for one, other in zip(free, called, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    card.recording()
    assert play(SeqGAN, 5, generator=Transformer(8, 1, 2, dropout=0.0)) == called
    assert len(card.tapes) == 5  # steps of likelihood, D and policy; a token of 8 sentences, and of their 16 roll-outs


HOST = {("pgbleu", "adversarial")}  # BLEU is counted by the host


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [(recipe, {}) for recipe in RECIPES]
    + [(r, {"generator": Transformer(8, 1, 2)}) for r in (SeqGAN, RelGAN)]
    + [(r, {"prompted": True}) for r in (SeqGAN, RelGAN, GAD, ScratchGAN)],
    ids=lambda x: x.name if isinstance(x, type) else "-".join(x),
)
def test_no_update_waits_for_a_card_or_brings_it_more_than_noise_and_text(
    recipe: type, changes: dict[str, Any], card: Card
) -> None:
    card.far()
    classes, prompted = {"labels": 2} if hasattr(recipe, "classes") else {}, changes.get("prompted")
    chosen = tiny(recipe, rollouts=1, discriminator_updates=1, mle_every=2, judge_every=1, **changes)
    with torch.device("meta"):
        players = chosen.players(14, 3, **classes)
    for player in players.values():
        player.to(torch.device("meta"))
        if isinstance(player.net, Generator):
            player.net.labels = len(classes) * 2
            if prompted:
                player.net.mark, player.net.prompts = MARK, PROMPTS.to("meta")
    real = torch.zeros(8, 3 + len(classes), dtype=torch.int64, device="meta")
    for phase in chosen.phases(players, rng()):
        waits = (recipe.name, phase.name) in HOST  # type: ignore[attr-defined]
        for step in (0, 1):
            with pytest.raises(NotImplementedError) if waits else nullcontext(), NoWaiting():
                phase.update(step, itertools.repeat(real))


def test_a_tape_goes_wrong_where_a_recording_would(card: Card) -> None:
    """A number of the host is held fast; a tensor that takes another's place is not the one that is read again; and a
    value that Python wants, or brings, cannot be had."""
    card.recording()
    state = {"rate": 0.0, "sum": torch.zeros(())}

    def by_number(x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": x * state["rate"]}

    def elsewhere(x: torch.Tensor) -> dict[str, torch.Tensor]:
        state["sum"] = state["sum"] + x
        return {"y": state["sum"]}

    def in_place(x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": total.add_(x)}

    total, found = torch.zeros(()), {}
    for work in (by_number, elsewhere, in_place):
        graphs = Graphs()
        for i in range(6):
            state["rate"] = float(i)
            found.setdefault(work.__name__, []).append(float(graphs("work", work, torch.ones(()))["y"]))
    assert found["by_number"] == [0, 1, 2, 3, 3, 3]  # the fourth call is the recorded one
    assert found["elsewhere"] == [1, 2, 3, 4, 4, 4]
    assert found["in_place"] == [1, 2, 3, 4, 5, 6]
    for work in (
        lambda x: {"y": x * float(x)},
        lambda x: {"y": x[x > 0]},
        lambda x: {"y": x * torch.tensor(2.0)},
    ):
        graphs = Graphs()
        with pytest.raises(Waits):
            for _ in range(4):
                graphs("work", work, torch.ones(1))


def test_a_copied_net_records_anew(card: Card) -> None:
    card.recording()
    generator = build("lstm")
    for _ in range(2):
        generator.sample(8, rng=rng())
    assert len(card.tapes) == 1
    copied = copy.deepcopy(generator)
    with torch.no_grad():
        for weight in copied.parameters():
            weight.zero_()
    assert not torch.equal(copied.sample(8, rng=rng()).log_probs, generator.sample(8, rng=rng()).log_probs)
    copied.sample(8, rng=rng())
    assert len(card.tapes) == 2


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
