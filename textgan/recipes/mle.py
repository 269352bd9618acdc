"""Maximum likelihood: the generator alone, the baseline that every adversarial recipe starts from and must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from textgan.generators import LSTM, GeneratorSpec
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


ORACLE = LSTM(embedding=32, hidden=32, dropout=0.0, tied=False, init_std=0.1)  # SeqGAN's code: generator.py
PRESETS = {
    "paper-oracle": MLE(  # the pre-training of SeqGAN's code (sequence_gan.py), whose figure is RelGAN's table 1
        batch=64,  # SeqGAN's code
        mle_steps=120 * 156,  # SeqGAN's code: 120 epochs of 10,000 sequences
        mle_lr=1e-2,  # SeqGAN's code: Adam at a constant rate
        mle_final_rate=1.0,
        weight_decay=0.0,
        early_stopping=False,  # SeqGAN's code goes on with the last weights, which are over-fitted
        generator=ORACLE,
    ),
    "paper-coco": MLE(  # Texygen's MLE baseline, whose figures the later papers repeat
        batch=64,  # Texygen
        mle_steps=80 * 156,  # Texygen: 80 epochs of 10,000 captions
        mle_lr=1e-2,  # Texygen
        mle_final_rate=1.0,
        weight_decay=0.0,
        early_stopping=False,
        generator=ORACLE,  # Texygen: the sizes of the oracle experiment
    ),
}
