"""A pool written anew as a folder, with what has become of each of its rows; what was not taken stands aside in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgan.augmentation.folder import MANIFEST, read_pool, seal_pool, write_shards
from textgan.augmentation.mix import one_line_each
from textgan.augmentation.pool import Row
from textgan.checkpoints import replace_folder
from textgan.errors import InputError
from textgan.experiment import commit, versions
from textgan.manifest import facts
from textgan.text import Text, spool, write_lines
from textgan.text.rows import REJECTED, ROWS


class Candidates(NamedTuple):
    """A pool to be chosen from. selected: (rows,) bool, which of its rows may be taken. lines: their n texts."""

    pool: str | Path
    selected: np.ndarray
    lines: Sequence[str]


class Verdicts(NamedTuple):
    """What has become of n candidates. reasons: why each was dropped, None where it was taken. weights: (n,) float64.
    scores: by name (n,) float64, NaN where a candidate has none."""

    reasons: Sequence[str | None]
    weights: np.ndarray
    scores: Mapping[str, np.ndarray]

    def rows(self, candidates: Candidates) -> Iterator[Row]:
        """The pool's rows once more, each with its verdict; one at a time."""
        place = -1
        for was, row in zip(candidates.selected.tolist(), read_pool(candidates.pool), strict=True):
            if not was:
                reason = row.get("reason") or ", ".join(row["flags"]) or "not selected before"
                yield {**row, "selected": False, "weight": 0.0, "reason": reason}
                continue
            place += 1
            reason = self.reasons[place]
            new = {**row, "selected": reason is None, "weight": float(self.weights[place])}
            if found := {name: float(x[place]) for name, x in self.scores.items() if not np.isnan(x[place])}:
                new["scores"] = {**row.get("scores", {}), **found}
            yield new if reason is None else {**new, "reason": reason}


def free_folder(out: Path, flag: str = "--out") -> Path:
    """The folder itself. Errors: InputError where something is there already."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already; give a new folder as {flag}")
    return out


def candidates_of(pool: str | Path) -> Candidates:
    """The rows that are selected so far. Errors: InputError for a pool without any, and for a text with a newline."""
    selected: list[bool] = []

    def texts() -> Iterator[str]:
        for row in read_pool(pool):
            selected.append(bool(row["selected"] and row["text"].strip()))
            if selected[-1]:
                yield row["text"]

    lines = one_line_each(spool(texts()))
    if not lines:
        raise InputError(f"{pool}: holds no selected text; give a pool that `textgan generate` has written")
    return Candidates(pool, np.array(selected), lines)


def write_chosen(
    candidates: Candidates,
    verdicts: Verdicts,
    out: Path,
    *,
    form: str,
    provenance: Mapping[str, Any],
    inputs: Mapping[str, Text],
    card: Sequence[str],
    pages: Mapping[str, Sequence[str]],
) -> None:
    """All rows with their verdicts as the folder `out`, all or nothing. inputs: the texts that it was made after, by
    their roles; they, the pool, commit and versions are added to the provenance. pages: lines of other files by name.
    """
    pool = Path(candidates.pool)
    known = {
        "pool": {"name": pool.name, **facts(pool / MANIFEST if pool.is_dir() else pool)},
        **{key: {"name": t.name, "sha256": t.sha256, "lines": len(t.lines)} for key, t in inputs.items()},
    }

    def write(folder: Path) -> None:
        rows = verdicts.rows(candidates)
        write_shards(rows, folder, form, lambda row: ROWS if row["selected"] else REJECTED)
        for name, lines in pages.items():
            write_lines(folder / name, lines)
        seal_pool(folder, {**provenance, "inputs": known, "commit": commit(), "versions": versions()}, card)

    replace_folder(out, write)
