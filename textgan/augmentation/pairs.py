"""Pairs of a real and a generated text as a preference set, which trainers by preference (DPO and its kin) read."""

import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from textgan.augmentation.mix import Pool, Source, pool_texts
from textgan.augmentation.pool import write_pool
from textgan.errors import InputError
from textgan.text import read_text, same_form


def pairs(
    real: Source, pool: Pool, *, n: int | None = None, prefix: int = 0, seed: int = 0
) -> Iterator[dict[str, str]]:
    """Rows {"prompt", "chosen", "rejected"}: a real text is chosen, a generated one rejected; n at most (None: all).

    prefix: words that the two must share at their beginning; they become the prompt, and what follows them, its space
    included, the answers. 0: any two, and the prompt is empty. Each text is in one pair at most, drawn by the seed. A
    generated text that is also a real one is in none: it is no worse. Only selected rows are drawn. Errors: InputError,
    where no two texts can be paired.
    """
    if prefix < 0 or (n is not None and n < 1):
        raise InputError(f"prefix {prefix} and n {n} make no pair; give 0 or more words, and 1 or more pairs")
    read, texts = read_text(real), pool_texts(pool)
    same_form(read.name, read.lines, texts)
    lines = list(dict.fromkeys(read.lines))
    known, rng = set(lines), random.Random(f"pairs {seed}")
    made = [text for text in dict.fromkeys(texts) if text not in known]
    rng.shuffle(lines)
    rng.shuffle(made)
    waiting: dict[str, list[str]] = defaultdict(list)
    for text in reversed(made):
        if (start := _start(text, prefix)) is not None:
            waiting[start].append(text)
    begun = ((start, line) for line in lines if (start := _start(line, prefix)) is not None)
    found = ((start, line, waiting[start].pop()) for start, line in begun if waiting.get(start))
    first = next(found, None)
    if first is None:
        shared = f"share their first {prefix} words" if prefix else "differ"
        raise InputError(f"no real and no selected generated text {shared}; give a smaller prefix or a larger pool")
    return _rows(first, found, n)


def write_pairs(
    real: Source, pool: Pool, out: str | Path, *, n: int | None = None, prefix: int = 0, seed: int = 0
) -> int:
    """`pairs` as JSON lines, which `datasets` reads by load_dataset("json", ...); gives how many."""
    return write_pool(pairs(real, pool, n=n, prefix=prefix, seed=seed), out)


def _rows(
    first: tuple[str, str, str], others: Iterator[tuple[str, str, str]], n: int | None
) -> Iterator[dict[str, str]]:
    for number, (start, line, text) in enumerate((first, *others)):
        if n is not None and number == n:
            return
        yield {"prompt": start, "chosen": line[len(start) :], "rejected": text[len(start) :]}


def _start(text: str, words: int) -> str | None:
    """The first words of a text, as they are written; None where nothing would be left to answer."""
    parts = text.split(" ")
    return " ".join(parts[:words]) if len(parts) > words else None
