"""Maximum likelihood: the generator alone, the baseline that every adversarial recipe starts from and must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from textgan.generators import LSTM, GeneratorSpec
from textgan.papers import CONSTANT_ADAM, EPOCH, SMALL_LSTM
from textgan.updates import Phase, Player, Players, adamw, likelihood_phase


@dataclass(frozen=True)
class MLE:
    """Teacher forcing with AdamW, a cosine learning rate, and the weights of the lowest held-out NLL.

    The fields are `updates.FIELDS`.
    """

    name: ClassVar[str] = "mle"
    paper: ClassVar[str] = "-"
    bridge: ClassVar[str] = "none: teacher forcing"
    opponent: ClassVar[str] = "none"

    batch: int = 64
    mle_steps: int = 1500
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator: GeneratorSpec = LSTM()

    def players(self, vocab_size: int, max_len: int) -> Players:
        generator = self.generator.build(vocab_size, max_len)
        return {"generator": Player(generator, adamw(generator, self.mle_lr, self.weight_decay))}

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        return (likelihood_phase(players["generator"], self),)


TEXYGEN = MLE(**CONSTANT_ADAM, mle_steps=80 * EPOCH, generator=SMALL_LSTM)  # 80 epochs of 10,000 sentences
PRESETS = {
    "paper-oracle": MLE(  # the pre-training of SeqGAN's code, whose figure is RelGAN's table 1: 120 epochs
        **CONSTANT_ADAM, mle_steps=120 * EPOCH, generator=SMALL_LSTM
    ),
    "paper-coco": TEXYGEN,  # whose figures the later papers repeat
    "paper-news": TEXYGEN,
}
