"""Is the generator still a language model? Held-out likelihood, a look at fresh samples, and warnings of collapse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from textgan.evaluation import Reference, evaluate
from textgan.generators import Generator, evaluating
from textgan.sequences import Samples, lengths_of, mask_of, parted
from textgan.text import Encoded

BLOCK_ROWS = 128
OFTEN = "BLEU-4,self-BLEU-4,distinct-2"  # milliseconds at 200 lines; a trend within a run, whose n is always the same


@torch.no_grad()
def held_out_nll(generator: Generator, held_out: Encoded) -> float:
    """Mean -log p a token, nats, over all real tokens (EOS counted, PAD not), at temperature 1 without dropout."""
    total, tokens = 0.0, 0
    order = np.argsort(held_out.lengths, kind="stable")  # rows of like length together: little padding
    with evaluating(generator):
        for i in range(0, len(order), BLOCK_ROWS):
            batch = torch.from_numpy(held_out.batch(order[i : i + BLOCK_ROWS])).to(generator.device)
            sentences, context = parted(batch, generator.labels)
            total -= generator.log_probs(sentences, context).double().sum().item()
            tokens += int(mask_of(sentences).sum())
    return total / max(1, tokens)


class Look(NamedTuple):
    """What a set of sentences looks like from afar; as many real ones are looked at for comparison."""

    unique: float  # share of distinct sentences
    length: float  # mean tokens, EOS counted


def look(tokens: Tensor) -> Look:
    """(B, T) int64 -> Look."""
    distinct = len(torch.unique(tokens, dim=0))
    return Look(distinct / len(tokens), lengths_of(mask_of(tokens)).double().mean().item())


class Watch:
    """Compares samples with real text and says in one line what looks like collapse.

    Each warning is a function of one row of the log and of constants, so a resumed run warns alike.
    """

    def __init__(self, held_out: Encoded, lines: Sequence[str], sampled: int, *, labels: int = 0) -> None:
        rows = np.arange(len(held_out))[:sampled]
        self.real = look(parted(torch.from_numpy(held_out.batch(rows)), labels)[0])
        self.reference = Reference(lines)  # indexed once for all evaluations of the run

    def measure(self, samples: Samples) -> dict[str, float]:
        """sample_unique, sample_length, and sample_entropy: mean -log p a sampled token, nats (low: collapsed)."""
        seen = look(samples.tokens)
        entropy = -(samples.log_probs.double().sum() / samples.mask.sum()).item()
        return {"sample_unique": seen.unique, "sample_length": seen.length, "sample_entropy": entropy}

    def scores(self, lines: list[str]) -> dict[str, float]:
        """The cheap metrics of the samples against the held-out lines; absent where they have no value."""
        lines = [line for line in lines if line.strip()]
        if not lines:
            return {}
        n = min(len(lines), len(self.reference))
        found = evaluate(lines, self.reference, n=n, metrics=OFTEN, groups=0)
        return {score.name: score.value for score in found.scores}

    def warning(self, row: dict[str, Any]) -> str | None:
        """The signs of collapse in an evaluated row, or None. Early maximum likelihood is not judged."""
        signs = []
        if row.get("sample_unique", 1.0) < 0.5 * self.real.unique:
            signs.append(f"only {row['sample_unique']:.0%} of samples are distinct (real text {self.real.unique:.0%})")
        if row["phase"] == "adversarial":
            if row.get("sample_entropy", 1.0) < 0.1:
                signs.append(f"entropy is {row['sample_entropy']:.3f} nats a token")
            if abs(row.get("sample_length", self.real.length) / self.real.length - 1) > 0.5:
                signs.append(f"mean length {row['sample_length']:.1f} against {self.real.length:.1f} in real text")
            if row.get("d_accuracy", 0.5) > 0.98:
                signs.append(f"D orders {row['d_accuracy']:.1%} of pairs rightly: its signal may vanish")
            if row.get("reward_sd", 1.0) < 1e-3:
                signs.append(f"rewards spread by {row['reward_sd']:.1e}: nothing to learn from")
        return "; ".join(signs) or None
