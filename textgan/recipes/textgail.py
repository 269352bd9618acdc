"""TextGAIL: a contrastive discriminator as the reward, proximal policy steps, and real sentences among the samples.

Wu, Li & Yu, AAAI 2021.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from textgan.discriminators import Bidirectional, DiscriminatorSpec
from textgan.estimators import ALIKE, above, clipped_ratio, linear_temperature
from textgan.generators import GeneratorSpec, Transformer
from textgan.objectives import RELATIVISTIC
from textgan.processes import gather, share
from textgan.sequences import pad_to
from textgan.updates import (
    Logs,
    Phase,
    Players,
    judge_phase,
    judge_samples,
    likelihood_phase,
    reward_logs,
    sentence_logits,
    usual_players,
)


@dataclass(frozen=True)
class TextGAIL:
    """Maximum likelihood, then D alone, then rounds of clipped-ratio steps on samples and demonstrations.

    D is asked which of two is real: P(x over y) = sigmoid(D(x) - D(y)). A sample's reward is P(sample over its real
    partner), whitened over the batch and clipped at +-2; a share of the batch, falling from `demonstrations` to 0, is
    real sentences with a constant reward; G takes clipped-ratio steps on all of it in small batches.
    The ratio is a sentence's, as in the authors' code, and its whitened reward the advantage.
    Differs: both nets are made here and start from random weights (paper: GPT-2 and RoBERTa), so maximum likelihood
    comes first; Bradley-Terry on two separate logits (the paper's D reads the pair at once); D takes its steps on whole
    batches of fresh samples (code: on the same sentences, eight at a time); Adam (code: AdamW, 100 or 200 steps of
    warm-up); rewards keep their fractions, which the code cuts off before they become advantages.

    Args (the others are `updates.FIELDS`):
        policy_updates: steps of G on a round's sentences, each on its part of them
        clip: how far from 1 a ratio of probabilities still earns (paper: 0.1 COCO, 0.2 news)
        demonstrations: share of real sentences in the first batch
        demonstration_reward: what a real sentence earns, in deviations of the samples' rewards
    """

    name: ClassVar[str] = "textgail"
    paper: ClassVar[str] = "Wu et al. 2021"
    bridge: ClassVar[str] = "clipped policy gradient; demonstrations among the samples"
    opponent: ClassVar[str] = "bidirectional transformer, contrastive"

    batch: int = 128
    mle_steps: int = 1500
    judge_steps: int = 100
    adversarial_steps: int = 200
    discriminator_updates: int = 1
    policy_updates: int = 4
    clip: float = 0.2
    demonstrations: float = 0.3
    demonstration_reward: float = 2.0
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-4
    generator: GeneratorSpec = Transformer()
    discriminator: DiscriminatorSpec = Bidirectional()

    def players(self, vocab_size: int, max_len: int) -> Players:
        return usual_players(self, vocab_size, max_len)

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d = players["generator"], players["discriminator"]
        score = sentence_logits(d.net)

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            real = next(batches)
            fake = g.net.sample(len(real), prefix=g.net.prompts_of(real), rng=rng).tokens
            rewards = (score(fake) - score(real)).sigmoid()  # (B,)
            part = linear_temperature(step, steps=self.adversarial_steps, first=self.demonstrations, last=0.0)
            shown = evenly(part, len(real), real.device)  # (B,) where a demonstration takes a sample's place
            width = max(real.shape[1], fake.shape[1])
            tokens = torch.where(shown[:, None], pad_to(real, width), pad_to(fake, width))
            advantages = whitened(rewards).masked_fill(shown, self.demonstration_reward)
            with torch.no_grad():
                old = sentences(g.net.eval().log_probs(tokens))
            whole = torch.ones_like(old, dtype=torch.bool)  # (B, 1), a ratio a sentence
            logs = reward_logs(rewards) | {"demonstrations": part}
            parts = min(self.policy_updates, len(tokens))
            for first in range(parts):
                rows = slice(first, None, parts)
                log_probs, gain = sentences(g.net.log_probs(tokens[rows])), advantages[rows, None]
                loss = clipped_ratio(log_probs, old[rows], gain, whole[rows], clip=self.clip)
                logs["g_loss"] = g.minimise(loss)
            return logs | judge_samples(d, g.net, RELATIVISTIC, batches, rng, updates=self.discriminator_updates)

        return (
            likelihood_phase(players["likelihood"], self),
            judge_phase(d, g.net, self.judge_steps, RELATIVISTIC, rng),
            Phase("adversarial", self.adversarial_steps, play),
        )


def sentences(log_probs: Tensor) -> Tensor:
    """Their log-probabilities, (B, T) -> (B, 1)."""
    return log_probs.sum(1, keepdim=True)


def whitened(rewards: Tensor) -> Tensor:
    """Mean 0, deviation 1 (of ALIKE at least) over the whole batch, clipped at +-2: (B,) -> (B,); 0 for rounding."""
    whole = gather(rewards)
    return (above(rewards, whole.mean()) / whole.std(correction=0).clamp(min=ALIKE)).clamp(-2, 2)


def evenly(part: float, n: int, device: torch.device | None = None) -> Tensor:
    """That part of the whole batch's rows, spread evenly by the golden ratio; here the n own ones, (n,) bool."""
    places = share().rank * n + torch.arange(n, device=device)
    return torch.frac(places * 0.6180339887498949) < part


COCO = TextGAIL(  # the authors' code: Unconditional/TextGAIL/config, text_gail/COCO.yaml and training/COCO.yaml
    batch=128,  # buffer of proximal steps
    mle_steps=0,  # GPT-2 small, fine-tuned: --generator pretrained --generator.path gpt2, or --start
    judge_steps=100,
    adversarial_steps=200,
    policy_updates=16,  # mini-batches of 8
    clip=0.1,
    demonstrations=0.3,
    demonstration_reward=2.0,  # textgail_trainerloop.py
    generator_lr=1e-5,
    discriminator_lr=1e-5,
    generator=Transformer(width=768, layers=12, heads=12),  # the sizes of GPT-2 small
    discriminator=Bidirectional(width=768, layers=12, heads=12),  # the sizes of RoBERTa base
)
PRESETS = {
    "paper-coco": COCO,
    "paper-news": replace(COCO, adversarial_steps=1000, clip=0.2),  # EMNLP_NEWS.yaml of both
}
