"""What a pool gives as text: the field "text" of the rows of its folder, of a parquet file or of JSON lines.

A reader says what it wants of the rows: their TEXT; all that the rows USED hold, as JSON; or ALL rows, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from textgan.errors import InputError
from textgan.manifest import MANIFEST, problems, read_manifest

TEXT, USED, ALL = "text", "used", "all"
ROWS, REJECTED = "rows", "rejected"  # what the names of a pool's shards begin with: those to use, those not chosen


def is_used(row: Mapping[str, Any], where: str) -> bool:
    """Whether a row's text is one to use: it is selected, or does not say, and does not weigh nothing.

    Errors: InputError, with `where`, for a "selected" that is neither true nor false.
    """
    if (selected := row.get("selected")) is not None and selected not in (True, False):
        raise InputError(f'{where}: "selected" is {selected!r}; true or false was wanted')
    return selected in (None, True) and row.get("weight") != 0


def selected_text(row: Any, where: str) -> str | None:
    """A row's text; "" for one that is blank; None for one that is not selected, or weighs nothing."""
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise InputError(f'{where}: a JSON object with a string "text" was wanted')
    text: str = row["text"]
    return text if is_used(row, where) else "" if not text.strip() else None


def is_row(line: str | bytes) -> bool:
    """Whether a line is a pool row: a JSON object with a "text"."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and "text" in row


def parse(line: str, where: str, *, wanted: str = TEXT) -> str | None:
    """What is wanted of a JSON line: `selected_text`, or the line itself, whatever else it holds."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not a JSON row ({getattr(error, 'msg', error)})") from None
    if wanted == TEXT:
        return selected_text(row, where)
    return line if wanted == ALL or not isinstance(row, dict) or is_used(row, where) else None


def shards_of(folder: Path) -> list[Path]:
    """The files of a pool's folder that hold its rows, those to use before those that were not chosen.

    Errors: InputError for what is no whole pool.
    """
    found = [path for word in (ROWS, REJECTED) for path in sorted(folder.glob(f"{word}-*"))]
    if not found:
        raise InputError(f"{folder}: is a folder; give a text file, or a pool that `textgan generate` has written")
    if not (folder / MANIFEST).exists():
        raise InputError(f"{folder}: is not finished; repeat the command that writes it, which goes on with it")
    if wrong := next(problems(folder), None):
        raise InputError(f"{folder}/{wrong}; restore the pool or make it anew")
    listed = read_manifest(folder)
    if added := [path.name for path in found if path.name not in listed]:
        raise InputError(f"{folder}/{added[0]}: is not in the {MANIFEST}; take it out, or make the pool anew")
    return found


def parquet_texts(path: Path, *, wanted: str = TEXT) -> Iterator[tuple[int, str]]:
    """Numbered texts of the rows that are selected, or blank; or, where it is wanted, all their columns as JSON.

    Errors: InputError for no parquet file with texts.
    """
    pyarrow, parquet = arrow()
    try:
        file = parquet.ParquetFile(path)
        columns = [name for name in file.schema_arrow.names if wanted != TEXT or name in ("text", "selected", "weight")]
        number = 0
        for batch in file.iter_batches(columns=columns):
            for row in batch.to_pylist():
                number += 1
                where = f"{path}:{number}"
                if wanted == TEXT:
                    text = selected_text(row, where)
                else:
                    used = wanted == ALL or is_used(row, where)
                    text = json.dumps(row, ensure_ascii=False, default=str) if used else None
                if text is not None:
                    yield number, text
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as parquet ({' '.join(str(error).split())[:200]})") from None


def arrow() -> tuple[Any, Any]:
    """pyarrow and its parquet. Errors: InputError where it is not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError("parquet needs pyarrow; pip install 'textgan[data]', or take the format jsonl") from None
    return pyarrow, parquet
