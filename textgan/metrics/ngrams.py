"""One n-gram index that serves BLEU, self-BLEU, distinct-n and every other n-gram metric in linear time.

A corpus is a flat array of word ids. Order n is built from order n-1 by counting sorts: the key of an n-gram is the
id of its first n-1 words and its last word, so that a key is one integer whatever the order. Per order the index keeps
runs: the distinct (n-gram, line) pairs with their counts, sorted by n-gram, then by line. A subset of the lines is a
filter of the runs, without a new sort.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import chain, count
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ..errors import InputError
from .reasons import Unmeasurable

Line = str | Sequence[str]
TOKENISE: dict[str, Callable[[str], list[str]]] = {"words": str.split, "characters": list}
_MOST_WORDS = 2**31 - 1  # places and n-grams are numbered by 32 bits


class Runs(NamedTuple):
    """The n-grams of one order. P (n-gram, line) pairs, sorted; G distinct n-grams that occur."""

    gram: np.ndarray  # (P,) int32, ascending: id of the n-gram in the whole corpus
    line: np.ndarray  # (P,) int32, ascending within an n-gram
    counts: np.ndarray  # (P,) int32, at least 1
    starts: np.ndarray  # (G,) int64: where each n-gram's pairs begin

    @property
    def ids(self) -> np.ndarray:
        """(G,) ids of the n-grams that occur, ascending."""
        return self.gram[self.starts]

    @property
    def totals(self) -> np.ndarray:
        """(G,) int64: how often each occurs."""
        return np.add.reduceat(self.counts, self.starts, dtype=np.int64) if len(self.starts) else _none()

    @property
    def lines(self) -> np.ndarray:
        """(G,) int64: in how many lines each occurs."""
        return np.diff(self.starts, append=len(self.gram))


class Peaks(NamedTuple):
    """For each of the whole corpus's K n-grams: the largest count in one line, that line, and the runner-up's."""

    first: np.ndarray  # (K + 1,) int32; the last entry is 0 and stands for n-grams that are unknown here
    owner: np.ndarray  # (K + 1,) int32, -1 where no line has it
    second: np.ndarray  # (K + 1,) int32: the largest count among the other lines


class NgramIndex:
    """The n-grams of some lines, counted once; orders are built when they are first asked for.

    lines: strings, which are cut by `tokenise` ("words": at whitespace, "characters"), or lists of words taken as
    they are. Empty lines are lines of length 0. Raises InputError for an unknown `tokenise`, or 2^31 words and more.
    """

    def __init__(self, lines: Iterable[Line], *, tokenise: str = "words") -> None:
        if tokenise not in TOKENISE:
            raise InputError(f"tokenise {tokenise!r} is not known; take one of {', '.join(TOKENISE)}")
        self.sources: Sequence[Line] = lines if isinstance(lines, Sequence) else list(lines)
        self.tokenise = tokenise
        cut = TOKENISE[tokenise]
        vocabulary: defaultdict[str, int] = defaultdict(count().__next__)
        lengths: list[int] = []

        def words() -> Iterable[Sequence[str]]:
            for line in self.sources:
                parts = cut(line) if isinstance(line, str) else line
                lengths.append(len(parts))
                yield parts

        self.tokens = np.fromiter(map(vocabulary.__getitem__, chain.from_iterable(words())), dtype=np.int32)  # (N,)
        if len(self.tokens) > _MOST_WORDS:
            raise InputError(f"the text has {len(self.tokens)} words, and at most {_MOST_WORDS} are counted; give less")
        self.vocabulary: dict[str, int] = dict(vocabulary)
        self.lengths = np.array(lengths, dtype=np.int64)  # (n,)
        self.rows = np.arange(len(lengths))
        self._keys: list[np.ndarray] = []  # per order: (K,) int64 ascending, parent * V + last word
        self._runs: list[Runs] = []
        self._peaks: dict[int, Peaks] = {}
        self._frequencies: dict[int, np.ndarray] = {}
        # of the highest order built: the places where its n-grams begin, sorted by n-gram, and the n-grams' ids
        self._spots, self._grams = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32)
        self._known: WeakKeyDictionary[NgramIndex, list[np.ndarray]] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def root(self) -> NgramIndex:
        """The index of all lines, which a selection looks its n-grams up in."""
        return self  # an attribute would be a cycle, and arrays would pile up until the garbage collector runs

    @cached_property
    def _room(self) -> np.ndarray:
        """(N,) int32: how many words of its line begin here."""
        ends = np.cumsum(self.lengths, dtype=np.int32)
        return np.repeat(ends, self.lengths) - np.arange(len(self.tokens), dtype=np.int32)

    @cached_property
    def line_of(self) -> np.ndarray:
        """(N,) int32: the line that each word stands in."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.lengths)

    def totals(self, order: int) -> np.ndarray:
        """(n,) int64: how many n-grams each line has."""
        return np.maximum(self.lengths - order + 1, 0)

    def runs(self, order: int) -> Runs:
        """The n-grams of this order."""
        while len(self._runs) < order:
            self._runs.append(self._build(len(self._runs) + 1))
        return self._runs[order - 1]

    def frequencies(self, order: int) -> np.ndarray:
        """(G,) int64: how often each n-gram occurs, in the order of `runs(order).ids`."""
        if order not in self._frequencies:
            self._frequencies[order] = self.runs(order).totals
        return self._frequencies[order]

    def keys(self, order: int) -> np.ndarray:
        """(K,) int64, ascending: id of the first order-1 words times V, plus the last word."""
        self.root.runs(order)
        return self.root._keys[order - 1]

    def peaks(self, order: int) -> Peaks:
        """Largest and second largest count of each n-gram over the lines."""
        if order not in self._peaks:
            self._peaks[order] = _peaks(self.runs(order), len(self.keys(order)))
        return self._peaks[order]

    def select(self, rows: np.ndarray) -> NgramIndex:
        """The same lines' index restricted to `rows` (distinct), in ascending order, without sorting anew."""
        return _Selection(self.root, self.rows[np.sort(rows)])

    def texts(self) -> list[str]:
        """The lines as strings (lists of words are joined by spaces, or by nothing for characters)."""
        glue = "" if self.tokenise == "characters" else " "
        sources = (self.root.sources[row] for row in self.rows.tolist())
        return [line if isinstance(line, str) else glue.join(line) for line in sources]

    def spelled(self) -> list[str]:
        """The lines as their words alone: how they are spaced makes no difference."""
        cut, glue = TOKENISE[self.tokenise], "" if self.tokenise == "characters" else " "
        return [glue.join(cut(line)) for line in self.texts()]

    def words(self, row: int) -> list[str]:
        """The words of one line."""
        begin = int(self.lengths[:row].sum())
        spelling = list(self.vocabulary)
        return [spelling[token] for token in self.tokens[begin : begin + int(self.lengths[row])]]

    def known_in(self, other: NgramIndex, order: int) -> np.ndarray | None:
        """(K,) int32: the other corpus's id of each of our n-grams, -1 where it has none; None: ids are the same."""
        ours, theirs = self.root, other.root
        if ours is theirs:
            return None
        maps = ours._known.setdefault(theirs, [])
        while len(maps) < order:
            maps.append(ours._locate(theirs, len(maps) + 1, maps[-1] if maps else None))
        return maps[order - 1]

    def grams_in(self, other: NgramIndex, order: int) -> np.ndarray:
        """(P,) the other corpus's ids of the n-grams of our runs, -1 where it has none."""
        known, gram = self.known_in(other, order), self.runs(order).gram
        return gram if known is None else known[gram]

    def holds(self, order: int) -> np.ndarray:
        """(K + 1,) bool: which of the whole corpus's n-grams occur here; the last stands for unknown ones."""
        held = np.zeros(len(self.keys(order)) + 1, dtype=bool)
        held[self.runs(order).ids] = True
        return held

    def _locate(self, other: NgramIndex, order: int, parents: np.ndarray | None) -> np.ndarray:
        if parents is None:
            find = other.vocabulary.get
            return np.fromiter((find(word, -1) for word in self.vocabulary), np.int32, len(self.vocabulary))
        size, other_size = max(len(self.vocabulary), 1), np.int64(max(len(other.vocabulary), 1))
        parent, last = np.divmod(self.keys(order), size)
        parent, last = parents[parent], self._known[other][0][last]
        found = np.full(len(parent), -1, dtype=np.int32)
        maybe = np.flatnonzero((parent >= 0) & (last >= 0))
        wanted, stock = parent[maybe] * other_size + last[maybe], other.keys(order)
        if len(stock) and len(wanted):
            spot = np.minimum(np.searchsorted(stock, wanted), len(stock) - 1)
            found[maybe] = np.where(stock[spot] == wanted, spot, -1)
        return found

    def _build(self, order: int) -> Runs:
        """Places stand in the order of their first order-1 words already, so only the last word decides.

        Nothing has to be sorted behind an (n-1)-gram that occurs once, and those are most from order 3 on.
        """
        if order == 1:
            spots = np.arange(len(self.tokens), dtype=np.int32)
            parent = np.zeros(len(spots), dtype=np.int32)
        else:
            keep = self._room[self._spots] >= order
            spots, parent = self._spots[keep], self._grams[keep]
        last = self.tokens[spots + (order - 1)]
        same = parent[1:] == parent[:-1]
        open_places = np.zeros(len(spots), dtype=bool)  # those that share their first words with another place
        open_places[1:] |= same
        open_places[:-1] |= same
        unsorted = np.flatnonzero(open_places)
        if len(unsorted):
            spots[unsorted], last[unsorted] = self._sorted(parent[unsorted], last[unsorted], spots[unsorted])
        return self._read_off(parent, last, spots)

    def _sorted(self, parent: np.ndarray, last: np.ndarray, spots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places and last words by (parent, last, place), in linear time; they come grouped by parent.

        Two counting sorts: a sparse matrix of parents x words has its rows sorted once it is transposed and back.
        """
        from scipy.sparse import csr_array

        starts = np.flatnonzero(_changes(parent))
        edges = np.append(starts, len(parent)).astype(np.int32)
        matrix = csr_array((spots, last, edges), shape=(len(starts), len(self.vocabulary))).tocsc().tocsr()
        return matrix.data, matrix.indices

    def _read_off(self, parent: np.ndarray, last: np.ndarray, spots: np.ndarray) -> Runs:
        new_gram = _changes(parent) | _changes(last)
        gram = np.cumsum(new_gram, dtype=np.int32)
        gram -= 1
        self._spots, self._grams = spots, gram
        first = np.flatnonzero(new_gram)
        self._keys.append(parent[first] * np.int64(max(len(self.vocabulary), 1)) + last[first])
        line = self.line_of[spots]
        pairs = np.flatnonzero(new_gram | _changes(line))
        counts = np.diff(pairs, append=len(spots)).astype(np.int32)
        return Runs(gram[pairs], line[pairs], counts, np.flatnonzero(new_gram[pairs]))


class _Selection(NgramIndex):
    """Some lines of an index: its runs are the root's, filtered."""

    def __init__(self, root: NgramIndex, rows: np.ndarray) -> None:
        self._whole, self.rows = root, rows
        self.sources, self.tokenise, self.vocabulary = root.sources, root.tokenise, root.vocabulary
        self.lengths = root.lengths[rows]
        self._runs, self._peaks, self._frequencies = [], {}, {}

    @property
    def root(self) -> NgramIndex:
        return self._whole

    @property
    def tokens(self) -> np.ndarray:  # type: ignore[override]
        keep = np.zeros(len(self.root), dtype=bool)
        keep[self.rows] = True
        return self.root.tokens[np.repeat(keep, self.root.lengths)]

    def _build(self, order: int) -> Runs:
        runs = self.root.runs(order)
        number = np.full(len(self.root), -1, dtype=np.int32)
        number[self.rows] = np.arange(len(self.rows), dtype=np.int32)
        line = number[runs.line]
        keep = line >= 0
        gram = runs.gram[keep]
        return Runs(gram, line[keep], runs.counts[keep], np.flatnonzero(_changes(gram)))


def _changes(values: np.ndarray) -> np.ndarray:
    """(P,) bool: True for the first value and each that differs from the one before."""
    new = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return new


def _none() -> np.ndarray:
    return np.zeros(0, dtype=np.int64)


def _peaks(runs: Runs, size: int) -> Peaks:
    """The first line that reaches the maximum is its owner. Most n-grams are once in each of their lines."""
    first, owner, second = (np.zeros(size + 1, dtype=np.int32) for _ in range(3))
    owner[:] = -1
    ids = runs.ids
    first[ids], owner[ids], second[ids] = 1, runs.line[runs.starts], runs.lines > 1
    repeated = np.flatnonzero(runs.counts > 1)
    if len(repeated):
        gram, line, counts = runs.gram[repeated], runs.line[repeated], runs.counts[repeated]
        new = _changes(gram)
        starts, group = np.flatnonzero(new), np.cumsum(new) - 1
        best = np.maximum.reduceat(counts, starts)
        reached = np.flatnonzero(counts == best[group])
        owners = reached[_changes(group[reached])]
        counts[owners] = 0
        ids = gram[starts]
        first[ids], owner[ids] = best, line[owners]
        second[ids] = np.maximum(second[ids], np.maximum.reduceat(counts, starts))
    return Peaks(first, owner, second)


def clipped(text: NgramIndex, reference: NgramIndex, order: int, own: np.ndarray | None = None) -> np.ndarray:
    """BLEU's numerators: (n,) float, sum over a line's n-grams of min(count, largest count in one reference line).

    own: (n,) the reference line that each line is itself (-1: none) and that must not count as its reference. Then
    the limit is the largest count among the OTHER lines: the runner-up for the one owner of the maximum. With
    reference = text and own = 0..n-1 this is self-BLEU in linear time.
    """
    runs, peaks = text.runs(order), reference.peaks(order)
    if own is not None and text is reference and np.array_equal(own, np.arange(len(text))):
        ids = runs.ids  # only an owner of a maximum is clipped, at the runner-up
        lost = np.bincount(peaks.owner[ids], weights=peaks.first[ids] - peaks.second[ids], minlength=len(text))
        return text.totals(order) - lost
    gram = text.grams_in(reference, order)
    limit = peaks.first[gram]
    if own is not None:
        limit = np.where(peaks.owner[gram] == own[runs.line], peaks.second[gram], limit)
    return np.bincount(runs.line, weights=np.minimum(runs.counts, limit), minlength=len(text))


def closest_lengths(text: NgramIndex, reference: NgramIndex, own: np.ndarray | None = None) -> np.ndarray:
    """(n,) the reference length nearest to each line's length, the shorter of two equally near; `own` is left out."""
    lengths = text.lengths
    unique, counts = np.unique(reference.lengths, return_counts=True)
    spot = np.searchsorted(unique, lengths)
    left = unique[np.maximum(spot - 1, 0)].astype(np.float64)
    left[spot == 0] = -np.inf
    here = np.minimum(spot, len(unique) - 1)
    equal = unique[here] == lengths
    # its own length counts only when another reference line shares it
    after = spot if own is None else spot + (equal & (own >= 0) & (counts[here] == 1))
    right = unique[np.minimum(after, len(unique) - 1)].astype(np.float64)
    right[after >= len(unique)] = np.inf
    return np.where(lengths - left <= right - lengths, left, right)


def sentence_bleu(
    text: NgramIndex, reference: NgramIndex, *, highest: int = 5, own: np.ndarray | None = None, epsilon: float = 0.1
) -> np.ndarray:
    """BLEU of each line against all reference lines, for all orders at once: (highest, n) float, row k is BLEU-(k+1).

    BLEU-N = BP exp(1/N sum_{n<=N} log p_n), p_n = clipped matches / max(1, n-grams); NLTK's method1: 0 where no word
    matches, a numerator 0 of a higher order becomes epsilon; BP = exp(1 - r/c) where c <= r. Papineni et al. 2002.
    Equal to NLTK's `sentence_bleu` to 1e-12. own: see `clipped`. Raises InputError when there is no reference line.
    """
    left_out = own is not None and len(own) and own.max() >= 0
    if len(reference) - bool(left_out) < 1:
        raise Unmeasurable("BLEU needs at least one reference line besides the hypothesis; give more lines")
    lengths = text.lengths.astype(np.float64)
    logs = np.zeros(len(text))
    scores = np.zeros((highest, len(text)))
    closest = closest_lengths(text, reference, own)
    with np.errstate(divide="ignore", invalid="ignore"):
        penalty = np.where(lengths > closest, 1.0, np.where(lengths == 0, 0.0, np.exp(1 - closest / lengths)))
    for order in range(1, highest + 1):
        matches = clipped(text, reference, order, own)
        if order == 1:
            any_match = matches > 0
        logs += np.log(np.where(matches == 0, epsilon, matches) / np.maximum(1, text.totals(order)))
        scores[order - 1] = np.where(any_match, penalty * np.exp(logs / order), 0.0)
    return scores
