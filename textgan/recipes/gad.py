"""GAD: the form that adversarial training of language models has come to (Generative Adversarial Distillation, 2025).

A pairwise discriminator as the reward, group-relative policy gradients, a leash to the maximum-likelihood model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textgan.discriminators import CNN, DiscriminatorSpec
from textgan.estimators import clipped_ratio, divergence, group_advantages
from textgan.generators import LSTM, Generator, GeneratorSpec
from textgan.objectives import RELATIVISTIC
from textgan.processes import Noise, part
from textgan.sequences import Samples
from textgan.updates import (
    Logs,
    Phase,
    Player,
    Players,
    follow,
    judge_phase,
    judge_samples,
    likelihood_loss,
    likelihood_phase,
    reward_logs,
    sentence_logits,
    usual_players,
)


@dataclass(frozen=True)
class GAD:
    """Maximum likelihood and D alone as a warm-up of both, then policy steps on large groups of samples.

    D minimises -log sigmoid(D(real) - D(fake)) (Bradley-Terry). G minimises the clipped-ratio loss with advantages
    (r_i - mean of the others) / sd of the group's rewards r = D(x), plus kl KL(G | G after maximum likelihood)
    (estimators.divergence), plus replay times the likelihood loss of real sentences.
    With prompts, each is answered per_prompt times, and these are a group.
    Differs: without prompts a round's samples are one group; the training text stands for the teacher's answers; replay
    is added (the paper has none); a leave-one-out mean. The defaults are for nets of this size: with rates of 1e-4 and
    groups of 256, a D that knew little led G away from its text on captions.

    Args (the others are `updates.FIELDS`):
        group: sentences sampled a round
        per_prompt: samples of each prompt, over which advantages are normalised; without prompts over all
        policy_updates: steps of G on a round's samples
        clip: how far from 1 a ratio of probabilities still earns
        kl: weight of the divergence from the maximum-likelihood model (paper: 0.001)
        replay: weight of the likelihood of real sentences
    """

    name: ClassVar[str] = "gad"
    paper: ClassVar[str] = "Ye et al. 2025"
    bridge: ClassVar[str] = "clipped policy gradient over a group, leash to MLE, replay"
    opponent: ClassVar[str] = "CNN, pairwise (Bradley-Terry)"

    batch: int = 64
    mle_steps: int = 1500
    judge_steps: int = 1000
    adversarial_steps: int = 200
    group: int = 512
    per_prompt: int = 8
    policy_updates: int = 1
    discriminator_updates: int = 1
    clip: float = 0.2
    kl: float = 0.1
    replay: float = 0.1
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 3e-5
    discriminator_lr: float = 1e-3
    generator: GeneratorSpec = LSTM()
    discriminator: DiscriminatorSpec = CNN()

    def players(self, vocab_size: int, max_len: int) -> Players:
        players = usual_players(self, vocab_size, max_len)
        return players | {"reference": Player(copy.deepcopy(players["generator"].net))}

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d, reference = (players[name] for name in ("generator", "discriminator", "reference"))
        score = sentence_logits(d.net)

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            if step == 0:
                follow(reference.net, g.net, keep=0.0)  # what maximum likelihood has left
            fake, size = grouped(g.net, self.group, self.per_prompt, rng)
            rewards = score(fake.tokens)  # (B,), this process's part of the round
            advantages = group_advantages(rewards, size=size)[:, None].expand_as(fake.log_probs)
            with torch.no_grad():
                anchor = reference.net.eval().log_probs(fake.tokens)
            g.net.eval()
            logs = reward_logs(rewards)
            for _ in range(self.policy_updates):
                log_probs = g.net.log_probs(fake.tokens)
                loss = clipped_ratio(log_probs, fake.log_probs, advantages, fake.mask, clip=self.clip)
                drift = divergence(log_probs, anchor, fake.mask)
                loss = loss + self.kl * drift
                if self.replay:
                    loss = loss + self.replay * likelihood_loss(g.net, next(batches))
                logs |= {"g_loss": g.minimise(loss), "kl": drift.detach()}
            return logs | judge_samples(d, g.net, RELATIVISTIC, batches, rng, updates=self.discriminator_updates)

        return (
            likelihood_phase(players["likelihood"], self),
            judge_phase(d, g.net, self.judge_steps, RELATIVISTIC, rng),
            Phase("adversarial", self.adversarial_steps, play),
        )


def grouped(generator: Generator, n: int, size: int, rng: torch.Generator) -> tuple[Samples, int | None]:
    """n sentences in groups of `size`, each of one prompt, and the size; without prompts one group, and None.

    Of several processes each has its own part of them, whole groups.
    """
    if generator.prompts is None:
        return generator.sample(part(n), rng=rng), None
    size = min(size, n)
    asked = part(n // size, "groups of samples")
    prompts = generator.prompts_at(Noise(asked, rng, generator.device).uniform(1)[:, 0])
    prefix = prompts.repeat_interleave(size, 0)  # (N, P), where N is n but for a rest smaller than a group
    return generator.sample(len(prefix), prefix=prefix, rng=rng), size


PRESETS = {
    "paper": GAD(  # of language models of billions of weights with prompts; what carries over
        group=512, per_prompt=8, clip=0.2, kl=0.001, replay=0.0  # 8 answers to each of a batch's prompts
    ),
}
