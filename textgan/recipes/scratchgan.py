"""ScratchGAN: no maximum likelihood at all; a judgement per token, and many sentences a step.

de Masson d'Autume, Rosca, Rae & Mohamed, NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textgan.discriminators import DiscriminatorSpec, Recurrent, StepDiscriminator
from textgan.errors import InputError
from textgan.estimators import MovingBaseline, discounted_returns
from textgan.generators import LSTM, GeneratorSpec, evaluating
from textgan.objectives import token_cross_entropy
from textgan.processes import gather
from textgan.sequences import lengths_of, mask_of
from textgan.updates import Logs, Phase, Player, Players, adam, adamw, likelihood_phase, policy_step, reward_logs


@dataclass(frozen=True)
class ScratchGAN:
    """From random weights: one step of D and one of G in turn, a reward for each token, a large batch.

    r_t = 2 D(x_t | x_<t) - 1, R_t = sum_{s >= t} gamma^(s - t) r_s; G follows E sum_t (R_t - b) grad log p(x_t) with
    a moving baseline b of the batches before.
    Differs: embeddings are learnt (the paper adds fixed GloVe vectors); D has neither layer norm, L2 nor a position
    signal; maximum likelihood may come first (mle_steps); sizes and number of steps are smaller by default (paper:
    LSTMs of 512, 200,000 steps).

    Args (the others are `updates.FIELDS`):
        gamma: discount of later rewards
        baseline_decay: share of the old baseline kept at each step
        momentum: Adam's first beta, of both players
    """

    name: ClassVar[str] = "scratchgan"
    paper: ClassVar[str] = "de Masson d'Autume et al. 2019"
    bridge: ClassVar[str] = "REINFORCE, a reward a token; no maximum likelihood"
    opponent: ClassVar[str] = "LSTM with a judgement per token"

    batch: int = 512
    mle_steps: int = 0
    adversarial_steps: int = 2000
    discriminator_updates: int = 1
    gamma: float = 0.23
    baseline_decay: float = 0.08
    momentum: float = 0.5
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 9.59e-5
    discriminator_lr: float = 9.38e-3
    generator: GeneratorSpec = LSTM(hidden=512, layers=2)
    discriminator: DiscriminatorSpec = Recurrent()

    def players(self, vocab_size: int, max_len: int) -> Players:
        generator = self.generator.build(vocab_size, max_len)
        discriminator = self.discriminator.build(vocab_size, max_len)
        if not isinstance(discriminator, StepDiscriminator):
            raise InputError("--discriminator of scratchgan must judge each token; give --discriminator recurrent")
        betas = (self.momentum, 0.999)
        return {
            "likelihood": Player(generator, adamw(generator, self.mle_lr, self.weight_decay)),
            "generator": Player(generator, adam(generator, self.generator_lr, betas=betas)),
            "discriminator": Player(discriminator, adam(discriminator, self.discriminator_lr, betas=betas)),
            "baseline": Player(MovingBaseline(self.baseline_decay)),
        }

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d, baseline = (players[name] for name in ("generator", "discriminator", "baseline"))

        def step_logits(tokens: Tensor) -> Tensor:
            return d.net.step_logits(tokens, mask_of(tokens))

        def judge_tokens(real: Tensor) -> Logs:
            fake = g.net.sample(len(real), prefix=g.net.prompts_of(real), rng=rng)
            d.net.train()
            mask = g.net.chosen(real)
            of_real, of_fake = step_logits(real) * mask, step_logits(fake.tokens) * fake.mask  # (B, T)
            loss = d.minimise(token_cross_entropy(*(gather(x) for x in (of_real, of_fake, mask, fake.mask))))
            right = of_real.sum(1) / lengths_of(mask) > of_fake.sum(1) / lengths_of(fake.mask)
            return {"d_loss": loss, "d_accuracy": right.float().mean()}

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            logs: Logs = {}
            for _ in range(self.discriminator_updates):
                logs = judge_tokens(next(batches))
            fake = g.net.sample(self.batch, rng=rng)
            with torch.no_grad(), evaluating(d.net):
                rewards = 2 * step_logits(fake.tokens).sigmoid() - 1  # (B, T)
            returns = discounted_returns(rewards, fake.mask, gamma=self.gamma)
            logs |= policy_step(g, fake, returns - baseline.net(returns, fake.mask))
            return logs | reward_logs((rewards * fake.mask).sum(1) / lengths_of(fake.mask))

        return (
            likelihood_phase(players["likelihood"], self),
            Phase("adversarial", self.adversarial_steps, play),
        )


PRESETS = {
    "paper-news": ScratchGAN(  # the authors' code: experiment.py
        batch=512,
        mle_steps=0,
        adversarial_steps=200_000,
        discriminator_updates=1,
        gamma=0.23,
        baseline_decay=0.08,  # losses.py: decay * old + (1 - decay) * mean
        momentum=0.5,
        generator_lr=9.59e-5,
        discriminator_lr=9.38e-3,
        generator=LSTM(embedding=364, hidden=512, layers=2, dropout=0.0),  # 300 fixed GloVe numbers and 64 learnt ones
        discriminator=Recurrent(embedding=364, hidden=512, dropout=0.1),
    ),
}
