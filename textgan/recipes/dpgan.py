"""DPGAN: a language model judges; what it finds novel is rewarded, so that saying the common thing does not pay.

Xu et al., EMNLP 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textgan.estimators import advantages, discounted_returns
from textgan.generators import LSTM, GeneratorSpec, evaluating
from textgan.objectives import RELATIVISTIC
from textgan.papers import CONSTANT_ADAM, EPOCH, SMALL_LSTM
from textgan.sequences import lengths_of
from textgan.updates import (
    Logs,
    Phase,
    Player,
    Players,
    adam,
    generator_players,
    likelihood_phase,
    policy_step,
    reward_logs,
)


@dataclass(frozen=True)
class DPGAN:
    """Maximum likelihood, then D alone, then one policy-gradient step of G to some steps of a language model D.

    R(x_t) = -log D(x_t | x_<t), R(x) its mean over the sentence; D raises R of real text above R of written text; a
    token's reward is R(x) + sum_{s >= t} gamma^(s - t) R(x_s).
    Differs: D minimises -log sigmoid(R(real) - R(fake)), since the paper's difference R(fake) - R(real) has no lower
    bound; a leave-one-out baseline; without prompts sentences are written from nothing (the paper continues a given
    one).

    Args (the others are `updates.FIELDS`):
        gamma: discount of later word rewards
        judge: family and sizes of the language model that judges
    """

    name: ClassVar[str] = "dpgan"
    paper: ClassVar[str] = "Xu et al. 2018"
    bridge: ClassVar[str] = "REINFORCE; what is novel to D is rewarded"
    opponent: ClassVar[str] = "a language model"
    no_logit: ClassVar[str] = "it is a language model, which knows likely from novel and not real from written"

    batch: int = 64
    mle_steps: int = 1500
    judge_steps: int = 100
    adversarial_steps: int = 200
    discriminator_updates: int = 5
    gamma: float = 0.9
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-4
    generator: GeneratorSpec = LSTM()
    judge: GeneratorSpec = LSTM()

    def players(self, vocab_size: int, max_len: int) -> Players:
        judge = self.judge.build(vocab_size, max_len)
        players = generator_players(self, vocab_size, max_len)
        return players | {"discriminator": Player(judge, adam(judge, self.discriminator_lr))}

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d = players["generator"], players["discriminator"]

        def novelty(tokens: Tensor) -> tuple[Tensor, Tensor]:
            words = -d.net.log_probs(tokens)  # (B, T)
            return words, words.sum(1) / lengths_of(d.net.chosen(tokens))

        def judge_steps(batches: Iterator[Tensor], updates: int) -> Logs:
            logs: Logs = {}
            for _ in range(updates):
                real = next(batches)
                fake = g.net.sample(len(real), prefix=g.net.prompts_of(real), rng=rng)
                d.net.train()
                of_real, of_fake = novelty(real)[1], novelty(fake.tokens)[1]
                loss = d.minimise(RELATIVISTIC.discriminator(of_real, of_fake))
                logs = {"d_loss": loss, "d_accuracy": (of_real > of_fake).float().mean()}
            return logs

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            fake = g.net.sample(self.batch, rng=rng)
            with torch.no_grad(), evaluating(d.net):
                words, sentence = novelty(fake.tokens)
            rewards = sentence[:, None] * fake.mask + discounted_returns(words, fake.mask, gamma=self.gamma)  # (B, T)
            logs = policy_step(g, fake, advantages(rewards, fake.mask))
            return logs | judge_steps(batches, self.discriminator_updates) | reward_logs(sentence)

        return (
            likelihood_phase(players["likelihood"], self),
            Phase("judge", self.judge_steps, lambda step, batches: judge_steps(batches, 1)),
            Phase("adversarial", self.adversarial_steps, play),
        )


PRESETS = {
    "port": DPGAN(  # run_dpgan.py; differs: its reward is the sentence's times the word's, undiscounted, no baseline
        **CONSTANT_ADAM,
        mle_steps=120 * EPOCH,
        judge_steps=5 * 3 * EPOCH,  # 5 sets of negatives, 3 epochs each
        adversarial_steps=200,
        discriminator_updates=4 * 2 * EPOCH,  # 4 sets of negatives, 2 epochs each
        generator_lr=1e-2,
        discriminator_lr=1e-2,
        generator=SMALL_LSTM,
        judge=SMALL_LSTM,
    ),
}
