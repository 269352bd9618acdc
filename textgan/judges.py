"""A small LSTM language model trained by us in seconds: a judge of another family than the n-gram model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from textgan.batches import Batches
from textgan.errors import InputError
from textgan.generators import LSTM, Generator
from textgan.metrics import LMScore, Unmeasurable
from textgan.recipes import MLE
from textgan.runs import log_probs
from textgan.text import UNK, encode, train_tokenizer
from textgan.watch import Best, held_out_nll

BATCH, PASSES, MOST, CHECKS = 64, 30, 1500, 10  # so many passes over the lines, at most MOST steps: 12 s for 2,500
FEWEST = 20  # lines, of which two are held out


class Judge:
    """A generator with its tokenizer, which knows how likely a line is.

    rare: words of its text that are <unk> to it. What it gives <unk> is divided among them and one that it has never
    seen, so that an unknown word is no cheaper than a rare one.
    """

    def __init__(self, net: Generator, tokenizer: Any, rare: int) -> None:
        self.net, self.tokenizer, self.rare = net, tokenizer, rare

    def log_probs(self, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(n,) log p(line) in nats and (n,) words, the end counted; no line is cut."""
        share = math.log(self.rare + 1)

        def score(tokens: torch.Tensor) -> torch.Tensor:
            return self.net.log_probs(tokens).double().sum(1) - share * (tokens == UNK).sum(1)

        return log_probs(score, encode(self.tokenizer, lines), self.net.chosen)


def train_judge(lines: Sequence[str], level: str, net: LSTM, *, seed: int = 0) -> Judge:
    """Maximum likelihood on nine tenths of the lines; the weights with the lowest NLL on the last tenth stay.

    level: "words" or "characters". A word that stands there once is <unk>, so that new words have a price.
    Raises Unmeasurable for fewer than FEWEST lines. The caller's random state is left alone.
    """
    if len(lines) < FEWEST:
        raise Unmeasurable(f"an LSTM judge is trained on at least {FEWEST} lines, and there are {len(lines)}")
    order = np.random.default_rng([seed, 10]).permutation(len(lines))
    held, kept = ([lines[row] for row in np.sort(rows)] for rows in np.split(order, [len(order) // 10]))
    try:
        tokenizer, every = (train_tokenizer(kept, level=level, min_count=least) for least in (2, 1))
    except InputError as error:
        raise Unmeasurable(f"an LSTM judge needs words that stand twice: {error}") from error
    data, held_out = encode(tokenizer, kept), encode(tokenizer, held)
    recipe = MLE(batch=min(BATCH, len(kept)), mle_steps=min(-(-PASSES * len(kept) // BATCH), MOST), generator=net)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        players = recipe.players(tokenizer.get_vocab_size(), int(data.lengths.max()))
        (phase,), generator = recipe.phases(players, torch.Generator().manual_seed(seed)), players["generator"].net
        batches, best = Batches(data, recipe.batch, seed=seed, device=generator.device), Best()
        for step in range(1, phase.steps + 1):
            phase.update(step - 1, batches)
            if step % max(1, phase.steps // CHECKS) == 0:
                best.offer(held_out_nll(generator, held_out), step, generator)
    generator.load_state_dict(best.weights)
    return Judge(generator.eval(), tokenizer, every.get_vocab_size() - tokenizer.get_vocab_size())


@dataclass(frozen=True)
class LSTMScore(LMScore):
    """Nats a word of the text under a small LSTM of real text: LM-score's second opinion, of another family."""

    order: int = 1  # of no meaning here
    model: str = "LSTM 64/128, dropout 0.3, words seen twice, <unk> shared by the others, 30 passes, at most 1500 steps"
    family: ClassVar[str] = "LSTM-score"

    def settings(self) -> dict[str, object]:
        return {"model": self.model}

    def train(self, lines: list[str], tokenise: str) -> Judge:
        return train_judge(lines, tokenise, LSTM(64, 128, dropout=0.3))
