"""MaliGAN: maximum likelihood on G's own sentences, weighted by how real D finds them. Che et al. 2017."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textgan.discriminators import CNN, DiscriminatorSpec
from textgan.estimators import above, importance_weights
from textgan.generators import LSTM, GeneratorSpec
from textgan.objectives import NON_SATURATING
from textgan.papers import CONSTANT_ADAM, EPOCH, SEQGAN_CNN, SMALL_LSTM, TEXYGEN, TEXYGEN_D
from textgan.updates import (
    Logs,
    Phase,
    Players,
    judge_phase,
    judge_samples,
    likelihood_phase,
    policy_step,
    reward_logs,
    sentence_logits,
    usual_players,
)


@dataclass(frozen=True)
class MaliGAN:
    """Maximum likelihood, then D alone, then one step of G, whose reward is D / (1 - D) normalised over the batch.

    With r = D / (1 - D), which is p_data / p_g where D is optimal, G follows
    sum_i (r_i / sum_j r_j - 1 / B) grad log p(x_i) (eq. 10 with the baseline b = 1).
    Differs: whole sentences are drawn (the paper's mixed form keeps the first words of real ones and shortens them over
    time); the baseline is 1 from the start (the paper raises it from 0); D sees fresh negatives at each step.

    The fields are `updates.FIELDS`.
    """

    name: ClassVar[str] = "maligan"
    paper: ClassVar[str] = "Che et al. 2017"
    bridge: ClassVar[str] = "REINFORCE; D / (1 - D) normalised over the batch"
    opponent: ClassVar[str] = "CNN with a highway layer"

    batch: int = 64
    mle_steps: int = 1500
    judge_steps: int = 300
    adversarial_steps: int = 200
    discriminator_updates: int = 5
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-4
    generator: GeneratorSpec = LSTM()
    discriminator: DiscriminatorSpec = CNN()

    def players(self, vocab_size: int, max_len: int) -> Players:
        return usual_players(self, vocab_size, max_len)

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d = players["generator"], players["discriminator"]
        score = sentence_logits(d.net)

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            fake = g.net.sample(self.batch, rng=rng)
            logits = score(fake.tokens)  # (B,)
            advantages = above(importance_weights(logits), 1)
            logs = policy_step(g, fake, advantages[:, None].expand_as(fake.log_probs))
            logs |= judge_samples(d, g.net, NON_SATURATING, batches, rng, updates=self.discriminator_updates)
            return logs | reward_logs(logits.sigmoid())

        return (
            likelihood_phase(players["likelihood"], self),
            judge_phase(d, g.net, self.judge_steps, NON_SATURATING, rng),
            Phase("adversarial", self.adversarial_steps, play),
        )


REAL = MaliGAN(**TEXYGEN, **TEXYGEN_D)
PRESETS = {
    "paper-coco": REAL,  # Texygen's, whose figures the later papers repeat
    "paper-news": REAL,
    "port": MaliGAN(  # run_maligan.py
        **CONSTANT_ADAM,
        mle_steps=80 * EPOCH,
        judge_steps=4 * 2 * EPOCH,  # 4 sets of negatives, 2 epochs each
        adversarial_steps=200 * 50,  # 200 times 50 steps of G
        discriminator_updates=9,  # 3 epochs (468 steps) to 50 steps of G
        generator_lr=1e-2,
        discriminator_lr=1e-4,
        generator=SMALL_LSTM,
        discriminator=SEQGAN_CNN,
    ),
}
