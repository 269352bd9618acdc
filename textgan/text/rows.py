"""What a pool gives as text: the field "text" of the rows of its folder, of a parquet file or of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from textgan.errors import InputError
from textgan.manifest import MANIFEST, problems, read_manifest

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


def parse(line: str, where: str, *, whole: bool = False) -> str | None:
    """`selected_text` of a JSON line; whole: the line itself in its place, whatever else it holds."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not a JSON row ({getattr(error, 'msg', error)})") from None
    if whole:
        return line if not isinstance(row, dict) or is_used(row, where) else None
    return selected_text(row, where)


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


def parquet_texts(path: Path, *, whole: bool = False) -> Iterator[tuple[int, str]]:
    """Numbered texts of the rows that are selected, or blank; whole: of the selected ones all columns, as JSON.

    Errors: InputError for no parquet file with texts.
    """
    pyarrow, parquet = arrow()
    try:
        file = parquet.ParquetFile(path)
        columns = [name for name in file.schema_arrow.names if whole or name in ("text", "selected", "weight")]
        number = 0
        for batch in file.iter_batches(columns=columns):
            for row in batch.to_pylist():
                number += 1
                where = f"{path}:{number}"
                if not whole:
                    text = selected_text(row, where)
                else:
                    text = json.dumps(row, ensure_ascii=False, default=str) if is_used(row, where) else None
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
