"""GSGAN: a recurrent game through Gumbel-softmax alone, from noise. Kusner & Hernandez-Lobato 2016."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textgan.discriminators import DiscriminatorSpec, Recurrent
from textgan.estimators import linear_temperature
from textgan.generators import LSTM, GeneratorSpec
from textgan.objectives import NON_SATURATING
from textgan.sequences import Relaxed
from textgan.updates import Logs, Phase, Players, judge_phase, likelihood_phase, relaxed_round, usual_players


@dataclass(frozen=True)
class GSGAN:
    """No pre-training: a recurrent D sees y = softmax((logits + Gumbel noise) / temperature), which is also fed on.

    The temperature falls on a straight line; G maximises log D(G).
    Differs: the noise stands at the logits, as in the paper (Texygen adds it to the hidden state); G draws no initial
    state, since all its noise is Gumbel; D's logit is the mean of those of the tokens (paper: of the last one).

    Args (the others are `updates.FIELDS`):
        first_temperature: Gumbel temperature at the start of the game
        last_temperature: Gumbel temperature at its end
    """

    name: ClassVar[str] = "gsgan"
    paper: ClassVar[str] = "Kusner & Hernandez-Lobato 2016"
    bridge: ClassVar[str] = "Gumbel-softmax, annealed, fed on"
    opponent: ClassVar[str] = "LSTM with a judgement per token"

    batch: int = 64
    mle_steps: int = 0
    judge_steps: int = 0
    adversarial_steps: int = 2000
    discriminator_updates: int = 1
    first_temperature: float = 5.0
    last_temperature: float = 1.0
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-3
    discriminator_lr: float = 1e-3
    generator: GeneratorSpec = LSTM()
    discriminator: DiscriminatorSpec = Recurrent()

    def players(self, vocab_size: int, max_len: int) -> Players:
        return usual_players(self, vocab_size, max_len)

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d = players["generator"], players["discriminator"]

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            temperature = linear_temperature(
                step, steps=self.adversarial_steps, first=self.first_temperature, last=self.last_temperature
            )

            def draw(real: Tensor) -> Relaxed:
                prefix = g.net.prompts_of(real)
                return g.net.relaxed_sample(len(real), temperature=temperature, hard=False, prefix=prefix, rng=rng)

            logs = relaxed_round(g, d, NON_SATURATING, batches, draw, updates=self.discriminator_updates)
            return logs | {"temperature": temperature}

        return (
            likelihood_phase(players["likelihood"], self),
            judge_phase(d, g.net, self.judge_steps, NON_SATURATING, rng),
            Phase("adversarial", self.adversarial_steps, play),
        )


PRESETS = {
    "paper-grammar": GSGAN(  # section 4, a context-free grammar; differs: the paper gives no sizes of its nets
        mle_steps=0,
        discriminator_updates=1,
        first_temperature=5.0,
        last_temperature=1.0,
        generator_lr=1e-3,
        discriminator_lr=1e-3,
    ),
}
