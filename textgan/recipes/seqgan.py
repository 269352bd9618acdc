"""SeqGAN: REINFORCE with Monte-Carlo roll-outs of a sentence discriminator. Yu et al., AAAI 2017."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textgan.discriminators import CNN, DiscriminatorSpec
from textgan.estimators import position_baseline, reinforce, rollout_rewards
from textgan.generators import LSTM, GeneratorSpec
from textgan.objectives import NON_SATURATING
from textgan.updates import (
    Logs,
    Phase,
    Player,
    Players,
    adam,
    adamw,
    follow,
    judge,
    judge_phase,
    likelihood_phase,
    sentence_score,
)


@dataclass(frozen=True)
class SeqGAN:
    """Maximum likelihood, then D alone, then one policy-gradient step of G to some steps of D.

    The reward of a token is D's probability of "real" for the sentence, averaged over roll-outs from there on.
    Differs: a leave-one-out baseline (the paper has none); D sees fresh negatives at each step instead of epochs over
    a stored set; cosine-decayed AdamW for maximum likelihood; smaller schedules than the paper's by default.

    Args:
        batch: sentences a step
        mle_steps: steps of maximum likelihood
        judge_steps: steps of D alone before the game
        adversarial_steps: rounds of the game
        rollouts: completions of each prefix
        discriminator_updates: steps of D a round
        rollout_keep: share of the old weights that the roll-out policy keeps each round (paper: 0.8)
        mle_lr: learning rate of maximum likelihood at the start
        weight_decay: decoupled decay of the matrices in maximum likelihood
        generator_lr: Adam's learning rate of G in the game
        discriminator_lr: Adam's learning rate of D
        generator: the generator's family and sizes
        discriminator: the discriminator's family and sizes
    """

    name: ClassVar[str] = "seqgan"

    batch: int = 64
    mle_steps: int = 1500
    judge_steps: int = 300
    adversarial_steps: int = 200
    rollouts: int = 16
    discriminator_updates: int = 5
    rollout_keep: float = 0.8
    mle_lr: float = 3e-3
    weight_decay: float = 0.1
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-4
    generator: GeneratorSpec = LSTM()
    discriminator: DiscriminatorSpec = CNN()

    def players(self, vocab_size: int, max_len: int) -> Players:
        generator = self.generator.build(vocab_size, max_len)
        discriminator = self.discriminator.build(vocab_size, max_len)
        return {
            "likelihood": Player(generator, adamw(generator, self.mle_lr, self.weight_decay)),
            "generator": Player(generator, adam(generator, self.generator_lr)),
            "discriminator": Player(discriminator, adam(discriminator, self.discriminator_lr)),
            "rollout": Player(copy.deepcopy(generator)),
        }

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d, rollout = players["generator"], players["discriminator"], players["rollout"]
        score = sentence_score(d.net)

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            follow(rollout.net, g.net, keep=self.rollout_keep if step else 0.0)
            fake = g.net.sample(self.batch, rng=rng)
            rewards = rollout_rewards(rollout.net, score, fake, n=self.rollouts, rng=rng)  # (B, T)
            advantages = rewards - position_baseline(rewards, fake.mask)
            g.net.eval()  # the policy that was sampled, without dropout
            logs = {"g_loss": g.minimise(reinforce(g.net.log_probs(fake.tokens), advantages, fake.mask))}
            for _ in range(self.discriminator_updates):
                real = next(batches)
                logs |= judge(d, NON_SATURATING, real, g.net.sample(len(real), rng=rng))
            whole = rewards.gather(1, fake.mask.sum(1, keepdim=True) - 1)  # (B, 1): of the finished sentence
            return logs | {"reward": whole.mean().item(), "reward_sd": whole.std().item()}

        return (
            likelihood_phase(players["likelihood"], self.mle_steps),
            judge_phase(d, g.net, self.judge_steps, NON_SATURATING, rng),
            Phase("adversarial", self.adversarial_steps, play),
        )
