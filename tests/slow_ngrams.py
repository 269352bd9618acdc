"""Slow, obviously right twins of the n-gram metrics: one line at a time, with Counters and no index."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

Words = Sequence[str]


def grams(words: Words, order: int) -> Counter[tuple[str, ...]]:
    """All n-grams of one line with their counts."""
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))


def bleu(references: Sequence[Words], words: Words, order: int, epsilon: float = 0.1) -> float:
    """Sentence BLEU with method1 smoothing, written from the definition."""
    logs = 0.0
    for k in range(1, order + 1):
        mine = grams(words, k)
        theirs = [grams(reference, k) for reference in references]
        matches = sum(min(c, max((other[g] for other in theirs), default=0)) for g, c in mine.items())
        if k == 1 and matches == 0:
            return 0.0
        logs += math.log((matches or epsilon) / max(1, sum(mine.values())))
    closest = min((len(reference) for reference in references), key=lambda length: (abs(length - len(words)), length))
    penalty = 1.0 if len(words) > closest else math.exp(1 - closest / len(words))
    return penalty * math.exp(logs / order)


def self_bleu(lines: Sequence[Words], order: int) -> float:
    """Mean BLEU of each line against all the others."""
    lines = list(lines)
    return sum(bleu(lines[:i] + lines[i + 1 :], line, order) for i, line in enumerate(lines)) / len(lines)


def counts(lines: Sequence[Words], order: int) -> Counter[tuple[str, ...]]:
    """n-gram counts of a whole text."""
    return sum((grams(line, order) for line in lines), Counter())


def distinct(lines: Sequence[Words], order: int) -> float:
    """Types / tokens."""
    total = counts(lines, order)
    return len(total) / sum(total.values())


def novel(lines: Sequence[Words], train: Sequence[Words], order: int) -> float:
    """Share of n-gram occurrences that the training text does not have."""
    total, known = counts(lines, order), counts(train, order)
    return sum(c for g, c in total.items() if g not in known) / sum(total.values())


def rarefied_distinct(lines: Sequence[Words], order: int, m: int) -> float:
    """Expected types over expected tokens of m lines, over all choices of m lines."""
    from itertools import combinations

    choices = [counts(choice, order) for choice in combinations(lines, m)]
    return sum(map(len, choices)) / sum(sum(choice.values()) for choice in choices)


def ms_jaccard(one: Sequence[Words], other: Sequence[Words], highest: int) -> float:
    """Geometric mean over orders of sum min / sum max of counts per line."""
    product = 1.0
    for order in range(1, highest + 1):
        a, b = counts(one, order), counts(other, order)
        pairs = [(a[g] / len(one), b[g] / len(other)) for g in a.keys() | b.keys()]
        product *= sum(map(min, pairs)) / sum(map(max, pairs))
    return product ** (1 / highest)


def longest_span(line: Words, train: Sequence[Words]) -> int:
    """Longest run of words that one training line has too."""
    best = 0
    for start in range(len(line)):
        for end in range(start + 1, len(line) + 1):
            run = list(line[start:end])
            if any(list(t[i : i + len(run)]) == run for t in train for i in range(len(t))):
                best = max(best, len(run))
    return best


def nearest(line: Words, train: Sequence[Words]) -> float:
    """Largest Jaccard similarity of word sets."""
    return max(len(set(line) & set(other)) / max(1, len(set(line) | set(other))) for other in train)
