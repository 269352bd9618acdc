"""SeqGAN: REINFORCE with Monte-Carlo roll-outs of a sentence discriminator. Yu et al., AAAI 2017."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textgan.discriminators import CNN, DiscriminatorSpec
from textgan.estimators import advantages, last_of, rollout_rewards
from textgan.generators import LSTM, GeneratorSpec
from textgan.objectives import NON_SATURATING
from textgan.papers import CONSTANT_ADAM, EPOCH, SEQGAN_CNN, SMALL_LSTM, TEXYGEN, TEXYGEN_D
from textgan.updates import (
    Logs,
    Phase,
    Player,
    Players,
    follow,
    judge_phase,
    judge_samples,
    likelihood_phase,
    policy_step,
    reward_logs,
    sentence_score,
    usual_players,
)


@dataclass(frozen=True)
class SeqGAN:
    """Maximum likelihood, then D alone, then one policy-gradient step of G to some steps of D.

    The reward of a token is D's probability of "real" for the sentence, averaged over roll-outs from there on.
    Differs: D sees fresh negatives at each step instead of epochs over a stored set, and no L2 penalty; by default a
    leave-one-out baseline, AdamW with early stopping for maximum likelihood, smaller schedules (the presets have no
    baseline and the authors' schedules).

    The fields are `updates.FIELDS`.
    """

    name: ClassVar[str] = "seqgan"
    paper: ClassVar[str] = "Yu et al. 2017"
    bridge: ClassVar[str] = "REINFORCE with Monte-Carlo roll-outs"
    opponent: ClassVar[str] = "CNN with a highway layer"

    batch: int = 64
    mle_steps: int = 1500
    judge_steps: int = 300
    adversarial_steps: int = 200
    rollouts: int = 16
    discriminator_updates: int = 5
    rollout_keep: float = 0.8
    baseline: bool = True
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-4
    generator: GeneratorSpec = LSTM()
    discriminator: DiscriminatorSpec = CNN()

    def players(self, vocab_size: int, max_len: int) -> Players:
        players = usual_players(self, vocab_size, max_len)
        return players | {"rollout": Player(copy.deepcopy(players["generator"].net))}

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d, rollout = players["generator"], players["discriminator"], players["rollout"]
        score = sentence_score(d.net)

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            follow(rollout.net, g.net, keep=self.rollout_keep if step else 0.0)
            fake = g.net.sample(self.batch, rng=rng)
            rewards = rollout_rewards(rollout.net, score, fake, n=self.rollouts, rng=rng)  # (B, T)
            logs = policy_step(g, fake, advantages(rewards, fake.mask, baseline=self.baseline))
            logs |= judge_samples(d, g.net, NON_SATURATING, batches, rng, updates=self.discriminator_updates)
            return logs | reward_logs(last_of(rewards, fake.mask))

        return (
            likelihood_phase(players["likelihood"], self),
            judge_phase(d, g.net, self.judge_steps, NON_SATURATING, rng),
            Phase("adversarial", self.adversarial_steps, play),
        )


REAL = SeqGAN(**TEXYGEN, **TEXYGEN_D, rollouts=16, rollout_keep=0.8, baseline=False)
PRESETS = {
    "paper-oracle": SeqGAN(  # the authors' code; differs: a step of D is of 64 real and 64 written
        **CONSTANT_ADAM,
        mle_steps=120 * EPOCH,
        judge_steps=50 * 3 * EPOCH,  # 50 sets of negatives, 3 epochs each
        adversarial_steps=200,  # the paper's curves; the code goes on to 800
        rollouts=16,
        discriminator_updates=5 * 3 * EPOCH,  # 5 sets of negatives, 3 epochs each
        rollout_keep=0.8,
        baseline=False,
        generator_lr=1e-2,
        discriminator_lr=1e-4,
        generator=SMALL_LSTM,
        discriminator=SEQGAN_CNN,
    ),
    "paper-coco": REAL,
    "paper-news": REAL,
}
