"""RelGAN: Gumbel-softmax, a relativistic loss, and a discriminator over several embedded representations.

Nie, Narodytska & Patel, ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textgan.discriminators import DiscriminatorSpec, MultiCNN
from textgan.estimators import exponential_temperature
from textgan.generators import LSTM, GeneratorSpec
from textgan.objectives import RELATIVISTIC
from textgan.sequences import Relaxed, mask_of
from textgan.updates import Logs, Phase, Players, judge, judge_phase, likelihood_phase, usual_players


@dataclass(frozen=True)
class RelGAN:
    """Maximum likelihood, then some steps of D to one of G, whose sample carries a gradient through Gumbel-softmax.

    The discrete token is fed on to the next step while D sees the soft one; the Gumbel temperature falls
    exponentially from 1 to 1 / beta_max over the game.
    Differs: an LSTM or a transformer stands for the relational memory; the temperature reaches its end at the last
    step (the paper's code divides by 5000 whatever the length); eight representations by default (paper: 64).

    Args (the others are `updates.FIELDS`):
        beta_max: the last inverse temperature (paper: 100 for quality, 1000 for diversity)
    """

    name: ClassVar[str] = "relgan"

    batch: int = 64
    mle_steps: int = 1500
    judge_steps: int = 0
    adversarial_steps: int = 300
    discriminator_updates: int = 5
    beta_max: float = 100.0
    mle_lr: float = 3e-3
    weight_decay: float = 0.1
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-4
    generator: GeneratorSpec = LSTM()
    discriminator: DiscriminatorSpec = MultiCNN()

    def players(self, vocab_size: int, max_len: int) -> Players:
        return usual_players(self, vocab_size, max_len)

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d = players["generator"], players["discriminator"]

        def relaxed(n: int, temperature: float) -> Relaxed:
            g.net.eval()
            return g.net.relaxed_sample(n, temperature=temperature, hard=False, feed_tokens=True, rng=rng)

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            temperature = exponential_temperature(step, steps=self.adversarial_steps, last=1 / self.beta_max)
            logs: Logs = {"temperature": temperature}
            for _ in range(self.discriminator_updates):
                real = next(batches)
                with torch.no_grad():
                    fake = relaxed(len(real), temperature)
                logs |= judge(d, RELATIVISTIC, real, fake)
            real = next(batches)
            fake = relaxed(len(real), temperature)
            d.net.eval()
            loss = RELATIVISTIC.generator(d.net(real, mask_of(real)), d.net(fake.probs, fake.mask))
            return logs | {"g_loss": g.minimise(loss)}

        return (
            likelihood_phase(players["likelihood"], self.mle_steps),
            judge_phase(d, g.net, self.judge_steps, RELATIVISTIC, rng),
            Phase("adversarial", self.adversarial_steps, play),
        )
