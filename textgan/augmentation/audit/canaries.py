"""Canaries: random lines planted in a training text, and how much of them a model has learnt by heart."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from textgan.augmentation.audit.counterfactual import Scorer
from textgan.errors import InputError
from textgan.text import Text, read_text, write_json, write_lines

WORDS = 256  # different words that canaries are drawn from
LENGTH = 6  # words of a canary: 256^6 = 2^48 possible ones
CANDIDATES = 4095  # the largest exposure that can be seen is log2(candidates + 1) = 12 bits


class Canaries(NamedTuple):
    """lines: the planted lines. words, length: what they were drawn from: `length` words, each with equal chance."""

    lines: list[str]
    words: list[str]
    length: int


def plant(
    lines: Sequence[str], n: int, *, repeats: int = 1, length: int = LENGTH, seed: int = 0
) -> tuple[list[str], Canaries]:
    """The text with n canaries in it, each `repeats` times, at random places; and the canaries.

    A canary is `length` words drawn with equal chance from the text's own most frequent words (256 at most), so that no
    tokenizer takes it for unknown words; none is a line of the text. Keep the canaries apart: they are the measure.
    Train with held-out text of its own: a training that holds lines out holds out all copies of a canary.
    """
    if min(n, repeats, length) < 1:
        raise InputError(f"{n} canaries of {length} words, {repeats} times each: give 1 or more of each")
    counts = Counter(word for line in lines for word in line.split() if word.isalnum())
    words = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:WORDS]]
    if len(words) ** length < 1000 * n:
        raise InputError(f"{len(words)} words make too few canaries of {length} words; give more text or a length")
    rng = random.Random(f"canaries {seed}")
    known, secrets = set(lines), list[str]()
    while len(secrets) < n:
        line = " ".join(rng.choices(words, k=length))
        if line not in known:
            known.add(line)
            secrets.append(line)
    planted = [*lines, *(line for line in secrets for _ in range(repeats))]
    rng.shuffle(planted)
    return planted, Canaries(secrets, words, length)


def exposure(log_probs: Scorer, canaries: Canaries, *, candidates: int = CANDIDATES, seed: int = 0) -> np.ndarray:
    """(n,) bits: how far up each canary stands among lines that might as well have been planted. Carlini et al. 2019.

    log2 |R| - log2 rank, the rank of the canary by log-probability among all |R| possible ones. By sampling: rank / |R|
    is (1 + drawn lines that are at least as likely) / (candidates + 1), so log2(candidates + 1) is the most that can be
    seen. For a model that never saw it a canary's rank is any with equal chance: mean 1/ln 2 = 1.44 bits, and at least
    b bits with probability 2^-b. log_probs: lines -> (n,) log p.
    """
    if candidates < 1:
        raise InputError(f"candidates {candidates} must be at least 1")
    rng = random.Random(f"candidates {seed}")
    known, drawn = set(canaries.lines), list[str]()
    while len(drawn) < candidates:
        line = " ".join(rng.choices(canaries.words, k=canaries.length))
        if line not in known:
            drawn.append(line)
    others, own = (np.asarray(log_probs(lines), dtype=np.float64) for lines in (drawn, canaries.lines))
    others.sort()
    above = candidates - np.searchsorted(others, own, side="left")
    return np.log2(candidates + 1) - np.log2(1 + above)


def extracted(texts: Sequence[str], canaries: Canaries) -> float:
    """The share of the canaries that a model has written word for word."""
    written = {" ".join(line.split()) for line in texts}
    return sum(line in written for line in canaries.lines) / len(canaries.lines)


def plant_canaries(
    text: str | Path | Sequence[str] | Text,
    n: int,
    *,
    out: str | Path,
    key: str | Path,
    repeats: int = 1,
    length: int = LENGTH,
    seed: int = 0,
) -> Canaries:
    """Write the text with n canaries, each `repeats` times, to `out`, and the canaries themselves to `key` (JSON)."""
    lines, canaries = plant(read_text(text).lines, n, repeats=repeats, length=length, seed=seed)
    write_lines(out, lines)
    write_json(key, canaries._asdict() | {"repeats": repeats, "seed": seed})
    return canaries


def read_canaries(path: str | Path) -> Canaries:
    """The canaries that `plant_canaries` wrote; anything else is an InputError."""
    try:
        read = json.loads(Path(path).read_text(encoding="utf-8"))
        found = Canaries(*(read[name] for name in Canaries._fields))
        sound = isinstance(found.length, int) and found.lines and len(found.words) > 1
        if not sound or not all(isinstance(item, str) for item in (*found.lines, *found.words)):
            raise ValueError
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the canaries' file") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(
            f"{path}: holds no canaries; give the file that `textgan canaries --key` has written"
        ) from None
    return found
