"""Is the generator still a language model? Held-out scores, the best of them kept, and warnings of collapse."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from textgan.batches import Data
from textgan.evaluation import Reference, evaluate
from textgan.generators import Generator, evaluating
from textgan.metrics.kneserney import KneserNey
from textgan.sequences import EOS, Samples, lengths_of, mask_of, parted
from textgan.text import Encoded

BLOCK_ROWS = 128
OFTEN = "BLEU-4,self-BLEU-4,distinct-2"  # milliseconds at 200 lines; a trend within a run, whose n is always the same
SELDOM = "backward-BLEU-4,MS-Jaccard-4,LM-score,reverse-LM-score,Frechet"  # about a second at 1,000 lines
JUDGED = 20_000  # training lines that the joint score's n-gram model is trained on, at most


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
            tokens += int(generator.chosen(sentences).sum())
    return total / max(1, tokens)


class Look(NamedTuple):
    """What a set of sentences looks like from afar; as many real ones are looked at for comparison."""

    unique: float  # share of distinct sentences
    length: float  # mean tokens, EOS counted


def look(tokens: Tensor) -> Look:
    """(B, T) int64 -> Look."""
    distinct = len(torch.unique(tokens, dim=0))
    return Look(distinct / len(tokens), lengths_of(mask_of(tokens)).double().mean().item())


class Best:
    """The generator's weights where a held-out score was lowest; `facts` and `weights` are its whole state."""

    def __init__(self, score: float = math.inf, step: int = 0, weights: dict[str, Tensor] | None = None) -> None:
        self.score, self.step, self.weights = score, step, weights or {}

    @property
    def facts(self) -> dict[str, Any]:
        """Plain values for a checkpoint; empty where nothing was offered yet."""
        return {"score": self.score, "step": self.step} if self.weights else {}

    def offer(self, score: float, step: int, net: torch.nn.Module) -> None:
        """Keep these weights if the score is lower than all before."""
        if score < self.score:
            weights = {name: value.detach().clone() for name, value in net.state_dict().items()}
            self.score, self.step, self.weights = score, step, weights


class Watch:
    """Compares samples with real text: scores them, and says in one line what looks like collapse.

    Each warning is a function of one row of the log and of constants, so a resumed run warns alike.
    """

    def __init__(self, data: Data, sampled: int) -> None:
        rows = np.arange(len(data.held_out))[:sampled]
        self.real = look(parted(torch.from_numpy(data.held_out.batch(rows)), len(data.labels))[0])
        self.reference = Reference(data.held_out_lines)  # indexed once for all evaluations of the run
        self.train, self.labels = data.train, len(data.labels)

    def measure(self, samples: Samples, valid_nll: float) -> dict[str, float]:
        """sample_unique, sample_length, sample_entropy (mean -log p a sampled token, nats; low: collapsed), and joint.

        joint = E_real[-log p_G] + E_G[log p_G - log p_KN], nats a token, lower is better: held-out NLL and the
        divergence of the samples from a Kneser-Ney model of the training text. But for real text's own entropy it is
        Jeffreys' divergence (1946) with that model in the place of real text in its second half. The first half grows
        where G loses variety or learns the training text by heart, the second where it writes what real text would
        not, and neither can be had by a temperature: on captions it is 4.09 at temperature 1, 4.16 at .85 and 4.17 at
        1.1, while the mean of forward and backward BLEU-4, or MS-Jaccard-4, rises down to .7. The two terms of the
        second half share their draws, so that 200 samples tell .02 nats. With prompts all of it is a token that was
        drawn, and the prompts' own likelihood is a constant in it.
        """
        seen = look(samples.tokens)
        entropy = -(samples.log_probs.double().sum() / samples.mask.sum()).item()
        logs, _ = self.judge.log_probs(_words(samples.tokens, mask_of(samples.tokens)))
        whole = -float(logs.sum()) / int(samples.mask.sum())  # a drawn token, as its other terms are
        joint = valid_nll + whole - entropy
        look_of = {"sample_unique": seen.unique, "sample_length": seen.length, "sample_entropy": entropy}
        return look_of | {"joint": joint}

    @cached_property
    def judge(self) -> KneserNey:
        """The joint score's n-gram model, over the tokens of training lines."""
        n = len(self.train)
        rows = np.random.default_rng(9).choice(n, min(n, JUDGED), replace=False)
        tokens = parted(torch.from_numpy(self.train.batch(np.sort(rows))), self.labels)[0]
        return KneserNey(_words(tokens, mask_of(tokens)))

    def scores(self, lines: list[str], metrics: str = OFTEN) -> dict[str, float]:
        """Metrics of the samples against the held-out lines; absent where they have no value."""
        lines = [line for line in lines if line.strip()]
        if not lines:
            return {}
        n = min(len(lines), len(self.reference))
        found = evaluate(lines, self.reference, n=n, metrics=metrics, groups=0)
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


def _words(tokens: Tensor, mask: Tensor) -> list[list[str]]:
    """(B, T) ids as lists of words, without the EOS, which the n-gram model adds itself."""
    kept = (mask & (tokens != EOS)).cpu().numpy()
    return [[str(token) for token in row[own]] for row, own in zip(tokens.cpu().numpy(), kept, strict=True)]
