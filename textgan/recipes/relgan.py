"""RelGAN: Gumbel-softmax, a relativistic loss, and a discriminator over several embedded representations.

Nie, Narodytska & Patel, ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from textgan.discriminators import DiscriminatorSpec, MultiCNN
from textgan.estimators import exponential_temperature
from textgan.generators import LSTM, GeneratorSpec, Memory
from textgan.objectives import RELATIVISTIC
from textgan.papers import CONSTANT_ADAM, EPOCH
from textgan.sequences import Relaxed
from textgan.updates import Logs, Phase, Players, judge_phase, likelihood_phase, relaxed_round, usual_players


@dataclass(frozen=True)
class RelGAN:
    """Maximum likelihood, then some steps of D to one of G, whose sample carries a gradient through Gumbel-softmax.

    The discrete token is fed on to the next step while D sees the soft one; the Gumbel temperature falls
    exponentially from 1 to 1 / beta_max over the game.
    Differs: an LSTM by default (`--generator memory` is the paper's); the temperature reaches its end at the last
    step (the paper's code divides by 5000 whatever the length); eight representations by default (paper: 64).

    Args (the others are `updates.FIELDS`):
        beta_max: the last inverse temperature (paper: 100 for quality, 1000 for diversity)
    """

    name: ClassVar[str] = "relgan"
    paper: ClassVar[str] = "Nie et al. 2019"
    bridge: ClassVar[str] = "Gumbel-softmax, annealed; relativistic loss"
    opponent: ClassVar[str] = "CNN over several embedded representations"

    batch: int = 64
    mle_steps: int = 1500
    judge_steps: int = 0
    adversarial_steps: int = 300
    discriminator_updates: int = 5
    beta_max: float = 100.0
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-4
    generator: GeneratorSpec = LSTM()
    discriminator: DiscriminatorSpec = MultiCNN()

    def players(self, vocab_size: int, max_len: int) -> Players:
        return usual_players(self, vocab_size, max_len)

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d = players["generator"], players["discriminator"]

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            temperature = exponential_temperature(step, steps=self.adversarial_steps, last=1 / self.beta_max)

            def draw(real: Tensor) -> Relaxed:
                given = g.net.prompts_of(real)
                return g.net.relaxed_sample(
                    len(real), temperature=temperature, hard=False, feed_tokens=True, prefix=given, rng=rng
                )

            logs = relaxed_round(g, d, RELATIVISTIC, batches, draw, updates=self.discriminator_updates)
            return logs | {"temperature": temperature}

        return (
            likelihood_phase(players["likelihood"], self),
            judge_phase(d, g.net, self.judge_steps, RELATIVISTIC, rng),
            Phase("adversarial", self.adversarial_steps, play),
        )


ORACLE = RelGAN(  # the authors' code: oracle/experiments/oracle_relgan.py and models/rmc_vanilla.py
    **CONSTANT_ADAM,
    mle_steps=150 * EPOCH,
    judge_steps=0,
    adversarial_steps=3000,
    discriminator_updates=5,
    beta_max=2 ** (3000 / 5000),  # the code's 2 is reached at step 5000 whatever the length
    generator_lr=1e-4,
    discriminator_lr=1e-4,
    generator=Memory(embedding=32, slots=1, heads=2, head_size=256),
    discriminator=MultiCNN(
        embedding=64, representations=64, widths=(2, 3, 4, 5), filters=(300, 300, 300, 300), hidden=100, dropout=0.25
    ),
)
REAL = replace(ORACLE, adversarial_steps=2000)  # coco_relgan.py, emnlp_relgan.py
PRESETS = {
    "paper-oracle": ORACLE,
    "paper-coco": replace(REAL, beta_max=100 ** (2000 / 5000)),  # the "100" of the tables
    "paper-coco-1000": replace(REAL, beta_max=1000 ** (2000 / 5000)),
    "paper-news": replace(REAL, beta_max=100 ** (2000 / 5000)),
    "paper-news-1000": replace(REAL, beta_max=1000 ** (2000 / 5000)),
}
