"""DGSAN: the generator is its own discriminator, by its odds against its former self. Montahaei et al. 2021."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textgan.generators import LSTM, GeneratorSpec
from textgan.objectives import NON_SATURATING
from textgan.papers import EPOCH, SMALL_LSTM
from textgan.updates import Logs, Phase, Player, Players, follow, generator_players, likelihood_phase


@dataclass(frozen=True)
class DGSAN:
    """D is no net but the closed form D(x) = p_new(x) / (p_new(x) + p_old(x)), whose logit is log p_new - log p_old.

    The new generator minimises D's cross-entropy, real sentences against those of the old one, so its optimum is p_data
    whatever p_old is; nothing is differentiated across sampling. Then it becomes the old one.
    Differs: the old one is renewed after a fixed number of steps; dropout is off, for the odds are of one policy.

    Args (the others are `updates.FIELDS`):
        refresh: rounds between renewals of the old generator
    """

    name: ClassVar[str] = "dgsan"
    paper: ClassVar[str] = "Montahaei et al. 2021"
    bridge: ClassVar[str] = "none: D's closed form is differentiable in G"
    opponent: ClassVar[str] = "odds of the new and the old generator"

    batch: int = 64
    mle_steps: int = 1500
    adversarial_steps: int = 300
    refresh: int = 10
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    generator: GeneratorSpec = LSTM()

    def players(self, vocab_size: int, max_len: int) -> Players:
        players = generator_players(self, vocab_size, max_len)
        return players | {"old": Player(copy.deepcopy(players["generator"].net))}

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, old = players["generator"], players["old"]

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            if step % self.refresh == 0:
                follow(old.net, g.net, keep=0.0)
            real = next(batches)
            fake = old.net.sample(len(real), prefix=old.net.prompts_of(real), rng=rng)
            g.net.eval()
            with torch.no_grad():
                before = old.net.eval().log_probs(real).sum(1)  # (B,)
            real_logits = g.net.log_probs(real).sum(1) - before
            fake_logits = g.net.log_probs(fake.tokens).sum(1) - fake.log_probs.sum(1)
            loss = g.minimise(NON_SATURATING.discriminator(real_logits, fake_logits))
            return {"g_loss": loss, "odds_accuracy": (real_logits > fake_logits).float().mean()}

        return (likelihood_phase(players["likelihood"], self), Phase("adversarial", self.adversarial_steps, play))


PRESETS = {
    "port": DGSAN(  # run_dgsan.py: no pre-training, 200 epochs, each against the generator of the last
        batch=64,
        mle_steps=0,
        adversarial_steps=200 * EPOCH,
        refresh=EPOCH,
        generator_lr=1e-2,
        generator=SMALL_LSTM,
    ),
}
