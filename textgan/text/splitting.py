"""Parts of a corpus that share no line and no near-duplicate, so that a held-out part is held out."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgan.errors import InputError

from .files import Text, read_text

# Lines are near-duplicates where their sets of words overlap by this much. At .8, of nine different words one may be
# another, and four may have one more. Lower, chains of short captions grow together: of 19,799 captions of COCO the
# largest cluster holds 113 at .8, 222 at .75 and 326 at .7.
THRESHOLD = 0.8
WORK = 4_000_000  # words of candidate pairs compared at a time, which bounds the memory
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # written without spaces: each is a word
_WORD = re.compile(f"[{_IDEOGRAPH}]|[^\\W{_IDEOGRAPH}]+")


class SplitReport(NamedTuple):
    """What was found in the sources.

    lines: read. duplicates: lines dropped as copies of an earlier one. clusters: of near-duplicates, two lines or more.
    clustered: lines in such clusters. largest: lines in the largest cluster.
    """

    lines: int
    duplicates: int
    clusters: int
    clustered: int
    largest: int


class Split(NamedTuple):
    """The lines of each part, shuffled, and what was found."""

    parts: dict[str, list[str]]
    report: SplitReport


def split(
    sources: Sequence[str | Path | Sequence[str] | Text],
    parts: Mapping[str, float],
    *,
    seed: int = 0,
    errors: str = "strict",
    near: float | None = THRESHOLD,
) -> Split:
    """Divide the union of the sources into parts at random, each cluster of near-duplicates whole within one part.

    sources: anything that `read_text` takes, each; `errors` is for it.
    parts: name -> share of the lines (they sum to 1), or name -> number of lines (what is left over goes nowhere).
    seed: the same sources, parts and seed give the same lines in the same order.
    near: how much word sets of near-duplicates overlap, in (0, 1]; None keeps exact duplicates together only.

    Of lines that differ in case or spaces only, the first is kept. A part's size is met to the line while clusters are
    small beside it; a cluster greater than every part's room goes where most room is. Raises InputError for parts that
    are neither shares nor numbers, that ask for more lines than there are, or that get no line.
    """
    if isinstance(sources, str | Path | Text):
        sources = [sources]
    if seed < 0:
        raise InputError(f"seed {seed} must be at least 0")
    read = [line for source in sources for line in read_text(source, errors=errors).lines]
    distinct: dict[str, str] = {}
    for line in read:
        distinct.setdefault(folded(line), line)
    lines = list(distinct.values())
    room = _sizes(parts, len(lines))
    clusters = np.arange(len(lines)) if near is None else near_duplicates(lines, threshold=near)
    where = _assign(clusters, list(room.values()), seed)  # (n,) the part of each line; len(room): none
    order = np.random.default_rng(seed).permutation(len(lines))
    chosen = {name: [lines[i] for i in order[where[order] == part]] for part, name in enumerate(room)}
    sizes = np.bincount(clusters)
    several = sizes[sizes > 1]
    report = SplitReport(len(read), len(read) - len(lines), len(several), int(several.sum()), int(sizes.max()))
    for name, text in chosen.items():
        if not text:
            raise InputError(
                f"part {name!r} gets no line of {len(lines)} distinct ones (largest cluster of near-duplicates: "
                f"{report.largest}); ask for a larger part or give more text"
            )
    return Split(chosen, report)


def near_duplicates(lines: Sequence[str], *, threshold: float = THRESHOLD) -> np.ndarray:
    """(n,) int64 cluster of each line: lines whose word sets have a Jaccard index of at least `threshold`, and chains.

    Exact, not sampled: all pairs are found by prefix filtering (Chaudhuri et al. 2006, "A primitive operator for
    similarity joins"; the shorter prefix of the indexed side is PPJoin's, Xiao et al. 2008): with words sorted from
    rare to frequent, lines x and y that share o words share one of the first |x| - o + 1 of x and |y| - o + 1 of y.
    Case and punctuation are ignored, and ideographs count as words. Raises InputError for a threshold outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise InputError(f"threshold {threshold} must be within (0, 1]")
    sets = _WordSets.of(lines)
    probe = sets.first(sets.sizes - sets.overlap(threshold) + 1)
    index = sets.first(sets.sizes - sets.overlap(2 * threshold / (1 + threshold)) + 1)
    label = np.arange(len(lines))
    for i, j in _meetings(probe, index, sets.sizes):
        # The indexed line is the shorter one; what is together already needs no second look.
        fits = (sets.sizes[j] <= sets.sizes[i]) & (label[i] != label[j])
        label = _join(label, *sets.near(i[fits], j[fits], threshold))
    return np.unique(label, return_inverse=True)[1]


def near_copies(lines: Sequence[str], others: Sequence[str], *, threshold: float = THRESHOLD) -> np.ndarray:
    """(n,) int64: the first of `others` that each line is a near-duplicate of; -1 where it is like none of them.

    Exact, and by the same search as `near_duplicates`; copies are among them.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"threshold {threshold} must be within (0, 1]")
    sets, m = _WordSets.of([*others, *lines]), len(others)
    words = sets.first(sets.sizes - sets.overlap(threshold) + 1)
    first = np.full(len(lines), m)
    for i, j in _meetings(words[m:], words[:m], sets.sizes[m:]):
        i, j = sets.near(i + m, j, threshold)
        np.minimum.at(first, i - m, j)
    return np.where(first < m, first, -1)


def first_of_near_duplicates(lines: Sequence[str], *, threshold: float = THRESHOLD) -> np.ndarray:
    """(n,) int64: the row itself where a line is kept, else the kept row before it that it is a near-duplicate of.

    Line by line, what is like no kept line is kept, so no chain grows: with a like b and b like c alone, a and c stay.
    Exact, with `near_duplicates` to say which lines need to be compared.
    """
    clusters = near_duplicates(lines, threshold=threshold)
    first, order = np.arange(len(lines)), np.argsort(clusters, kind="stable")
    for cluster in np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1):
        kept: list[tuple[int, set[str]]] = []
        for row in cluster.tolist() if len(cluster) > 1 else ():
            words = _words(folded(lines[row]))
            like = next((at for at, others in kept if _jaccard(words, others) >= threshold - 1e-9), row)
            first[row] = like
            kept += [(row, words)] if like == row else []
    return first


def _jaccard(one: set[str], other: set[str]) -> float:
    both = len(one & other)
    return both / (len(one) + len(other) - both)


def _join(label: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Labels (n,) with the clusters of each pair of lines i, j (m,) made one."""
    if not len(i):
        return label
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    n = len(label)
    graph = sparse.coo_array((np.ones(len(i), np.int8), (label[i], label[j])), shape=(n, n))
    return connected_components(graph, directed=False)[1][label].astype(np.int64)


def folded(line: str) -> str:
    """The line without what case and spaces tell apart."""
    return " ".join(line.casefold().split())


def _words(line: str) -> set[str]:
    """Of a folded line; of one without words, the line itself."""
    return set(_WORD.findall(line)) or {line}


class _WordSets(NamedTuple):
    """Different words of each line: flat (N,) as ranks from rare to frequent, ascending in a line; sizes (n,); and
    (n, V) of 0 and 1, which words each line has."""

    flat: np.ndarray
    sizes: np.ndarray
    table: Any

    @classmethod
    def of(cls, lines: Sequence[str]) -> _WordSets:
        """Ties of frequency are broken by spelling."""
        sets = [_words(line) for line in map(folded, lines)]
        counts = Counter(word for words in sets for word in words)
        rank = {word: i for i, word in enumerate(sorted(counts, key=lambda word: (counts[word], word)))}
        sizes = np.fromiter(map(len, sets), dtype=np.int64, count=len(sets))
        flat = np.fromiter((r for words in sets for r in sorted(rank[w] for w in words)), np.int64, sizes.sum())
        found = cls(flat, sizes, None)
        return found._replace(table=found.first(sizes))

    def first(self, count: np.ndarray) -> Any:
        """(n, V) of 0 and 1: the `count` (n,) rarest words of each line."""
        from scipy import sparse

        place = np.arange(len(self.flat)) - np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)  # within a line
        words = self.flat[place < np.repeat(count, self.sizes)]
        shape = (len(self.sizes), int(self.flat.max(initial=0)) + 1)
        return sparse.csr_array((np.ones(len(words), np.int32), words, np.r_[0, np.cumsum(count)]), shape=shape)

    def overlap(self, share: float) -> np.ndarray:
        """(n,) words that are `share` of each line."""
        return np.ceil(share * self.sizes - 1e-9).astype(np.int64)

    def near(self, i: np.ndarray, j: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Those of the pairs of lines i, j (m,) that are near-duplicates."""
        mine, theirs = self.sizes[i], self.sizes[j]
        fits = np.minimum(mine, theirs) >= threshold * np.maximum(mine, theirs) - 1e-9
        i, j = i[fits], j[fits]
        both = np.asarray((self.table[i] * self.table[j]).sum(axis=1)).ravel()
        near = both >= threshold * (self.sizes[i] + self.sizes[j] - both) - 1e-9
        return i[near], j[near]


def _meetings(probe: Any, index: Any, sizes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows (m,) of `probe` (n, V) and of `index` that share a word, so many at a time as WORK allows.

    sizes: (n,) words of the probing lines.
    """
    index = index.T.tocsr()
    work = np.cumsum((probe @ np.diff(index.indptr)) * sizes)  # (n,) words to compare up to here
    start = 0
    while start < len(sizes):
        done = work[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(work, done + WORK)))
        found = (probe[start:stop] @ index).tocoo()
        yield found.row.astype(np.int64) + start, found.col.astype(np.int64)
        start = stop


def _sizes(parts: Mapping[str, float], n: int) -> dict[str, int]:
    """Lines wanted of each part: shares rounded by largest remainder, or the numbers asked for."""
    for name in parts:
        if not re.fullmatch(r"[\w-][\w.-]*", name):
            raise InputError(f"part {name!r}: a name of letters, digits, - and _ was wanted, since it names a file")
    values = list(parts.values())
    if values and min(values) > 0 and abs(sum(values) - 1) <= 1e-9:
        exact = np.array(values) * n
        room = np.floor(exact + 1e-9).astype(int)
        room[np.argsort(room - exact, kind="stable")[: n - room.sum()]] += 1
    elif values and all(value >= 1 and float(value).is_integer() for value in values):
        room = np.array(values, dtype=int)
        if room.sum() > n:
            raise InputError(f"parts ask for {room.sum()} lines, and there are {n} distinct ones; ask for fewer")
    else:
        asked = ", ".join(f"{name}={value:g}" for name, value in parts.items())
        raise InputError(f"parts {asked or '(none)'}: shares that sum to 1 or whole numbers of lines were wanted")
    return dict(zip(parts, room.tolist(), strict=True))


def _assign(clusters: np.ndarray, room: list[int], seed: int) -> np.ndarray:
    """(n,) part of each line: clusters from large to small, each to a part where it fits, drawn by the room left."""
    sizes = np.bincount(clusters)
    rng = random.Random(seed)
    left = [*room, len(clusters) - sum(room)]  # the last: lines that go nowhere
    order = rng.sample(range(len(sizes)), len(sizes))
    part = np.empty(len(sizes), dtype=np.int64)
    for cluster in sorted(order, key=lambda cluster: -sizes[cluster]):
        size = int(sizes[cluster])
        fitting = [here if here >= size else 0 for here in left]
        if not any(fitting):
            fitting = [here if here == max(left) else 0 for here in left]
        choice = rng.choices(range(len(left)), fitting)[0]
        part[cluster] = choice
        left[choice] -= size
    return part[clusters]
