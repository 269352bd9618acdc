"""A recipe of one's own on the shared parts: REINFORCE with one reward a sentence, the least that a text GAN needs.

    python examples/own_recipe.py

A recipe is a frozen dataclass with `players` (nets with their optimisers) and `phases` (what is done at a step). Logs,
checkpoints, exact resume, controls and devices are the trainer's. To have it on the command line too, put the file into
textgan/recipes/ and its class into RECIPES.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import torch
from torch import Tensor

import textgan
from textgan.discriminators import CNN, DiscriminatorSpec
from textgan.generators import LSTM, GeneratorSpec
from textgan.objectives import NON_SATURATING
from textgan.processes import gather
from textgan.updates import (
    Logs,
    Phase,
    Players,
    judge_samples,
    likelihood_phase,
    policy_step,
    reward_logs,
    sentence_score,
    usual_players,
)


@dataclass(frozen=True)
class Plain:
    """Maximum likelihood, then a step of D and a policy-gradient step of G in turn.

    Every token of a sentence gets D's probability of "real" for the whole of it, minus the mean of the batch.
    """

    name: ClassVar[str] = "plain"
    paper: ClassVar[str] = "Williams 1992, with a discriminator's reward"
    bridge: ClassVar[str] = "REINFORCE, one reward a sentence"
    opponent: ClassVar[str] = "CNN"

    batch: int = 32
    mle_steps: int = 60
    adversarial_steps: int = 10
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-3
    generator: GeneratorSpec = LSTM(32, 64)
    discriminator: DiscriminatorSpec = CNN(32, (1, 2, 3), (32, 32, 32))

    def players(self, vocab_size: int, max_len: int) -> Players:
        return usual_players(self, vocab_size, max_len)

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d = players["generator"], players["discriminator"]
        score = sentence_score(d.net)

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            logs = judge_samples(d, g.net, NON_SATURATING, batches, rng)
            fake = g.net.sample(self.batch, rng=rng)
            rewards = score(fake.tokens)  # (B,)
            advantages = (rewards - gather(rewards).mean())[:, None] * fake.mask  # (B, T)
            return logs | policy_step(g, fake, advantages) | reward_logs(rewards)

        return likelihood_phase(players["likelihood"], self), Phase("adversarial", self.adversarial_steps, play)


if __name__ == "__main__":
    for control in (None, "shuffled"):  # the game, and the same with D's answers dealt out at random
        with TemporaryDirectory() as folder:
            run = textgan.fit(Plain(), "grammar:500", out=Path(folder) / "run", control=control, progress=False)
            last, text = run.log[-1], run.sample_text(1, seed=0)
        print(f"control {control}: held-out NLL {last['valid_nll']:.3f} nats a token, reward {last['reward']:.3f}")
        print(text[0])
