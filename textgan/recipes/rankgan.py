"""RankGAN: a ranker, not a classifier; it learns to put real sentences above written ones. Lin et al., NeurIPS 2017."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from textgan.discriminators import CNN, DiscriminatorSpec
from textgan.estimators import advantages, last_of, rollout_rewards
from textgan.generators import LSTM, GeneratorSpec, evaluating
from textgan.papers import CONSTANT_ADAM, EPOCH, SEQGAN_CNN, SMALL_LSTM, TEXYGEN, TEXYGEN_D
from textgan.processes import gather
from textgan.sequences import mask_of
from textgan.updates import (
    Logs,
    Phase,
    Player,
    Players,
    follow,
    likelihood_phase,
    policy_step,
    reward_logs,
    usual_players,
)


@dataclass(frozen=True)
class RankGAN:
    """Maximum likelihood, then the ranker alone, then one policy-gradient step of G to some steps of the ranker.

    R(s | U, C) = E_{u in U} exp(sharpness cos(s, u)) / sum_{c in C + s} exp(sharpness cos(c, u)) on D's features. The
    ranker maximises log R(real | U, fakes) + log(1 - R(fake | U, reals)); G's reward is R among real sentences.
    Differs: the reward is R times the size of C + s, so that 1 is the rank of an equal; a leave-one-out baseline
    but in the presets; references and comparison are the next real sentences, new at each step.

    Args (the others are `updates.FIELDS`):
        references: real sentences in U
        sharpness: inverse temperature of the ranks (gamma of eq. 4)
    """

    name: ClassVar[str] = "rankgan"
    paper: ClassVar[str] = "Lin et al. 2017"
    bridge: ClassVar[str] = "REINFORCE with roll-outs"
    opponent: ClassVar[str] = "ranker: cosines of CNN features with real sentences"
    no_logit: ClassVar[str] = "it compares a line's features with other lines'"

    batch: int = 64
    mle_steps: int = 1500
    judge_steps: int = 300
    adversarial_steps: int = 200
    rollouts: int = 16
    discriminator_updates: int = 5
    rollout_keep: float = 0.8
    baseline: bool = True
    references: int = 16
    sharpness: float = 10.0
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

        def features(tokens: Tensor) -> Tensor:
            return F.normalize(d.net.features(tokens, mask_of(tokens)), dim=1)  # (B, F)

        def rank_step(batches: Iterator[Tensor]) -> Logs:
            tokens, references = next(batches), gather(next(batches))[: self.references]
            fakes = g.net.sample(len(tokens), prefix=g.net.prompts_of(tokens), rng=rng).tokens
            d.net.train()
            real, fake, u = gather(features(tokens)), gather(features(fakes)), features(references)
            up, down = ranks(real, fake, u, self.sharpness), ranks(fake, real, u, self.sharpness)
            loss = d.minimise(-(up.log() + torch.log1p(-down.clamp(max=1 - 1e-6))).mean())
            nearer = (real @ u.t()).mean(1) > (fake @ u.t()).mean(1)
            return {"d_loss": loss, "d_accuracy": nearer.float().mean()}

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            follow(rollout.net, g.net, keep=self.rollout_keep if step else 0.0)
            fake = g.net.sample(self.batch, rng=rng)
            with torch.no_grad(), evaluating(d.net):
                real, u = gather(features(next(batches))), features(gather(next(batches))[: self.references])

                def score(tokens: Tensor) -> Tensor:
                    return (1 + len(real)) * ranks(features(tokens), real, u, self.sharpness)

                rewards = rollout_rewards(rollout.net, score, fake, n=self.rollouts, rng=rng)  # (B, T)
            logs = policy_step(g, fake, advantages(rewards, fake.mask, baseline=self.baseline))
            for _ in range(self.discriminator_updates):
                logs |= rank_step(batches)
            return logs | reward_logs(last_of(rewards, fake.mask))

        return (
            likelihood_phase(players["likelihood"], self),
            Phase("judge", self.judge_steps, lambda step, batches: rank_step(batches)),
            Phase("adversarial", self.adversarial_steps, play),
        )


def ranks(sentences: Tensor, comparison: Tensor, references: Tensor, sharpness: float) -> Tensor:
    """Each sentence's share against the comparison set, seen from the references: unit features (N, F), (C, F), (U, F)
    -> (N,) in (0, 1), 1 / (C + 1) for a sentence like all others. Lin et al. 2017, eq. 4-5."""
    own = sharpness * sentences @ references.t()  # (N, U)
    others = (sharpness * comparison @ references.t()).logsumexp(0)  # (U,)
    return (own - others).sigmoid().mean(1)


REAL = RankGAN(**TEXYGEN, **TEXYGEN_D, rollouts=16, rollout_keep=0.8, baseline=False, references=16)
PRESETS = {
    "paper-oracle": RankGAN(  # "as SeqGAN" (section 4.1): the schedule of SeqGAN's code
        **CONSTANT_ADAM,
        mle_steps=120 * EPOCH,
        judge_steps=50 * 3 * EPOCH,
        adversarial_steps=200,
        rollouts=16,
        discriminator_updates=5 * 3 * EPOCH,
        rollout_keep=0.8,
        baseline=False,
        references=16,  # Texygen
        generator_lr=1e-2,
        discriminator_lr=1e-4,
        generator=SMALL_LSTM,
        discriminator=SEQGAN_CNN,
    ),
    "paper-coco": REAL,
    "paper-news": REAL,
}
