"""JSDGAN: the Jensen-Shannon divergence itself, with the optimal D in closed form. Li et al., AISTATS 2019."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from textgan.generators import LSTM, Generator, GeneratorSpec
from textgan.papers import EPOCH, SMALL_LSTM
from textgan.processes import gather
from textgan.sequences import PAD
from textgan.updates import Logs, Phase, Players, generator_players, likelihood_phase


@dataclass(frozen=True)
class JSDGAN:
    """Maximum likelihood, then descent of JSD(p_data, p_g) with D = p_data / (p_data + p_g) and p_data = 1 / N.

    With r = p_g / p_data, grad JSD = -1/2 E_{x ~ data}[r log(1 + 1/r) grad log p_g(x)]: real sentences, weighted; no
    sentence is sampled, for outside the data D is 0 and log(1 - D) constant. With prompts p_g of a sentence is
    p_data(prompt) p_g(rest | prompt), and p_data(prompt) its share of the training text's prompts.
    Differs: the weights are normalised over the batch (r of a whole sentence is far below what a float resolves; the
    authors' code stretches the batch's probabilities to [0, 1]), so the step keeps its size and follows the liveliest.

    Args (the others are `updates.FIELDS`):
        sentences: N, distinct sentences of the training text
    """

    name: ClassVar[str] = "jsdgan"
    paper: ClassVar[str] = "Li et al. 2019"
    bridge: ClassVar[str] = "none: weighted likelihood of real sentences"
    opponent: ClassVar[str] = "closed form p_data / (p_data + p_g)"

    batch: int = 64
    mle_steps: int = 1500
    adversarial_steps: int = 300
    sentences: int = 10_000
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    generator: GeneratorSpec = LSTM()

    def players(self, vocab_size: int, max_len: int) -> Players:
        return generator_players(self, vocab_size, max_len)

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g = players["generator"]
        prompted = prompt_shares(g.net)

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            real = next(batches)
            log_probs = gather(g.net.eval().log_probs(real).sum(1))  # (B,) of the whole batch
            log_ratio = log_probs.detach() + gather(prompted(real)) + math.log(self.sentences)
            weights = log_weights(log_ratio).softmax(0)
            loss = g.minimise(-(weights * log_probs).sum())
            return {"g_loss": loss, "weighted_sentences": 1 / weights.square().sum()}

        return (likelihood_phase(players["likelihood"], self), Phase("adversarial", self.adversarial_steps, play))


def prompt_shares(generator: Generator) -> Callable[[Tensor], Tensor]:
    """How frequent the prompts of sentences are in the training text: (B, T) -> log shares (B,), 0 without prompts.

    Prompts are found by a key of 64 bits each; one that is not among those kept (`prompts.MOST`) counts as seen once.
    """
    prompts = generator.prompts
    if prompts is None:
        return lambda tokens: torch.zeros(len(tokens), device=tokens.device)
    keys, counts = _keys(prompts).unique(return_counts=True)

    def log_shares(tokens: Tensor) -> Tensor:
        key = _keys(tokens.masked_fill(generator.chosen(tokens), PAD))
        place = torch.searchsorted(keys, key).clamp(max=len(keys) - 1)
        seen = counts[place].where(keys[place] == key, 1)
        return (seen / len(prompts)).log()

    return log_shares


def _keys(prompts: Tensor) -> Tensor:
    """A number for each row, the same however much PAD, which is 0, follows it: (N, P) int64 -> (N,) int64."""
    key = torch.zeros_like(prompts[:, 0])
    for tokens in prompts.flip(1).unbind(1):
        key = key * 0x2545F4914F6CDD1D + tokens  # modulo 2^64
    return key


def log_weights(log_ratio: Tensor) -> Tensor:
    """log(r log(1 + 1/r)) from log r = log p_g - log p_data, any shape."""
    return log_ratio + F.softplus(-log_ratio).log()


PRESETS = {
    "port": JSDGAN(  # run_jsdgan.py: no pre-training, 500 epochs
        batch=64, mle_steps=0, adversarial_steps=500 * EPOCH, generator_lr=1e-2, generator=SMALL_LSTM
    ),
}
