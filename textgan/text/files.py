"""Files and strings: text comes in strictly, and goes out whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from textgan.errors import InputError
from textgan.sources import made

from .rows import TEXT, is_row, parquet_texts, parse, shards_of
from .spooling import spool

LINE_LIMIT = 1_000_000  # bytes (characters, where strings are given); a longer "line" is not a line of text
ERRORS = ("strict", "replace", "skip")
REMEDY = "mend the text, or read it with --encoding-errors"
BOM = b"\xef\xbb\xbf"
ROWS = (".jsonl", ".parquet")  # files of rows, whose field "text" is read
PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstandard", b"PAR1\x15": "parquet"}
# Control characters but the tab and U+0085, which is a separator like U+2028; and lone surrogates, which UTF-8 lacks.
CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")


class Text(NamedTuple):
    """Lines of text, and what was done to get them.

    lines: the lines as they were written, without line ends; none is blank, none holds a control character but the tab.
        A list, or where they would fill the memory a `Spooled`, which stands on the disk and reads like one.
    name: the file's name without its folder, "standard input", "grammar:N", or "lines" for a sequence of strings.
    sha256: of the lines joined with a newline, in UTF-8.
    blank, replaced, skipped: numbers of lines: dropped as blank; kept with something replaced; dropped as unreadable.
    """

    lines: Sequence[str]
    name: str
    sha256: str
    blank: int
    replaced: int
    skipped: int


def read_text(source: str | Path | Sequence[str] | Text, *, errors: str = "strict", rows: str = TEXT) -> Text:
    """Read lines strictly: bytes split on newlines only, UTF-8, one sentence a line.

    source: a file; "-" for standard input; "grammar:N" or "grammar:N:SEED" for N sentences of the embedded corpus;
        "oracle:N:LENGTH" for N sentences of LENGTH tokens of an LSTM (textgan.oracle has more such names); another
        corpus that `sources.register` has named; rows, which give their field "text" unless they say
        `"selected": false`: of a pool's folder, a .parquet or .jsonl file, or whatever begins with a JSON object that
        has a "text"; a sequence of strings; or a Text, which is given back.
    errors: what to do with a line that is not UTF-8 or holds a control character (the tab is none): "strict" refuses
        it, "replace" puts U+FFFD for bad bytes and a space for control characters, "skip" drops it.
    rows: what a reader wants of rows, by the names of `text.rows`: their text, or more of them (`labels`, `prompts`).

    Carriage returns at a line's end and a byte order mark at the file's start are removed, blank lines dropped. Other
    separators (U+2028, U+2029, U+0085) stay inside their line. Raises InputError, naming file:line:byte, for a line
    that is refused; for one over 1 MB (unless skipped); where there is no text; where the source cannot be read.
    """
    if errors not in ERRORS:
        raise InputError(f"errors {errors!r} is unknown; choose strict, replace or skip")
    if isinstance(source, Text):
        return source
    shown, name, given = _rows(source, errors, rows)
    counts, digest = Counter[str](), hashlib.sha256()
    lines = spool(_sound(given, shown, errors, counts, digest))
    if not lines:
        raise InputError(
            f"{shown} holds no text (blank lines: {counts['blank']}, skipped: {counts['skipped']}); "
            "give at least one sentence"
        )
    return Text(lines, name, digest.hexdigest(), counts["blank"], counts["replaced"], counts["skipped"])


def _sound(
    rows: Iterable[tuple[int, bytes | str]], shown: str, errors: str, counts: Counter[str], digest: Any
) -> Iterator[str]:
    """The lines to keep, one by one; what happened to the others is counted, and the digest is of those kept."""
    between = b""
    for number, row in rows:
        line, problem = _checked(row, f"{shown}:{number}")
        if problem and (errors == "strict" or (line is None and errors == "replace")):
            raise InputError(f"{problem}; {REMEDY} {'skip' if line is None else 'replace or skip'}")
        if problem and errors == "skip":
            counts["skipped"] += 1
        elif line is not None and line.strip():
            counts["replaced"] += bool(problem)
            digest.update(between + line.encode())
            between = b"\n"
            yield line
        else:
            counts["blank"] += 1


def read_lines(source: str | Path | Sequence[str] | Text, *, errors: str = "strict") -> Sequence[str]:
    """The lines of `read_text`."""
    return read_text(source, errors=errors).lines


def one_line(text: str) -> str:
    """Text that `read_text` takes as one line: newlines, other control characters and lone surrogates become spaces."""
    return CONTROL.sub(" ", text)


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write one line each, UTF-8, all or nothing (see `replacing`). What is read back is equal, blank lines apart.

    Raises InputError for a line that holds a newline or a lone surrogate; `one_line` mends such text. Other control
    characters are written as they are, and refused when they are read strictly.
    """
    with replacing(path) as stream:
        for number, line in enumerate(lines, 1):
            if "\n" in line:
                raise InputError(f"{_shown(path)}: line {number} holds a newline; pass it through one_line first")
            try:
                stream.write(line.encode() + b"\n")
            except UnicodeEncodeError:
                raise InputError(
                    f"{_shown(path)}: line {number} holds half a surrogate pair; pass it through one_line first"
                ) from None


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as JSON (UTF-8, indented, no NaN), all or nothing (see `replacing`).

    Raises InputError for NaN and infinity, which JSON does not have.
    """
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2).encode() + b"\n"
    except ValueError as error:
        raise InputError(f"{_shown(path)}: cannot be written as JSON ({error})") from error
    with replacing(path) as stream:
        stream.write(written)


def make_folder(path: str | Path) -> Path:
    """A folder that exists and can be written, made where it is missing; InputError in one line where it cannot be."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{_shown(path)}: cannot be written ({error.strerror}); give a folder that can") from None
    return folder


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A stream of bytes that takes the place of `path` when the block ends well; otherwise nothing has changed.

    A temporary file in the same folder is written, flushed to the disk and renamed; a symbolic link stays and its
    target is replaced. "-" is standard output; it and devices and pipes are written as it comes. Raises InputError
    where the system refuses (no such folder, disk full); BrokenPipeError passes, since its reader has left on purpose.
    """
    temporary = None
    try:
        if str(path) == "-":
            sys.stdout.flush()
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as stream:
                yield stream
        else:
            target = os.path.realpath(path)
            temporary = os.path.join(os.path.dirname(target), f".{secrets.token_hex(8)}.tmp")
            with open(temporary, "xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, target)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"{_shown(path)}: cannot be written ({error.strerror or error})") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)


def _shown(path: str | Path) -> str:
    """A path as one printable line."""
    name = "standard output" if str(path) == "-" else str(path)
    return name if name.isprintable() else repr(name)


def _rows(
    source: str | Path | Sequence[str], errors: str, wanted: str
) -> tuple[str, str, Iterable[tuple[int, bytes | str]]]:
    """What a source is called in messages, its name, and its numbered lines."""
    if isinstance(source, str | Path):
        if str(source) == "-":
            shown = "standard input"
            return shown, shown, _as_rows(_byte_lines(source), shown, errors, wanted)
        if (lines := made(str(source))) is not None:
            return str(source), str(source), enumerate(lines, 1)
        shown, path = _shown(source), Path(source)
        if os.path.isdir(path):  # unlike Path.is_dir it has an answer for every name
            return shown, path.name, chain.from_iterable(_row_texts(file, errors, wanted) for file in shards_of(path))
        return shown, path.name, _row_texts(path, errors, wanted)
    return "lines", "lines", enumerate(source, 1)


def _checked(row: bytes | str, where: str) -> tuple[str | None, str]:
    """A line with its bad characters replaced (None: nothing to keep), and what is wrong with it ("": nothing)."""
    if not isinstance(row, bytes | str):
        raise InputError(f"{where}: a string was wanted, got {type(row).__name__}")
    if len(row) > LINE_LIMIT:
        return None, f"{where}: the line is longer than {LINE_LIMIT:,} bytes; one sentence a line was wanted"
    problem = ""
    if isinstance(row, str):
        line = row
    else:
        try:
            line = row.decode()
        except UnicodeDecodeError as error:
            line = row.decode(errors="replace")
            problem = f"{where}:{error.start + 1}: byte 0x{row[error.start]:02x} is not UTF-8"
    bad = CONTROL.search(line)
    if bad and not problem:
        byte = len(line[: bad.start()].encode()) + 1
        problem = f"{where}:{byte}: control character U+{ord(bad.group()):04X}"
    return CONTROL.sub(" ", line) if bad else line, problem


def _byte_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines of a file, without line ends; of a line over the limit only so much that it shows."""
    try:
        if str(path) == "-":
            yield from _numbered(sys.stdin.buffer)
        else:
            with open(path, "rb") as stream:
                yield from _numbered(stream)
    except FileNotFoundError:
        raise InputError(f"{_shown(path)}: no such file; give a text file, - or grammar:N") from None
    except OSError as error:
        raise InputError(f"{_shown(path)}: cannot be read ({error.strerror or error})") from error


def _numbered(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while raw := stream.readline(LINE_LIMIT + 2):  # with its line end
        number += 1
        rest = raw
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(LINE_LIMIT)
        if number == 1:
            if packed := next((name for mark, name in PACKED.items() if raw.startswith(mark)), None):
                remedy = "call it .parquet" if packed == "parquet" else "unpack it first"
                raise InputError(f"{_shown(stream.name)}: is {packed} and no text; {remedy}")
            raw = raw.removeprefix(BOM)
        yield number, raw.removesuffix(b"\n").rstrip(b"\r")


def _row_texts(path: Path, errors: str, wanted: str) -> Iterator[tuple[int, bytes | str]]:
    """The lines of a file; of rows what is wanted of them."""
    if path.suffix == ".parquet":
        return parquet_texts(path, wanted=wanted)
    return _as_rows(_byte_lines(path), _shown(path), errors, wanted, surely=path.suffix in ROWS)


def _as_rows(
    lines: Iterator[tuple[int, bytes]], shown: str, errors: str, wanted: str, *, surely: bool = False
) -> Iterator[tuple[int, bytes | str]]:
    """What is wanted of each row, where the first line is one or all surely are, and else the lines; a row that is not
    sound is handed on for its problem's sake."""
    first = next(lines, None)
    if first is None:
        return
    lines = chain([first], lines)
    if not (surely or (first[1].startswith(b"{") and is_row(first[1]))):
        yield from lines
        return
    for number, raw in lines:
        where = f"{shown}:{number}"
        line, problem = _checked(raw, where)
        if line is None or (problem and errors != "replace") or not line.strip():
            yield number, raw
            continue
        if (text := parse(line, where, wanted=wanted)) is not None:
            yield number, text
