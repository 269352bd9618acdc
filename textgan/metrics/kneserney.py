"""An interpolated modified Kneser-Ney n-gram model on the n-gram index: trained in a second, scored without a loop."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from .ngrams import TOKENISE, NgramIndex

BEGIN, END = "\x02begin", "\x03end"  # control characters, which text that was read strictly cannot hold
Discounts = tuple[float, float, float]
Lines = Sequence[str] | Sequence[Sequence[str]]


class _Level(NamedTuple):
    """One order. K n-grams and their C contexts, ids as in the index."""

    taken: np.ndarray  # (K + 1,) discounted share of each n-gram in its context; 0 for the unknown one at the end
    left: np.ndarray  # (C + 1,) share that each context leaves to the lower order; 1 where it was never seen


class Marked:
    """Lines cut into words, each between a begin and an end mark: prepared once to be scored by many models."""

    def __init__(self, lines: Lines, tokenise: str = "words") -> None:
        cut = TOKENISE[tokenise]
        self.index = NgramIndex([[BEGIN, *(cut(line) if isinstance(line, str) else line), END] for line in lines])


class KneserNey:
    """p(w | c) = max(a(cw) - D, 0) / a(c) + left(c) p(w | shorter c). Chen & Goodman 1999, section 4.1.1 (modified).

    a is the count for the highest order and for what begins a line, else the number of different words before it. D has
    three values an order, for counts 1, 2 and more, estimated from counts of counts. The words' own level is
    interpolated with 1 / V over the training words, the further words of `vocabulary`, the end of line and one unknown
    word, so that the probabilities of all these sum to 1. Each line has one begin mark and one end mark.
    lines: strings or lists of words. vocabulary: words that `lines` may lack and that have a probability each all the
    same. discounts: one triple an order instead of the estimates.
    """

    def __init__(
        self,
        lines: Lines,
        *,
        order: int = 4,
        tokenise: str = "words",
        vocabulary: Collection[str] = (),
        discounts: Sequence[Discounts] | None = None,
    ) -> None:
        if order < 1:
            raise InputError(f"order is {order}; give 1 or more")
        self.order, self.tokenise = order, tokenise
        self._index = Marked(lines, tokenise).index
        if not len(self._index):
            raise InputError("a language model needs at least one line of text")
        self.name = f"Kneser-Ney {order}-gram"
        self._begin = self._index.vocabulary[BEGIN]
        known = self._index.vocabulary
        self._size = len(known)
        self._words = self._size + len(set(vocabulary) - known.keys())  # V: the begin mark is out, the unknown word in
        suffix = np.zeros(self._size, dtype=np.int64)
        self._levels: list[_Level] = []
        raw = [self._counts(k) for k in range(1, order + 1)]
        suffixes = [suffix]
        for k in range(2, order + 1):
            suffixes.append(self._suffixes(k, suffixes[-1]))
        for k in range(1, order + 1):
            counts = raw[k - 1]
            if k < order:
                counts = self._continuations(k, counts, suffixes[k])
            self._levels.append(self._level(k, counts, None if discounts is None else discounts[k - 1]))

    @classmethod
    def covering(cls, lines: Lines, real: Marked, *, order: int = 4, tokenise: str = "words") -> KneserNey:
        """The model of `lines` that says how well they cover `real`: its words are those of both.

        With the words of `lines` alone, the fewer they have, the cheaper would be each word that they lack.
        """
        return cls(lines, order=order, tokenise=tokenise, vocabulary=real.index.vocabulary)

    def log_probs(self, lines: Lines | Marked) -> tuple[np.ndarray, np.ndarray]:
        """(n,) natural log-probability of each line with its end, and (n,) how many words that is (the end counted)."""
        index = lines.index if isinstance(lines, Marked) else Marked(lines, self.tokenise).index
        known = np.fromiter((self._index.vocabulary.get(word, -1) for word in index.vocabulary), np.int64)
        words = known[index.tokens] if len(index.tokens) else np.zeros(0, np.int64)
        begins = np.cumsum(index.lengths) - index.lengths
        place = np.arange(len(words)) - np.repeat(begins, index.lengths)  # how many words of the line stand before
        chance = self._word_chances(words)
        grams = words.copy()  # id of the k-gram that begins here, -1 for unknown
        for k in range(2, self.order + 1):
            longer = self._extend(k, grams[: len(words) - k + 1], words[k - 1 :])
            spots = np.flatnonzero(place >= k - 1)  # words with k - 1 words before them
            context, gram = grams[spots - k + 1], longer[spots - k + 1]
            level = self._levels[k - 1]
            chance[spots] = level.taken[gram] + level.left[context] * chance[spots]
            grams = longer
        scored = np.flatnonzero(place >= 1)
        logs = np.bincount(index.line_of[scored], weights=np.log(chance[scored]), minlength=len(index))
        return logs, index.lengths - 1

    def nll_per_token(self, lines: Lines | Marked) -> float:
        """Nats a word, the end of line counted."""
        logs, tokens = self.log_probs(lines)
        return float(-logs.sum() / tokens.sum())

    def _word_chances(self, words: np.ndarray) -> np.ndarray:
        level = self._levels[0]
        return level.taken[words] + level.left[0] / self._words

    def _counts(self, k: int) -> np.ndarray:
        return self._index.frequencies(k).astype(np.float64)

    def _prefixes(self, k: int) -> np.ndarray:
        return self._index.keys(k) // self._size

    def _extend(self, k: int, parent: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Ids of the k-grams of a (k-1)-gram and a word, -1 where there is none."""
        keys = self._index.keys(k)
        if not len(keys):
            return np.full(len(parent), -1)
        wanted = parent * self._size + last
        spot = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((keys[spot] == wanted) & (parent >= 0) & (last >= 0), spot, -1)

    def _suffixes(self, k: int, shorter: np.ndarray) -> np.ndarray:
        """(K,) the (k-1)-gram that ends each k-gram, from the same for its first k - 1 words."""
        keys = self._index.keys(k)
        last = keys % self._size
        return last if k == 2 else self._extend(k - 1, shorter[keys // self._size], last)

    def _continuations(self, k: int, counts: np.ndarray, suffix: np.ndarray) -> np.ndarray:
        """(K,) different words before each k-gram; what begins a line has no word before it and keeps its count."""
        first = np.arange(self._size) if k == 1 else self._firsts(k)
        before = np.bincount(suffix, minlength=len(counts)).astype(np.float64)
        return np.where(first == self._begin, counts, before)

    def _firsts(self, k: int) -> np.ndarray:
        first = np.arange(self._size)
        for order in range(2, k + 1):
            first = first[self._prefixes(order)]
        return first

    def _level(self, k: int, counts: np.ndarray, discounts: Discounts | None) -> _Level:
        if k == 1:
            counts = counts.copy()
            counts[self._begin] = 0  # never predicted
            context, contexts = np.zeros(len(counts), dtype=np.int64), 1
        else:
            context, contexts = self._prefixes(k), len(self._index.keys(k - 1))
        three = _discounts(counts) if discounts is None else discounts
        discount = np.array([0.0, *three])[np.minimum(counts, 3).astype(np.int64)]
        total = np.bincount(context, weights=counts, minlength=contexts)
        freed = np.bincount(context, weights=np.minimum(discount, counts), minlength=contexts)
        seen = total > 0
        left = np.append(np.where(seen, freed / np.where(seen, total, 1), 1.0), 1.0)
        taken = np.append(np.maximum(counts - discount, 0) / np.where(seen, total, 1)[context], 0.0)
        return _Level(taken, left)


def _discounts(counts: np.ndarray) -> Discounts:
    """D1, D2, D3+ of one order from its counts of counts n1..n4; half the count where they are too few to tell."""
    n1, n2, n3, n4 = (int((counts == c).sum()) for c in (1, 2, 3, 4))
    if not (n1 and n2):
        return 0.5, 1.0, 1.5
    share = n1 / (n1 + 2 * n2)
    three = (1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3 if n3 else 1.5)
    return tuple(min(max(value, 0.05), c - 0.05) for c, value in zip((1, 2, 3), three, strict=True))  # type: ignore[return-value]
