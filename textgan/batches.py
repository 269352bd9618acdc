"""From text to an endless, resumable stream of batches, with some lines held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from textgan.errors import InputError
from textgan.text import Encoded, Text, choose_max_len, encode, read_text, train_tokenizer

HELD_OUT_SHARE, HELD_OUT_MOST, HELD_OUT_SEED = 0.05, 1000, 0


@dataclass(frozen=True)
class TextSettings:
    """How text becomes tokens.

    Args:
        tokens: level of the tokens: words (split on spaces), treebank (raw text), characters, or bpe (bytes)
        vocab_size: keep at most so many tokens, the others become <unk>; none keeps all
        min_count: a token seen less often becomes <unk>
        max_len: longest sentence in tokens, end mark included; none is chosen from the data (99.5 % fit)
        encoding_errors: what to do with bytes that are not UTF-8 and with control characters: strict, replace or skip
    """

    tokens: str = "words"
    vocab_size: int | None = None
    min_count: int = 1
    max_len: int | None = None
    encoding_errors: str = "strict"


class Data(NamedTuple):
    """A corpus ready for training; `facts` is what the run folder records about it."""

    tokenizer: Any
    train: Encoded
    held_out: Encoded
    held_out_lines: list[str]
    max_len: int
    facts: dict[str, Any]


def prepare(
    corpus: str | Path | Sequence[str], valid: str | Path | Sequence[str] | None, settings: TextSettings
) -> Data:
    """Read, hold lines out (or read `valid`), train the tokenizer on the training lines alone, and encode.

    Without `valid`, 5 % of the distinct lines (at most 1,000) are held out with a fixed seed, the same for every
    run on that corpus, and leave the training text with all their copies.
    """
    if settings.max_len is not None and settings.max_len < 1:
        raise InputError(f"--max_len {settings.max_len} must be at least 1")
    text = read_text(corpus, errors=settings.encoding_errors)
    if valid is None:
        lines, held = hold_out(text.lines)
        valid_facts = {"name": f"held out of {text.name}", "lines": len(held)}
    else:
        other = read_text(valid, errors=settings.encoding_errors)
        lines, held = text.lines, other.lines
        valid_facts = {"name": other.name, "sha256": other.sha256, "lines": len(held)}
    tokenizer = train_tokenizer(
        lines, level=settings.tokens, vocab_size=settings.vocab_size, min_count=settings.min_count
    )
    max_len = settings.max_len or choose_max_len(tokenizer, lines)
    train, held_out = encode(tokenizer, lines, max_len=max_len), encode(tokenizer, held, max_len=max_len)
    facts = {
        "corpus": _facts(text)
        | {"training_lines": len(lines), "unk_rate": train.unk_rate, "truncated": train.truncated},
        "valid": valid_facts | {"unk_rate": held_out.unk_rate},
        "tokens": {
            "level": settings.tokens,
            "vocab_size": tokenizer.get_vocab_size(),
            "max_len": max_len,
            "min_count": settings.min_count,
        },
    }
    return Data(tokenizer, train, held_out, held, max_len, facts)


def hold_out(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Training lines and held-out lines; no held-out line is left among the former."""
    distinct = sorted(set(lines))
    n = min(HELD_OUT_MOST, max(1, round(HELD_OUT_SHARE * len(distinct))))
    if len(distinct) < 2:
        raise InputError(
            f"the corpus has {len(distinct)} distinct line(s); at least 2 are needed to hold one out (or give --valid)"
        )
    chosen = np.random.default_rng(HELD_OUT_SEED).permutation(len(distinct))[:n]
    held = [distinct[i] for i in chosen]
    taken = set(held)
    return [line for line in lines if line not in taken], held


def _facts(text: Text) -> dict[str, Any]:
    return {
        "name": text.name,
        "sha256": text.sha256,
        "lines": len(text.lines),
        "blank": text.blank,
        "replaced": text.replaced,
        "skipped": text.skipped,
    }


class Batches(Iterator[Tensor]):
    """Endless shuffled batches (B, T) int64; `cursor` is the number handed out, and setting it is the whole resume.

    Epoch e is a permutation drawn from (seed, e). Of several processes, the one of `rank` takes every world-th batch.
    Rows are wrapped round the end of an epoch, so each batch is full.
    """

    def __init__(
        self, data: Encoded, batch: int, *, seed: int, device: torch.device, rank: int = 0, world: int = 1
    ) -> None:
        self.data, self.batch, self.seed, self.device = data, batch, seed, device
        self.rank, self.world, self.cursor = rank, world, 0
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def _row(self, first: int) -> np.ndarray:
        """Rows first .. first + batch of the endless sequence of epochs."""
        n = len(self.data)
        rows: list[np.int64] = []
        while len(rows) < self.batch:
            epoch, at = divmod(first + len(rows), n)
            if epoch != self._epoch:
                self._epoch, self._order = epoch, np.random.default_rng((self.seed, epoch)).permutation(n)
            rows.extend(self._order[at : at + self.batch - len(rows)])
        return np.asarray(rows)

    def __next__(self) -> Tensor:
        rows = self._row((self.cursor * self.world + self.rank) * self.batch)
        self.cursor += 1
        return torch.from_numpy(self.data.batch(rows)).to(self.device, non_blocking=True)
