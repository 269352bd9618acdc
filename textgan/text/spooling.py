"""Lines that need not fit into memory: a list while they are few, else a temporary file that looks like a list."""

from __future__ import annotations

import hashlib
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress
from sys import getsizeof
from typing import overload

import numpy as np

from textgan.errors import InputError

KEEP = 1 << 28  # bytes of Python strings that stay in memory: some two million captions
READ = 1 << 20  # bytes read at a time when the lines are gone through in order
GROUP, PREFIX = 1 << 17, 16  # lines that `ranked` sorts as they are; bytes that tell its groups apart


def spool(lines: Iterable[str], *, keep: int | None = None) -> Sequence[str]:
    """The lines, as a list while their strings take at most `keep` bytes (default KEEP), else as `Spooled`.

    No line may hold a newline. Raises InputError where the temporary folder has no room.
    """
    keep = KEEP if keep is None else keep
    few: list[str] = []
    stream, size = iter(lines), 0
    for line in stream:
        few.append(line)
        size += getsizeof(line) + 8
        if size > keep:
            return Spooled(chain(few, stream))
    return few


class Spooled(Sequence[str]):
    """Lines in a temporary file that nobody else sees and that is gone with this object; memory is 8 bytes a line.

    The file is read with `pread`, not mapped, so that its pages do not count as this process's memory. It stands where
    Python's `tempfile` puts it (TMPDIR).
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as this object)
        bounds = array("q", [0])
        try:
            for line in lines:
                bounds.append(bounds[-1] + self._file.write(line.encode() + b"\n"))
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"{tempfile.gettempdir()}: no room for a copy of the text ({error.strerror}); set TMPDIR to a folder "
                "with more"
            ) from error
        self._bounds = np.frombuffer(bounds, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            start, stop, step = row.indices(len(self))
            if step == 1:
                return self._lines(start, max(start, stop))
            return [self[i] for i in range(start, stop, step)]
        at = range(len(self))[row]  # IndexError as of a list
        return self._lines(at, at + 1)[0]

    def __iter__(self) -> Iterator[str]:
        row = 0
        while row < len(self):
            stop = max(row + 1, int(np.searchsorted(self._bounds, self._bounds[row] + READ)) - 1)
            yield from self._lines(row, stop)
            row = stop

    def _lines(self, row: int, stop: int) -> list[str]:
        first, end = int(self._bounds[row]), int(self._bounds[stop])
        parts = []
        while first < end:
            parts.append(os.pread(self._file.fileno(), end - first, first))
            first += len(parts[-1])
        return b"".join(parts).decode().split("\n")[:-1]


def digests(lines: Iterable[str]) -> np.ndarray:
    """(n,) uint64: lines that are equal have equal numbers, and others practically never (10 million lines: 3e-6)."""
    values = array("Q")
    for line in lines:
        values.append(int.from_bytes(hashlib.blake2b(line.encode(), digest_size=8).digest()))
    return np.frombuffer(values, dtype=np.uint64)


def ranked(lines: Sequence[str], rows: np.ndarray, ranks: np.ndarray) -> list[str]:
    """The lines that stand at `ranks` when the different lines `rows` are sorted, without sorting them all in memory.

    As `sorted(lines[row] for row in rows)[rank]` for each rank. UTF-8 sorts as code points do, so the first bytes of
    each line put it into its group, and only the groups that are asked for are looked into.
    """
    return _ranked(lines, np.sort(rows), ranks, 0)


def _ranked(lines: Sequence[str], rows: np.ndarray, ranks: np.ndarray, skip: int) -> list[str]:
    if len(rows) <= GROUP:
        few = sorted(lines[row] for row in rows.tolist())
        return [few[rank] for rank in ranks.tolist()]
    heads = np.fromiter((line.encode()[skip : skip + PREFIX] for line in _taken(lines, rows)), f"S{PREFIX}", len(rows))
    order = np.argsort(heads, kind="stable")
    heads = heads[order]
    first = np.searchsorted(heads, heads[ranks])  # where the group of each rank begins
    found = [""] * len(ranks)
    for start in np.unique(first).tolist():
        mine = np.flatnonzero(first == start)
        stop = int(np.searchsorted(heads, heads[start], side="right"))
        inside = _ranked(lines, np.sort(rows[order[start:stop]]), ranks[mine] - start, skip + PREFIX)
        for at, line in zip(mine.tolist(), inside, strict=True):
            found[at] = line
    return found


def _taken(lines: Sequence[str], rows: np.ndarray) -> Iterator[str]:
    """The lines `rows`, ascending; read through in order where they are many."""
    if 4 * len(rows) < len(lines):
        return (lines[row] for row in rows.tolist())
    wanted = np.zeros(len(lines), dtype=bool)
    wanted[rows] = True
    return compress(lines, wanted.tolist())
