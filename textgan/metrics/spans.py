"""Searches in a training text: the longest common run of words, and the nearest line."""

from __future__ import annotations

import numpy as np

from .ngrams import NgramIndex

#: Similarity counts of at most this many (line, training line) pairs are held at once.
CELLS = 2_000_000
#: Words of more training lines than this share are counted by a matrix product, the others by their lists of lines.
FREQUENT = 1 / 64


def longest_spans(text: NgramIndex, train: NgramIndex, longest: int) -> np.ndarray:
    """(n,) int64: length of the longest run of words that each line shares with one training line, at most `longest`.

    Grows all matches by one word at a time: only places whose k words occur on the other side can match k + 1.
    """
    spans = np.zeros(len(text), dtype=np.int64)
    mine, theirs = text.tokens.astype(np.int64), _translated(train, text)
    my_end, their_end = (np.repeat(np.cumsum(index.lengths), index.lengths) for index in (text, train))
    my_line = text.line_of
    vocabulary = len(text.vocabulary) + 1
    my_spot, their_spot = np.arange(len(mine)), np.flatnonzero(theirs >= 0)
    my_id, their_id = np.zeros(len(my_spot), np.int64), np.zeros(len(their_spot), np.int64)
    for length in range(longest):
        my_keep, their_keep = my_end[my_spot] > my_spot + length, their_end[their_spot] > their_spot + length
        my_spot, my_id, their_spot, their_id = (
            my_spot[my_keep],
            my_id[my_keep],
            their_spot[their_keep],
            their_id[their_keep],
        )
        my_key, their_key = (
            my_id * vocabulary + mine[my_spot + length],
            their_id * vocabulary + theirs[their_spot + length],
        )
        shared = np.intersect1d(my_key, their_key[theirs[their_spot + length] >= 0])
        if not len(shared):
            break
        my_spot, my_id = _matching(my_spot, my_key, shared)
        their_spot, their_id = _matching(their_spot, their_key, shared)
        spans[my_line[my_spot]] = length + 1
    return spans


def _matching(spots: np.ndarray, keys: np.ndarray, shared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    place = np.minimum(np.searchsorted(shared, keys), len(shared) - 1)
    keep = shared[place] == keys
    return spots[keep], place[keep]


def _translated(train: NgramIndex, text: NgramIndex) -> np.ndarray:
    """(N,) int64: the training text's words as word ids of the other text, -1 where it has no such word."""
    known = train.known_in(text, 1)
    tokens = train.tokens
    return tokens.astype(np.int64) if known is None else known[tokens]


def nearest_similarities(text: NgramIndex, train: NgramIndex) -> np.ndarray:
    """(n,) float in [0, 1]: the largest |A and B| / |A or B| over training lines B, for the set A of each line's words.

    Exact, in bounded memory: frequent words by a matrix product of 0/1 columns, the rest by inverted lists.
    """
    mine, theirs = text.runs(1), train.runs(1)
    known = text.known_in(train, 1)
    word = mine.gram.astype(np.int64) if known is None else known[mine.gram]
    my_size = np.bincount(mine.line, minlength=len(text)).astype(np.float32)
    their_size = np.bincount(theirs.line, minlength=len(train)).astype(np.float32)
    vocabulary = len(train.root.vocabulary)
    begin, df = np.zeros(vocabulary + 1, np.int64), np.zeros(vocabulary + 1, np.int64)
    begin[theirs.ids], df[theirs.ids] = theirs.starts, theirs.lines
    column = np.full(vocabulary + 1, -1)
    frequent = np.flatnonzero(df > max(8, len(train) * FREQUENT))
    column[frequent] = np.arange(len(frequent))
    by_line = np.argsort(mine.line, kind="stable")
    word, line = word[by_line], mine.line[by_line]
    ends = np.cumsum(my_size).astype(np.int64)
    best = np.zeros(len(text))
    rows, columns = max(1, CELLS // max(1, len(train))), max(1, CELLS)
    for left in range(0, len(train), columns):
        dense = _dense(theirs.gram, theirs.line, column, len(frequent), left, min(left + columns, len(train)))
        for top in range(0, len(text), rows):
            bottom = min(top + rows, len(text))
            piece = slice(int(ends[top - 1]) if top else 0, int(ends[bottom - 1]))
            words, lines = word[piece], line[piece] - top
            common = _common(words, lines, bottom - top, dense, column, (begin, df, theirs.line), left)
            sizes = my_size[top:bottom, None] + their_size[None, left : left + dense.shape[1]]
            best[top:bottom] = np.maximum(best[top:bottom], (common / np.maximum(sizes - common, 1)).max(axis=1))
    return best


def _dense(gram: np.ndarray, line: np.ndarray, column: np.ndarray, width: int, left: int, right: int) -> np.ndarray:
    """(width, right - left) float32: 1 where a training line has a frequent word."""
    dense = np.zeros((width, right - left), dtype=np.float32)
    keep = (column[gram] >= 0) & (line >= left) & (line < right)
    dense[column[gram[keep]], line[keep] - left] = 1
    return dense


def _common(
    words: np.ndarray,
    lines: np.ndarray,
    height: int,
    dense: np.ndarray,
    column: np.ndarray,
    lists: tuple[np.ndarray, np.ndarray, np.ndarray],
    left: int,
) -> np.ndarray:
    """(height, columns) float32: how many words each line shares with each training line."""
    begin, df, postings = lists
    width = dense.shape[1]
    picked = np.zeros((height, dense.shape[0]), dtype=np.float32)
    is_frequent = column[words] >= 0
    picked[lines[is_frequent], column[words[is_frequent]]] = 1
    common = picked @ dense
    rare, rows = words[~is_frequent], lines[~is_frequent]
    length = df[rare]
    place = (
        np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length) + np.repeat(begin[rare], length)
    )
    found = postings[place].astype(np.int64) - left
    inside = (found >= 0) & (found < width)
    cell = np.repeat(rows, length)[inside] * width + found[inside]
    return common + np.bincount(cell, minlength=height * width).reshape(height, width).astype(np.float32)
