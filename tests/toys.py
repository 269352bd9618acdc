"""An enumerable toy: 6 tokens (PAD, BOS, EOS, UNK, a, b) and at most 3 a sentence, so all can be listed."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from textgan.generators import LSTM, Generator, Infill, Leak, Memory, Transformer
from textgan.sequences import EOS, PAD, UNK

VOCAB, MAX_LEN = 6, 3
WORDS = (UNK, 4, 5)
LEAK = Leak(
    embedding=8, hidden=8, goal=3, goal_steps=2, leaked_embedding=4, leaked_widths=(1, 2), leaked_filters=(4, 4)
)
INFILL = Infill(embedding=8, hidden=8, context=4, dropout=0.1)
FAMILIES = {
    "lstm": LSTM(embedding=8, hidden=8, dropout=0.0, tied=False),
    "lstm-tied-deep": LSTM(embedding=8, hidden=12, layers=2, dropout=0.3, tied=True),
    "transformer": Transformer(width=8, layers=2, heads=2, dropout=0.1),
    "memory": Memory(embedding=8, slots=2, heads=2, head_size=4, dropout=0.1),
    "leak": LEAK,
    "infill": INFILL,
}


def build(family: str, *, vocab: int = VOCAB, max_len: int = MAX_LEN, seed: int = 0, sharpen: float = 5.0) -> Generator:
    """A seeded generator in evaluation mode, its weights scaled up so that its distribution is far from uniform."""
    torch.manual_seed(seed)
    generator = FAMILIES[family].build(vocab, max_len)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(sharpen if parameter.dim() > 1 and family != "transformer" else 1)
        if family == "transformer":
            generator.model.get_output_embeddings().weight.mul_(30)
    return generator.eval()


def all_sentences() -> Tensor:
    """Every sentence of the toy: words and EOS, or MAX_LEN words without one; (N, 3) with PAD after EOS."""
    rows = []
    for length in range(MAX_LEN + 1):
        for words in itertools.product(WORDS, repeat=length):
            ended = [*words, EOS] if length < MAX_LEN else list(words)
            rows.append(ended + [PAD] * (MAX_LEN - len(ended)))
    return torch.tensor(rows)
