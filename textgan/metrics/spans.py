"""Searches in a training text: the longest common run of words, and the nearest line."""

from __future__ import annotations

import numpy as np

from .ngrams import NgramIndex

#: Similarity counts of at most this many (line, training line) pairs are held at once.
CELLS = 2_000_000
COLUMNS = 65_536  # training lines at once
#: Words of more training lines than this share are counted by a matrix product, the others by their lists of lines.
FREQUENT = 1 / 64
#: Common runs of up to this many words are found by the n-gram indices, which other metrics have built up to here.
INDEXED = 8


def longest_spans(text: NgramIndex, train: NgramIndex, longest: int) -> np.ndarray:
    """(n,) int64: length of the longest run of words that each line shares with one training line, at most `longest`.

    The n-grams of both indices tell up to INDEXED words; only lines that share so many are looked into further.
    """
    spans = np.zeros(len(text), dtype=np.int64)
    for order in range(1, min(longest, INDEXED) + 1):
        gram = text.grams_in(train, order)
        common = train.holds(order)[gram]
        spans[text.runs(order).line[common]] = order
        if not common.any():
            return spans
    if longest > INDEXED:
        meets = np.zeros(len(train.keys(INDEXED)), dtype=bool)
        meets[gram[common]] = True
        lines = np.unique(train.runs(INDEXED).line[meets[train.runs(INDEXED).gram]])
        rows = np.flatnonzero(spans == INDEXED)
        spans[rows] = _grown(text.select(rows), train.select(lines), longest)
    return spans


def _grown(text: NgramIndex, train: NgramIndex, longest: int) -> np.ndarray:
    """The same by growing all matches by one word at a time: only places that match k words can match k + 1."""
    spans = np.zeros(len(text), dtype=np.int64)
    mine, theirs = text.tokens.astype(np.int64), _translated(train, text)
    my_end, their_end = (np.repeat(np.cumsum(index.lengths), index.lengths) for index in (text, train))
    vocabulary = len(text.vocabulary) + 1
    my_spot, their_spot = np.arange(len(mine)), np.arange(len(theirs))
    my_id, their_id = np.zeros(len(my_spot), np.int64), np.zeros(len(their_spot), np.int64)
    for length in range(longest):
        my_keep = my_end[my_spot] > my_spot + length
        their_keep = (their_end[their_spot] > their_spot + length) & (theirs[(their_spot + length) % len(theirs)] >= 0)
        my_spot, my_id, their_spot, their_id = (
            my_spot[my_keep],
            my_id[my_keep],
            their_spot[their_keep],
            their_id[their_keep],
        )
        my_key = my_id * vocabulary + mine[my_spot + length]
        their_key = their_id * vocabulary + theirs[their_spot + length]
        stock, my_id = np.unique(my_key, return_inverse=True)
        their_id = np.searchsorted(stock, their_key)
        matches = stock[np.minimum(their_id, len(stock) - 1)] == their_key if len(stock) else their_id < 0
        their_spot, their_id = their_spot[matches], their_id[matches]
        met = np.zeros(len(stock), dtype=bool)
        met[their_id] = True
        my_spot, my_id = my_spot[met[my_id]], my_id[met[my_id]]
        if not len(my_spot):
            break
        spans[text.line_of[my_spot]] = length + 1
    return spans


def _translated(train: NgramIndex, text: NgramIndex) -> np.ndarray:
    """(N,) int64: the training text's words as word ids of the other text, -1 where it has no such word."""
    known = train.known_in(text, 1)
    tokens = train.tokens
    return tokens.astype(np.int64) if known is None else known[tokens]


def nearest_similarities(text: NgramIndex, train: NgramIndex) -> np.ndarray:
    """(n,) float in [0, 1]: the largest |A and B| / |A or B| over training lines B, for the set A of each line's words.

    Exact, in bounded memory: frequent words by a matrix product of 0/1 columns, the rest by inverted lists.
    """
    mine, stock = text.runs(1), _Stock(train)
    word = text.grams_in(train, 1).astype(np.int64)
    by_line = np.argsort(mine.line, kind="stable")
    word, line = word[by_line], mine.line[by_line]
    sizes = np.bincount(line, minlength=len(text)).astype(np.float32)
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    best = np.zeros(len(text))
    width = min(len(train), COLUMNS)
    height = max(1, CELLS // max(1, width))
    for left in range(0, len(train), max(1, width)):
        dense = stock.dense(left, width)
        for top in range(0, len(text), height):
            bottom = min(top + height, len(text))
            piece = slice(ends[top], ends[bottom])
            common = stock.common(word[piece], line[piece] - top, bottom - top, left, dense)
            either = sizes[top:bottom, None] + stock.sizes[None, left : left + width] - common
            best[top:bottom] = np.maximum(best[top:bottom], (common / np.maximum(either, 1)).max(axis=1))
    return best


class _Stock:
    """The training lines' words, as lists of lines for rare words and as 0/1 columns for frequent ones."""

    def __init__(self, train: NgramIndex) -> None:
        runs = train.runs(1)
        self.n = len(train)
        self.gram, self.line = runs.gram, runs.line
        self.places = self.gram.astype(np.int64) * self.n + self.line  # ascending
        self.sizes = np.bincount(self.line, minlength=self.n).astype(np.float32)
        frequent = runs.ids[runs.lines > max(8, self.n * FREQUENT)]
        self.column = np.full(len(train.root.vocabulary) + 1, -1)  # the last: a word that no training line has
        self.column[frequent] = np.arange(len(frequent))
        self.columns = len(frequent)

    def dense(self, left: int, width: int) -> np.ndarray:
        """(frequent words, at most width) float32: 1 where a line from `left` on has the word."""
        dense = np.zeros((self.columns, min(width, self.n - left)), dtype=np.float32)
        keep = (self.column[self.gram] >= 0) & (self.line >= left) & (self.line < left + width)
        dense[self.column[self.gram[keep]], self.line[keep] - left] = 1
        return dense

    def common(self, words: np.ndarray, rows: np.ndarray, height: int, left: int, dense: np.ndarray) -> np.ndarray:
        """(height, width) float32: how many of its words each row shares with each training line from `left` on."""
        width = dense.shape[1]
        picked = np.zeros((height, self.columns), dtype=np.float32)
        column = self.column[words]
        picked[rows[column >= 0], column[column >= 0]] = 1
        rare, rows = words[(column < 0) & (words >= 0)], rows[(column < 0) & (words >= 0)]
        begin, end = (np.searchsorted(self.places, rare * self.n + line) for line in (left, left + width))
        length = end - begin
        place = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length) + np.repeat(begin, length)
        cell = np.repeat(rows, length) * np.int64(width) + self.line[place] - left
        counted = np.bincount(cell, minlength=height * width).reshape(height, width)
        return picked @ dense + counted.astype(np.float32)
