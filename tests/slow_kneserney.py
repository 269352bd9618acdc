"""Interpolated modified Kneser-Ney as it is defined, with dictionaries and one recursion."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

BEGIN, END = "<s>", "</s>"


class SlowKneserNey:
    """p(w | c) = max(a(cw) - D, 0) / a(c) + left(c) p(w | shorter c), down to 1 / V."""

    def __init__(self, lines: Sequence[Sequence[str]], order: int, further: set[str] | None = None) -> None:
        self.order = order
        marked = [[BEGIN, *line, END] for line in lines]
        counts = [
            Counter(tuple(x[i : i + k]) for x in marked for i in range(len(x) - k + 1)) for k in range(1, order + 1)
        ]
        words = {word for line in lines for word in line}
        self.size = len(words | (further or set())) + 2  # END and the unknown word; BEGIN is never predicted
        self.counts = []
        for k in range(1, order):
            before = Counter(gram[1:] for gram in counts[k])
            self.counts.append({g: (c if g[0] == BEGIN else before[g]) for g, c in counts[k - 1].items()})
        self.counts.append(dict(counts[order - 1]))
        self.counts[0] = {g: c for g, c in self.counts[0].items() if g != (BEGIN,)}
        self.discounts = [self.estimate(list(level.values())) for level in self.counts]
        self.children: list[dict] = []
        for level in self.counts:
            children = defaultdict(list)
            for gram, count in level.items():
                children[gram[:-1]].append(count)
            self.children.append(children)

    @staticmethod
    def estimate(values: list[int]) -> list[float]:
        n = [0, *(values.count(c) for c in (1, 2, 3, 4))]
        if not (n[1] and n[2]):
            return [0.5, 1.0, 1.5]
        y = n[1] / (n[1] + 2 * n[2])
        raw = [1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3] if n[3] else 1.5]
        return [min(max(value, 0.05), c - 0.05) for c, value in zip((1, 2, 3), raw, strict=True)]

    def prob(self, word: str, context: tuple[str, ...]) -> float:
        k = len(context)
        lower = 1 / self.size if k == 0 else self.prob(word, context[1:])
        seen = self.children[k].get(context)
        if not seen or not sum(seen):
            return lower
        discount = lambda count: min(self.discounts[k][min(count, 3) - 1], count) if count else 0.0  # noqa: E731
        mine = self.counts[k].get((*context, word), 0)
        return (mine - discount(mine) + sum(map(discount, seen)) * lower) / sum(seen)

    def log_prob(self, line: Sequence[str]) -> float:
        from math import log

        marked = [BEGIN, *line, END]
        return sum(
            log(self.prob(marked[i], tuple(marked[max(0, i - self.order + 1) : i]))) for i in range(1, len(marked))
        )
