"""CoT: a mediator learns the mixture of data and generator, and the generator follows it. Lu et al., ICML 2019."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from textgan.generators import LSTM, Generator, GeneratorSpec, evaluating
from textgan.graphs import fixed_shapes
from textgan.papers import SMALL_LSTM
from textgan.processes import gather
from textgan.updates import Logs, Phase, Player, Players, adam, follow, generator_players, likelihood_phase


@dataclass(frozen=True)
class CoT:
    """No pre-training and no D: the mediator M is fitted to half real, half generated sentences by maximum likelihood.

    G minimises E_{x ~ G} sum_t KL(G(. | x_<t) || M(. | x_<t)), exact over the vocabulary at each step (eq. 9), which
    descends the Jensen-Shannon divergence where M is the mixture.
    Differs: M begins the game as a copy of G, so that a trained G loses nothing (paper: apart); both run without
    dropout where G learns from M.

    Args (the others are `updates.FIELDS`):
        discriminator_updates: steps of the mediator a round
        discriminator_lr: Adam's learning rate of the mediator
    """

    name: ClassVar[str] = "cot"
    paper: ClassVar[str] = "Lu et al. 2019"
    bridge: ClassVar[str] = "exact KL to the mediator at each step"
    opponent: ClassVar[str] = "none: a mediator, which is a generator too"

    batch: int = 64
    mle_steps: int = 0
    adversarial_steps: int = 1500
    discriminator_updates: int = 1
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-3
    discriminator_lr: float = 1e-3
    generator: GeneratorSpec = LSTM()

    def players(self, vocab_size: int, max_len: int) -> Players:
        mediator = self.generator.build(vocab_size, max_len)
        players = generator_players(self, vocab_size, max_len)
        return players | {"mediator": Player(mediator, adam(mediator, self.discriminator_lr))}

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, mediator = players["generator"], players["mediator"]

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            logs: Logs = {}
            if step == 0:
                follow(mediator.net, g.net, keep=0.0)
            for _ in range(self.discriminator_updates):
                real = next(batches)
                mixture = (real, g.net.sample(len(real), rng=rng).tokens)
                mediator.net.train()
                total = torch.stack([gather(mediator.net.log_probs(half)).sum() for half in mixture]).sum()
                tokens = sum(g.net.chosen(gather(half)).sum() for half in mixture)
                logs["mediator_nll"] = mediator.minimise(-total / tokens)
            tokens = g.net.sample(self.batch, rng=rng).tokens
            return logs | {"g_loss": g.minimise(stepwise_kl(g.net.eval(), mediator.net, tokens))}

        return (likelihood_phase(players["likelihood"], self), Phase("adversarial", self.adversarial_steps, play))


def stepwise_kl(generator: Generator, mediator: Generator, tokens: Tensor) -> Tensor:
    """sum_t KL(G(. | x_<t) || M(. | x_<t)), meaned over the sentences (B, T); only G has a gradient."""
    mask, fixed = generator.chosen(tokens), fixed_shapes(tokens.device)

    def log_shares(net: Generator) -> Tensor:
        hidden = net.hidden(tokens)
        return net.head(hidden if fixed else hidden[mask]).float().log_softmax(-1)  # (B, T, V) or (N, V)

    with torch.no_grad(), evaluating(mediator):
        target = log_shares(mediator)
    ours = log_shares(generator)
    apart = ours.exp() * (ours - target)
    return (apart * mask[..., None] if fixed else apart).sum() / len(tokens)


PRESETS = {
    "paper-oracle": CoT(  # the authors' code: cot.py, generator.py
        batch=64,
        mle_steps=0,
        adversarial_steps=200_000,
        discriminator_updates=1,
        generator_lr=1e-3,
        discriminator_lr=1e-3,
        # the mediator's dropout, before its last layer alone in the code; G plays without. Differs: the mediator is as
        # large (the code's has twice the sizes)
        generator=replace(SMALL_LSTM, dropout=0.5),
    ),
}
